"""Services as real processes below a root of the test's own: readiness, checks, ends, sweeps and adoption."""

import asyncio
import os
import signal
import socket
import stat
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from escadm.agent.drivers.driver import Inherited
from escadm.agent.drivers.probing import mark_prefix
from escadm.agent.drivers.process import MOST_WATCHED, Service
from escadm.core.lifecycle import Event, Life
from escadm.core.plan import Unit
from escadm.core.probes import Alive, Check, Exec, Http, Notify, Tcp
from escadm.core.specs import ProcessSpec
from escadm.core.states import UnitState
from escadm.paths import Paths
from escadm.system.process import ProcessId, is_alive
from escadm.system.processes import look
from tests.unit.agent.world import descriptors, python, run, tools, unit, wait_for

READY, GONE = (Event.READY, ""), (Event.GONE, "")
FILE_AT = 'import os, time\nopen(f"{os.environ[\'AT\']}/{%r}", "w").write(str(os.getpid()))\n'


class Player:
    """A driver and what it posts. Like the stage, it kills what has ended, so that it is swept."""

    def __init__(self, paths: Paths, planned: Unit) -> None:
        self.paths = paths
        self.posted: list[tuple[Event, str]] = []
        spec = planned.spec
        assert isinstance(spec, ProcessSpec)
        spec = replace(spec, environment=(*spec.environment, ("AT", str(paths.root))))
        self.driver = Service(replace(planned, spec=spec), self._post, tools(paths))
        self.mark = mark_prefix(paths) + planned.name

    def _post(self, event: Event, reason: str) -> None:
        self.posted.append((event, reason))

    def heard(self, event: Event) -> list[str]:
        return [reason for each, reason in self.posted if each is event]

    async def hears(self, event: Event) -> str:
        await wait_for(lambda: self.heard(event), f"{event} among {self.posted}, {self.driver.doubt}")
        return self.heard(event)[0]

    @property
    def leader(self) -> ProcessId:
        assert self.driver.leader is not None
        return self.driver.leader

    def left(self) -> list[ProcessId]:
        return look().members(self.mark, self.driver.leader)

    def pid(self, name: str) -> int:
        return int((self.paths.root / name).read_text() or 0)

    async def writes(self, name: str) -> int:
        await wait_for(lambda: (self.paths.root / name).exists() and self.pid(name), name)
        return self.pid(name)


@asynccontextmanager
async def playing(paths: Paths, planned: Unit, *, start: bool = True) -> AsyncIterator[Player]:
    """A service that is killed and gone at the end."""
    player = Player(paths, planned)
    if start:
        player.driver.start()
    try:
        yield player
    finally:
        player.posted.clear()
        player.driver.kill()
        await player.hears(Event.GONE)
        if player.driver._child is not None:
            await wait_for(lambda: player.driver._child is None or player.driver._child.poll() is not None)


def test_alive(paths: Paths) -> None:
    async def work() -> None:
        async with playing(paths, unit("pgsql", ready=Alive(0.05))) as player:
            assert not player.posted
            await player.hears(Event.READY)
            assert player.posted == [READY]
            assert is_alive(player.leader)
            assert os.getpgid(player.leader.pid) == os.getsid(player.leader.pid) == player.leader.pid

    run(work())


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


SERVER = """
import http.server, sys
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/good" else 503)
        self.end_headers()
    def log_message(self, *_): pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Answer).serve_forever()
"""


@pytest.mark.parametrize("how", ["tcp", "http"])
def test_port(paths: Paths, how: str) -> None:
    port = free_port()
    ready = Tcp(port) if how == "tcp" else Http(f"http://127.0.0.1:{port}/good")
    spec = ProcessSpec((*python("x", SERVER).spec.argv, str(port)))  # type: ignore[union-attr]

    async def work() -> None:
        async with playing(paths, unit("pgsql", spec=spec, ready=ready)) as player:
            await player.hears(Event.READY)
            assert "refused" in player.driver.doubt

    run(work())


def test_http_that_answers_badly_is_doubted(paths: Paths) -> None:
    port = free_port()
    spec = ProcessSpec((*python("x", SERVER).spec.argv, str(port)))  # type: ignore[union-attr]

    async def work() -> None:
        async with playing(paths, unit("pgsql", spec=spec, ready=Http(f"http://127.0.0.1:{port}/bad"))) as player:
            await wait_for(lambda: "answers with status 503" in player.driver.doubt, player.driver.doubt)
            assert not player.posted

    run(work())


def test_exec_in_the_services_environment(paths: Paths) -> None:
    ready = Exec(("sh", "-c", 'test -e "$AT/good" || { echo "not yet in $PWD as $ESC_OPTION"; exit 1; }'))
    spec = ProcessSpec(("sleep", "600"), environment=(("ESC_OPTION", "-x"),), working_directory=str(paths.root))

    async def work() -> None:
        async with playing(paths, unit("pgsql", spec=spec, ready=ready)) as player:
            await wait_for(lambda: f"not yet in {paths.root} as -x" in player.driver.doubt)
            assert not player.posted
            (paths.root / "good").touch()
            await player.hears(Event.READY)

    run(work())


NOTIFY = """
import os, socket, time
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
    out.sendto(b"STATUS=warming up", os.environ["NOTIFY_SOCKET"])
    while not os.path.exists(os.environ["AT"] + "/go"): time.sleep(0.01)
    out.sendto(b"STATUS=fine\\nREADY=1", os.environ["NOTIFY_SOCKET"])
time.sleep(600)
"""


def test_notify(paths: Paths) -> None:
    async def work() -> None:
        async with playing(paths, python("pgsql", NOTIFY, ready=Notify())) as player:
            await wait_for((paths.notify_directory / "pgsql").exists)
            (paths.root / "go").touch()
            await player.hears(Event.READY)
            assert player.posted == [READY]

    run(work())


def test_notify_ignores_other_news(paths: Paths) -> None:
    async def work() -> None:
        async with playing(paths, unit("pgsql", ready=Notify())) as player:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
                for message in (b"", b"READY=0", b"XREADY=1", b"READY=10", b"\xff" * 5000):
                    out.sendto(message, str(paths.notify_directory / "pgsql"))
                await wait_for(lambda: drained(player))
                assert not player.posted
                out.sendto(b"READY=1", str(paths.notify_directory / "pgsql"))
                await player.hears(Event.READY)

    def drained(player: Player) -> bool:
        import fcntl
        import termios

        listener = player.driver._listener
        assert listener is not None
        waiting = fcntl.ioctl(listener, termios.FIONREAD, b"\0" * 4)
        return waiting == b"\0" * 4

    run(work())


# --- checks -------------------------------------------------------------------------------------------------


def test_check_that_fails_in_a_row(paths: Paths) -> None:
    probe = Exec(("sh", "-c", 'echo x >> "$AT/asked"; test ! -e "$AT/bad" || { echo no; exit 1; }'))
    planned = unit("pgsql", check=Check(probe, interval=0.01, failures=3))

    def asked() -> int:
        file = paths.root / "asked"
        return len(file.read_text().splitlines()) if file.exists() else 0

    async def work() -> None:
        async with playing(paths, planned) as player:
            await wait_for(lambda: asked() >= 3)
            assert player.posted == [READY]
            before = asked()
            (paths.root / "bad").touch()
            reason = await player.hears(Event.CHECK_FAILED)
            assert reason == "did not pass its check: sh: exited with code 1: no"
            assert asked() - before >= 3
            assert len(player.posted) == 2

    run(work())


def test_one_bad_answer_among_good_ones_is_nothing(paths: Paths) -> None:
    probe = Exec(("sh", "-c", 'echo x >> "$AT/asked"; [ $(( $(wc -l < "$AT/asked") % 3 )) -ne 0 ]'))
    planned = unit("pgsql", check=Check(probe, interval=0.005, failures=2))

    async def work() -> None:
        async with playing(paths, planned) as player:
            await wait_for(lambda: (paths.root / "asked").exists() and (paths.root / "asked").stat().st_size > 20)
            assert player.posted == [READY]

    run(work())


@pytest.mark.parametrize("verb", ["terminate", "kill"])
def test_command_that_still_asks_does_not_hold_up_the_stop(paths: Paths, verb: str) -> None:
    probe = Exec(("sh", "-c", 'echo $$ > "$AT/asking"; sleep 600'), timeout=600)
    planned = unit("pgsql", check=Check(probe, interval=0.01))

    async def work() -> None:
        async with playing(paths, planned) as player:
            pid = await player.writes("asking")
            getattr(player.driver, verb)()
            await player.hears(Event.GONE)
            await wait_for(lambda: not Path(f"/proc/{pid}").exists())
            await wait_for(lambda: player.driver._probing.asking == 0)

    run(work())


def test_command_that_asks_is_not_part_of_the_service(paths: Paths) -> None:
    probe = Exec(("sh", "-c", 'echo $$ > "$AT/asking"; sleep 600'), timeout=600)

    async def work() -> None:
        async with playing(paths, unit("pgsql", check=Check(probe, interval=0.01))) as player:
            pid = await player.writes("asking")
            assert [process.pid for process in player.left()] == [player.leader.pid]
            assert look().leaders(mark_prefix(paths))["pgsql"] == player.leader
            assert look().leaders(mark_prefix(paths))["pgsql:check"].pid == pid

    run(work())


def test_defect_in_a_probe_is_a_failed_check(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(*_: object, **__: object) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr("escadm.agent.drivers.probing.probe", breaks)

    async def work() -> None:
        async with playing(paths, unit("pgsql", ready=Tcp(1))) as player:
            assert await player.hears(Event.CHECK_FAILED) == "could not be watched: boom"

    run(work())


# --- how it ends -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("exit 3", "exited with code 3"),
        ("exit 0", "exited with code 0"),
        ("kill -9 $$", "was killed by SIGKILL"),
        ("kill -SEGV $$", "was killed by SIGSEGV"),
        ("kill -34 $$", "was killed by signal 34"),
    ],
)
def test_end_is_told(paths: Paths, script: str, reason: str) -> None:
    async def work() -> None:
        async with playing(paths, unit("pgsql", "sh", "-c", script, ready=Alive(60))) as player:
            assert await player.hears(Event.EXITED) in (reason, reason.replace("signal 34", "SIGRTMIN"))
            assert len(player.posted) == 1

    run(work())


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        (ProcessSpec(("/nonexistent/program",)), "cannot start /nonexistent/program"),
        (ProcessSpec(("sleep", "1"), user="nobody-of-that-name"), "there is no such user"),
        (ProcessSpec(("sleep", "1"), working_directory="/nonexistent"), "/nonexistent"),
        (ProcessSpec(("/etc/passwd",)), "Permission denied"),
        (ProcessSpec(("sleep\0",)), "cannot start"),
    ],
)
def test_what_cannot_be_started(paths: Paths, spec: ProcessSpec, reason: str) -> None:
    async def work() -> None:
        for ready in (Alive(0.01), Notify()):
            async with playing(paths, unit("pgsql", spec=spec, ready=ready)) as player:
                assert reason in await player.hears(Event.EXITED)
                player.driver.kill()
                await player.hears(Event.GONE)
                assert player.posted == [player.posted[0], GONE]

    before = descriptors()
    run(work())
    assert descriptors() == before


def test_output_and_environment(paths: Paths) -> None:
    spec = ProcessSpec(
        ("sh", "-c", 'echo "$0 $1"; env >&2; sleep 600', "svc", "--fast"),
        environment=(("ESC_OPTION", "--fast"),),
    )

    async def work() -> None:
        before = os.umask(0o077)
        async with playing(paths, unit("pgsql", spec=spec)) as player:
            file = paths.log_directory / "pgsql.log"
            await wait_for(lambda: file.exists() and "ESCADM_UNIT" in file.read_text())
            lines = file.read_text().splitlines()
            assert lines[0] == "svc --fast"
            assert "ESC_OPTION=--fast" in lines
            assert f"ESCADM_UNIT={player.mark}" in lines
            assert not [line for line in lines if line.startswith(("PYTHON", "VIRTUAL_ENV", "PWD=/work"))]
            assert stat.S_IMODE(file.stat().st_mode) & 0o037 == 0
        os.umask(before)

    run(work())


def test_output_file_is_for_root_and_its_group(paths: Paths) -> None:
    async def work() -> None:
        before = os.umask(0o022)
        async with playing(paths, unit("pgsql")):
            assert stat.S_IMODE((paths.log_directory / "pgsql.log").stat().st_mode) == 0o640
        os.umask(before)

    run(work())


def test_stop_signal_goes_to_the_whole_group(paths: Paths) -> None:
    script = 'trap "echo leader >> $AT/got; exit 0" INT; (trap "echo child >> $AT/got; exit 0" INT; : > $AT/up; while :; do sleep 0.01; done) & while :; do sleep 0.01; done'  # noqa: E501
    spec = ProcessSpec(("bash", "-c", script), stop_signal="SIGINT")

    async def work() -> None:
        async with playing(paths, unit("pgsql", spec=spec)) as player:
            await wait_for((paths.root / "up").exists)
            player.driver.terminate()
            await player.hears(Event.GONE)
            assert "leader" in (paths.root / "got").read_text()
            assert not player.left()

    run(work())


def test_what_ignores_term_is_watched_until_it_is_killed(paths: Paths) -> None:
    code = "import signal\nsignal.signal(signal.SIGTERM, lambda *_: open(os.environ['AT'] + '/term', 'w').write('1'))\n"

    async def work() -> None:
        planned = python("pgsql", "import os, time\n" + code + FILE_AT % "up" + "while True: time.sleep(1)")
        async with playing(paths, planned) as player:
            await player.writes("up")
            player.driver.terminate()
            await player.writes("term")
            assert not player.heard(Event.GONE)
            player.driver.kill()
            await player.hears(Event.GONE)
            assert not player.left()

    run(work())


DAEMON = """
import os, time
if os.fork() == 0:
    os.setsid()
    open(os.environ["AT"] + "/daemon", "w").write(str(os.getpid()))
    time.sleep(600)
while not os.path.exists(os.environ["AT"] + "/go"): time.sleep(0.01)
os._exit(7)
"""


def test_leader_is_gone_and_the_rest_is_swept(paths: Paths) -> None:
    async def work() -> None:
        async with playing(paths, python("pgsql", DAEMON)) as player:
            daemon = await player.writes("daemon")
            (paths.root / "go").touch()
            assert await player.hears(Event.EXITED) == "exited with code 7"
            assert [process.pid for process in player.left()] == [daemon]
            assert not player.heard(Event.GONE)
            player.driver.terminate()
            assert not player.heard(Event.GONE)
            player.driver.kill()
            await player.hears(Event.GONE)
            assert not player.left()

    run(work())


def test_what_has_left_the_group_is_asked_once_the_leader_is_gone(paths: Paths) -> None:
    leaves = "import os, time\nif os.fork() == 0:\n    os.setsid()\n"
    leaves += "open(os.environ['AT'] + '/up', 'a').write(str(os.getpid()))\ntime.sleep(600)"

    async def work() -> None:
        async with playing(paths, python("pgsql", leaves)) as player:
            await player.writes("up")
            await wait_for(lambda: len(player.left()) == 2)
            player.driver.terminate()
            await player.hears(Event.GONE)
            assert not player.left()

    run(work())


STORM = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
open(os.environ["AT"] + "/up", "w").write("1")
while True:
    if os.fork() == 0:
        os.setsid()
        for _ in range(2):
            os.fork()
        time.sleep(600)
    time.sleep(0.005)
"""


def test_fork_storm_is_swept(paths: Paths) -> None:
    async def work() -> None:
        async with playing(paths, python("pgsql", STORM)) as player:
            await player.writes("up")
            await wait_for(lambda: len(player.left()) > 20)
            player.driver.kill()
            await player.hears(Event.GONE)
            assert not player.left()

    run(work())


MANY = """
import os, time
born, tell = os.pipe()
for _ in range(150):
    if os.fork() == 0:
        os.write(tell, b"1")  # from now on it hears signals: what comes in the middle of a fork is lost to Python
        time.sleep(600)
for _ in range(150):
    os.read(born, 1)
open(os.environ["AT"] + "/up", "w").write("1")
time.sleep(600)
"""


def test_service_of_many_processes_takes_few_descriptors(paths: Paths) -> None:
    code = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + MANY

    async def work() -> None:
        async with playing(paths, python("pgsql", code)) as player:
            await player.writes("up")
            before = len(descriptors())
            player.driver.terminate()
            assert len(player.left()) == 151
            assert len(descriptors()) <= before + MOST_WATCHED
            player.driver.kill()
            await player.hears(Event.GONE)

    run(work())


@contextmanager
def open_files(limit: int) -> Any:
    import resource

    old = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, old)


def test_many_processes_may_end_in_peace(paths: Paths) -> None:
    """More processes than the agent may have files: asked to end, they end by themselves, not by force."""

    code = "import signal\nsignal.signal(signal.SIGTERM, lambda *_: (time.sleep(0.3), os._exit(0)))\n" + MANY

    async def work() -> None:
        async with playing(paths, python("pgsql", code)) as player:
            await player.writes("up")
            with open_files(len(descriptors()) + 100):
                player.driver.terminate()
                await player.hears(Event.GONE)
            assert await player.hears(Event.EXITED) == "exited with code 0"

    run(work())


# --- adoption ----------------------------------------------------------------------------------------------------


def inherited(leader: ProcessId, state: UnitState = UnitState.RUNNING) -> Inherited:
    return Inherited(Life(state), leader)


def forget(player: Player) -> None:
    """What the end of an agent does to its driver: nothing is watched, nothing is asked."""
    player.driver._quiet()


def test_adopted_service_is_watched_and_stopped(paths: Paths) -> None:
    async def work() -> None:
        async with playing(paths, unit("pgsql")) as first:
            await first.hears(Event.READY)
            forget(first)
            second = Player(paths, unit("pgsql"))
            second.driver.adopt(inherited(first.leader))
            os.kill(first.leader.pid, signal.SIGKILL)
            assert "its code is not known" in await second.hears(Event.EXITED)
            second.driver.kill()
            await second.hears(Event.GONE)
            assert [each for each, _ in second.posted] == [Event.EXITED, Event.GONE]

    run(work())


def test_adopted_service_that_is_gone_is_told_at_once(paths: Paths) -> None:
    async def work() -> None:
        async with playing(paths, unit("pgsql", "true", ready=Alive(60))) as first:
            await first.hears(Event.EXITED)
            second = Player(paths, unit("pgsql"))
            second.driver.adopt(inherited(first.leader))
            await second.hears(Event.EXITED)

    run(work())


def test_adopted_pid_that_belongs_to_somebody_else_now_is_left_alone(paths: Paths) -> None:
    async def work() -> None:
        async with playing(paths, unit("innocent")) as innocent:
            await innocent.hears(Event.READY)
            stale = replace(innocent.leader, start=innocent.leader.start - 1)
            player = Player(paths, unit("pgsql"))
            player.driver.adopt(inherited(stale))
            await player.hears(Event.EXITED)
            player.driver.terminate()
            player.driver.kill()
            await player.hears(Event.GONE)
            assert is_alive(innocent.leader)
            assert innocent.posted == [READY]

    run(work())


def test_adopted_before_it_was_ready_becomes_ready(paths: Paths) -> None:
    async def work() -> None:
        async with playing(paths, unit("pgsql", ready=Alive(60))) as first:
            forget(first)
            second = Player(paths, unit("pgsql"))
            second.driver.adopt(inherited(first.leader, UnitState.STARTING))
            await second.hears(Event.READY)
            second.driver.kill()
            await second.hears(Event.GONE)

    run(work())


# --- nothing stays behind ---------------------------------------------------------------------------------------


def rounds(paths: Paths, count: int, planned: Callable[[], Unit]) -> None:
    async def one() -> None:
        async with playing(paths, planned()) as player:
            await player.hears(Event.READY)
            player.driver.terminate()
            await player.hears(Event.GONE)

    async def work() -> None:
        await one()
        await wait_for(lambda: not any("pidfd" in each for each in descriptors()))
        before, threads = descriptors(), threading.active_count()
        for _ in range(count):
            await one()
        await wait_for(lambda: descriptors() == before, str(descriptors() ^ before))
        assert threading.active_count() <= threads + 1
        assert len(asyncio.all_tasks()) == 1

    run(work())


def test_fifty_restarts_leave_nothing(paths: Paths) -> None:
    rounds(paths, 50, lambda: unit("pgsql", ready=Alive(0)))


def test_restarts_of_what_notifies_leave_nothing(paths: Paths) -> None:
    (paths.root / "go").touch()
    rounds(paths, 5, lambda: python("pgsql", NOTIFY, ready=Notify()))
