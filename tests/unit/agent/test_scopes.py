"""Services in scopes, with a systemd-run and cgroups of the test's own; the real ones are in tests/vm."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from escadm.agent.adopt import adopt
from escadm.agent.node import Node
from escadm.agent.outputs.memory import Memory, remember
from escadm.core.lifecycle import Event, Life
from escadm.core.probes import Alive
from escadm.core.states import UnitState
from escadm.paths import Paths
from escadm.system import scope
from escadm.system.process import is_alive
from escadm.system.scope import Scope, is_launching
from tests.unit.agent.test_service import READY, playing
from tests.unit.agent.world import SLEEP, plan, python, run, unit, wait_for

PROCESS = "escadm.agent.drivers.process"
GATE = """#!/bin/sh
until [ "$1" = -- ]; do shift; done
shift
while [ ! -e "$AT/open" ]; do sleep 0.01; done
[ -e "$AT/refuse" ] && { echo "Failed to start transient scope unit: no" >&2; exit 1; }
exec "$@"
"""


@pytest.fixture
def gate(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A systemd-run that makes no scope: it waits for the file ``open``, and refuses if there is ``refuse``."""
    program = paths.root / "systemd-run"
    program.write_text(GATE)
    program.chmod(0o755)
    monkeypatch.setattr(scope, "SYSTEMD_RUN", str(program))
    monkeypatch.setattr(f"{PROCESS}.new_scope", lambda name, _: Scope(name, f"esc-{name}-01234567.scope"))
    # what a shell script is called by is its interpreter
    monkeypatch.setattr(f"{PROCESS}.is_launching", lambda pid: is_behind(program, pid) or is_launching(pid))
    return paths.root / "open"


def is_behind(program: Path, pid: int) -> bool:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return words == [b""] or str(program).encode() in words


def program_of(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text().split("\0")[0]


def open_(gate: Path) -> None:
    gate.touch()


def put(cgroup: Path, pid: int) -> None:
    cgroup.write_text(f"{pid}\n")


def test_it_lives_from_the_moment_on_that_it_is_in_its_scope(paths: Paths, gate: Path) -> None:
    async def work() -> None:
        async with playing(paths, unit("pgsql", ready=Alive(0.01))) as player:
            leader = player.leader
            assert is_behind(paths.root / "systemd-run", leader.pid)
            await wait_for(lambda: program_of(leader.pid) == "/bin/sh")
            assert not player.posted
            open_(gate)
            await player.hears(Event.READY)
            assert player.posted == [READY]
            assert player.leader == leader
            assert program_of(leader.pid) == SLEEP[0]
            assert os.getsid(leader.pid) == leader.pid

    run(work())


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("/no/such/program", "cannot start /no/such/program: /no/such/program: No such file or directory"),
        ("/etc/passwd", "cannot start /etc/passwd: /etc/passwd: Permission denied"),
    ],
)
def test_what_cannot_be_executed(paths: Paths, gate: Path, program: str, reason: str) -> None:
    gate.touch()

    async def work() -> None:
        async with playing(paths, unit("pgsql", program)) as player:
            assert await player.hears(Event.EXITED) == reason

    run(work())


def test_systemd_that_refuses(paths: Paths, gate: Path) -> None:
    gate.touch()
    gate.with_name("refuse").touch()

    async def work() -> None:
        async with playing(paths, unit("pgsql")) as player:
            reason = "cannot start sleep: systemd refuses: Failed to start transient scope unit: no"
            assert await player.hears(Event.EXITED) == reason

    run(work())


@pytest.mark.usefixtures("gate")
def test_systemd_that_does_not_answer(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("escadm.agent.drivers.process.LAUNCH_LIMIT", 0.05)

    async def work() -> None:
        async with playing(paths, unit("pgsql", ready=Alive(0.01))) as player:
            assert await player.hears(Event.EXITED) == "cannot start: systemd made no scope within 0.05 s"
            assert not player.heard(Event.READY)

    run(work())


@pytest.mark.usefixtures("gate")
def test_stopped_before_systemd_has_answered(paths: Paths) -> None:
    async def work() -> None:
        async with playing(paths, unit("pgsql")) as player:
            player.driver.terminate()
            await player.hears(Event.GONE)
            assert not is_alive(player.leader)

    run(work())


def test_words_of_a_service_that_lived_are_its_own(paths: Paths, gate: Path) -> None:
    gate.touch()
    ends = "import os, sys, time\nwhile not os.path.exists(os.environ['AT'] + '/go'): time.sleep(0.01)\n"
    ends += "print('Failed to connect', flush=True)\nsys.exit(1)"

    async def work() -> None:
        async with playing(paths, python("pgsql", ends, ready=Alive(0.01))) as player:
            await player.hears(Event.READY)
            (paths.root / "go").touch()
            assert await player.hears(Event.EXITED) == "exited with code 1"

    run(work())


# --- what is in a scope ----------------------------------------------------------------------------------------


@pytest.fixture
def cgroup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cgroup.procs of a scope of pgsql's, without a kernel that keeps it; the tree counts as the machine."""
    procs = tmp_path / "cgroup/esc.slice/esc-pgsql-01234567.scope/cgroup.procs"
    procs.parent.mkdir(parents=True)
    procs.write_text("")
    monkeypatch.setattr(scope, "HIERARCHIES", (tmp_path / "cgroup",))
    monkeypatch.setattr(Paths, "is_host", True)
    return procs


WITHOUT_A_MARK = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    os.execve("/bin/sh", ["sh", "-c", f'echo $$ >{os.environ["AT"]}/daemon; exec sleep 600'], {})
while not os.path.exists(os.environ["AT"] + "/go"): time.sleep(0.01)
sys.exit(7)
"""


def test_what_has_left_everything_behind_is_swept_with_its_scope(paths: Paths, cgroup: Path) -> None:
    async def work() -> None:
        async with playing(paths, python("pgsql", WITHOUT_A_MARK)) as player:
            daemon = await player.writes("daemon")
            put(cgroup, daemon)
            (paths.root / "go").touch()
            await player.hears(Event.EXITED)
            player.driver.kill()
            assert not player.heard(Event.GONE)
            await wait_for(lambda: not lives(daemon))
            await player.hears(Event.GONE)

    run(work())


def lives(pid: int) -> bool:
    try:
        return ") Z" not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def test_what_is_left_of_a_service_that_nobody_wrote_down_is_ended(paths: Paths, cgroup: Path) -> None:
    async def work() -> None:
        child = await asyncio.create_subprocess_exec("sleep", "600")  # it leads no session
        put(cgroup, child.pid)
        node = Node(paths, plan(unit("pgsql", startup=False)), Memory())
        adopt(node, Memory())
        assert node.stage.state("pgsql") is UnitState.KILLING
        assert await child.wait() == -signal.SIGKILL
        await wait_for(lambda: node.stage.state("pgsql") is UnitState.STOPPED)
        await node.stop_for_good()
        node.end()

    run(work())


def test_a_leader_that_was_up_and_is_dead_has_no_successor(paths: Paths) -> None:
    """Its children lead sessions of their own and carry its mark: they are what is left of it, not the service."""
    leaves = "import os, sys, time\nif os.fork() == 0:\n    os.setsid()\n"
    leaves += "    open(os.environ['AT'] + '/daemon', 'w').write(str(os.getpid()))\n    time.sleep(600)\n"
    leaves += "while not os.path.exists(os.environ['AT'] + '/go'): time.sleep(0.01)"
    planned = python("pgsql", leaves)

    async def work() -> None:
        async with playing(paths, planned) as player:
            daemon = await player.writes("daemon")
            player.driver._quiet()
            (paths.root / "go").touch()
            await wait_for(lambda: not is_alive(player.leader))
            life = Life(UnitState.RUNNING, asyncio.get_running_loop().time())
            memory = Memory(units={"pgsql": remember(planned, life, player.leader, stale=False)})
            node = Node(paths, plan(planned), memory)
            adopt(node, memory)
            await wait_for(lambda: node.stage.state("pgsql") is UnitState.KILLING)
            await wait_for(lambda: not lives(daemon))
            await node.stop_for_good()
            node.end()

    run(work())
