"""A systemd unit as a unit of the agent, with a systemctl of the test's own; the real one is in tests/vm."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from escadm.agent.adopt import adopt
from escadm.agent.drivers.driver import Inherited
from escadm.agent.drivers.systemd import SystemdUnit
from escadm.agent.node import Node
from escadm.agent.outputs.memory import Memory, remember
from escadm.core.lifecycle import Event, Life
from escadm.core.plan import Unit
from escadm.core.probes import Check, Exec, Probe
from escadm.core.specs import Kind, SystemdSpec
from escadm.core.states import UnitState
from escadm.paths import Paths
from escadm.system import systemd
from tests.unit.agent.systemctl import Systemd
from tests.unit.agent.world import QUICK, plan, run, status, tools, wait_for

STOPPED = "is not active any more: somebody else has stopped it, or it has ended by itself"


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Systemd]:
    made = Systemd(tmp_path / "systemd")
    monkeypatch.setattr(systemd, "SYSTEMCTL", str(made.program))
    yield made
    made.end()


class Player:
    """A driver and what it has posted."""

    def __init__(self, paths: Paths, ready: Probe, check: Check | None) -> None:
        self.posted: list[tuple[Event, str]] = []
        self.woken = 0
        spec = SystemdSpec("web.service")
        unit = Unit("web", Kind.UNIT, spec=spec, ready=ready, check=check, start_timeout=5.0, stop_timeout=5.0)
        self.driver = SystemdUnit(unit, self.post, tools(paths, wake=self.wake))

    def post(self, event: Event, reason: str) -> None:
        self.posted.append((event, reason))

    def wake(self) -> None:
        self.woken += 1

    async def hears(self, event: Event) -> str:
        await wait_for(lambda: event in dict(self.posted), f"{event} among {self.posted}, {self.driver.doubt}")
        return dict(self.posted)[event]


@asynccontextmanager
async def playing(paths: Paths, ready: Probe = QUICK, check: Check | None = None) -> AsyncIterator[Player]:
    player = Player(paths, ready, check)
    try:
        yield player
    finally:
        player.driver.kill()
        player.driver.kill()
        await player.hears(Event.GONE)
        await wait_for(lambda: not player.driver._endings._tasks)


def test_start_until_active_and_stop_until_down(paths: Paths, world: Systemd) -> None:
    async def work() -> None:
        async with playing(paths) as player:
            player.driver.start()
            await player.hears(Event.READY)
            assert player.driver.leader is not None
            assert player.driver.leader.pid == int(world.get("MainPID"))
            assert player.woken
            await wait_for(lambda: "watching" in world.calls)
            assert world.calls == ["reset-failed", "start", "start --wait", "watching"]
            player.driver.terminate()
            await player.hears(Event.GONE)
            assert world.get("ActiveState") == "inactive"
            assert "--job-mode=replace" in world.calls
            assert player.posted == [(Event.READY, ""), (Event.GONE, "")]

    run(work())


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("say LoadState not-found; exit 5", "is not installed: systemd knows no unit web.service"),
        ("say LoadState masked; exit 1", "is masked: `systemctl unmask web.service` lifts that"),
        ("say ActiveState failed; say Result timeout; exit 1", "took longer than its unit file allows"),
        (
            "say ActiveState failed; say Result exit-code; say ExecMainCode 1; say ExecMainStatus 3; exit 1",
            "exited with code 3",
        ),
        (
            "say ActiveState failed; say Result core-dump; say ExecMainCode 3; say ExecMainStatus 11",
            "was killed by SIGSEGV",
        ),
        (
            "say ActiveState failed; say Result exit-code; exit 1",
            "could not be started: a command of its unit file failed",
        ),
        (
            "echo 'Failed to start web: shutting down' >&2; exit 4",
            "systemctl: exited with code 4: Failed to start web: shutting down",
        ),
        ("exit 0", "ended as soon as it was started, or a condition of its unit file does not hold"),
        (
            "say ActiveState activating",
            "ended as soon as it was started, or a condition of its unit file does not hold",
        ),
    ],
)
def test_why_it_did_not_start(paths: Paths, world: Systemd, script: str, reason: str) -> None:
    world.script(script)

    async def work() -> None:
        async with playing(paths) as player:
            player.driver.start()
            assert await player.hears(Event.EXITED) == reason
            assert Event.READY not in dict(player.posted)

    run(work())


def test_ready_is_asked_and_so_is_the_check(paths: Paths, world: Systemd) -> None:
    there = Exec(("test", "-e", str(world.folder / "there")))

    async def work() -> None:
        async with playing(paths, there, Check(there, interval=0.01, failures=2)) as player:
            world.has("hold")
            player.driver.start()
            await wait_for(lambda: "start" in world.calls)
            assert player.driver.doubt == "systemd has not started it yet"
            world.has("hold", wanted=False)
            await wait_for(lambda: "exited with code 1" in player.driver.doubt)
            world.has("there")
            await player.hears(Event.READY)
            world.has("there", wanted=False)
            assert "did not pass its check" in await player.hears(Event.CHECK_FAILED)

    run(work())


# --- while it runs ----------------------------------------------------------------------------------------------


@asynccontextmanager
async def running(paths: Paths, world: Systemd) -> AsyncIterator[Player]:
    async with playing(paths) as player:
        player.driver.start()
        await player.hears(Event.READY)
        await wait_for(lambda: "watching" in world.calls)
        yield player


@pytest.mark.parametrize(
    ("says", "reason"),
    [
        ({"ActiveState": "inactive"}, STOPPED),
        (
            {"ActiveState": "failed", "Result": "signal", "ExecMainCode": "2", "ExecMainStatus": "9"},
            "was killed by SIGKILL",
        ),
        ({"ActiveState": "deactivating", "ExecMainCode": "2", "ExecMainStatus": "9"}, "was killed by SIGKILL"),
        ({"ActiveState": "deactivating", "ExecMainCode": "2", "ExecMainStatus": "15"}, STOPPED),
        ({"ActiveState": "failed", "Result": "watchdog"}, "missed the watchdog of its unit file"),
        ({"ActiveState": "activating", "SubState": "auto-restart", "NRestarts": "1"}, STOPPED),
    ],
)
def test_its_end_is_noticed_with_the_reason(paths: Paths, world: Systemd, says: dict[str, str], reason: str) -> None:
    async def work() -> None:
        async with running(paths, world) as player:
            pid = int(world.get("MainPID"))
            world.says(**says, MainPID="0")
            os.kill(pid, signal.SIGKILL)
            assert await player.hears(Event.EXITED) == reason

    run(work())


def test_the_end_of_the_main_process_is_noticed_although_systemctl_is_not(paths: Paths, world: Systemd) -> None:
    async def work() -> None:
        async with running(paths, world) as player:
            pid = int(world.get("MainPID"))
            seen = world.looks
            os.kill(pid, signal.SIGKILL)  # systemd has not seen it yet
            await wait_for(lambda: world.looks > seen + 1)
            assert player.posted == [(Event.READY, "")]
            world.says(ActiveState="failed", Result="signal", ExecMainCode="2", ExecMainStatus="9", MainPID="0")
            assert await player.hears(Event.EXITED) == "was killed by SIGKILL"

    run(work())


def another(world: Systemd) -> int:
    """A new main process."""
    made = subprocess.Popen(["sh", "-c", "sleep 600 >/dev/null 2>&1 & echo $!"], stdout=subprocess.PIPE, text=True)
    assert made.stdout is not None
    pid = int(made.stdout.readline())
    made.stdout.close()
    made.wait()
    world.says(MainPID=str(pid))
    return pid


def test_a_restart_that_somebody_asked_for_is_awaited_and_followed(paths: Paths, world: Systemd) -> None:
    async def work() -> None:
        async with running(paths, world) as player:
            before = int(world.get("MainPID"))
            world.says(ActiveState="deactivating", MainPID="0", Job="17")
            os.kill(before, signal.SIGKILL)
            seen = world.looks
            await wait_for(lambda: world.looks > seen + 1)
            pid = another(world)
            world.says(ActiveState="active", Job="")
            await wait_for(lambda: player.driver.leader is not None and player.driver.leader.pid == pid)
            assert player.posted == [(Event.READY, "")]
            await wait_for(lambda: world.calls.count("watching") == 2)
            world.says(MainPID="0", ActiveState="inactive")
            os.kill(pid, signal.SIGKILL)
            assert await player.hears(Event.EXITED) == STOPPED

    run(work())


def test_a_restart_of_systemds_own_is_a_failure(paths: Paths, world: Systemd) -> None:
    async def work() -> None:
        async with running(paths, world) as player:
            before = int(world.get("MainPID"))
            another(world)
            world.says(NRestarts="1")
            os.kill(before, signal.SIGKILL)
            assert await player.hears(Event.EXITED) == "failed, and systemd has restarted it by itself"

    run(work())


def test_systemctl_that_ends_for_reasons_of_its_own_is_started_again(
    paths: Paths, world: Systemd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("escadm.agent.drivers.systemd.WATCH_AGAIN", 0.01)

    async def work() -> None:
        async with running(paths, world) as player:
            world.has("deaf")
            await wait_for(lambda: world.calls.count("watching") > 2)
            world.has("deaf", wanted=False)
            assert player.posted == [(Event.READY, "")]

    run(work())


def test_while_systemd_says_nothing_what_was_up_is_up(
    paths: Paths, world: Systemd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("escadm.agent.drivers.systemd.WATCH_AGAIN", 0.01)

    async def work() -> None:
        async with running(paths, world) as player:
            world.has("mute")
            seen = world.looks
            os.kill(int(world.get("MainPID")), signal.SIGKILL)
            await wait_for(lambda: world.looks > seen + 1)
            assert player.posted == [(Event.READY, "")]
            world.says(ActiveState="inactive", MainPID="0")
            world.has("mute", wanted=False)
            assert await player.hears(Event.EXITED) == STOPPED

    run(work())


# --- stopping ---------------------------------------------------------------------------------------------------


def test_stopped_in_the_middle_of_its_start(paths: Paths, world: Systemd) -> None:
    world.has("hold")
    world.script('up; touch "$D/started"')

    async def work() -> None:
        async with playing(paths) as player:
            player.driver.start()
            await wait_for(lambda: "start" in world.calls)
            looks = world.looks
            player.driver.terminate()
            await wait_for(lambda: world.looks > looks)
            world.has("hold", wanted=False)  # the start comes after the stop
            await player.hears(Event.GONE)
            await wait_for((world.folder / "started").exists)
            assert world.get("ActiveState") == "inactive"
            assert Event.READY not in dict(player.posted)

    run(work())


def test_stopped_before_the_watch_has_begun(paths: Paths, world: Systemd) -> None:
    """A watch by ``start --wait`` starts what it finds stopped."""
    world.has("late")

    async def work() -> None:
        async with playing(paths) as player:
            player.driver.start()
            await wait_for(lambda: "start --wait" in world.calls)
            watcher = player.driver._watcher
            assert watcher is not None
            player.driver.terminate()
            await player.hears(Event.GONE)
            assert watcher[0].returncode == -signal.SIGKILL
            world.has("late", wanted=False)
            assert world.get("ActiveState") == "inactive"

    run(work())


def test_a_stop_in_vain_and_then_by_force(paths: Paths, world: Systemd) -> None:
    async def work() -> None:
        async with running(paths, world) as player:
            world.has("stubborn")
            player.driver.terminate()
            assert "cannot be stopped" in await player.hears(Event.STOP_FAILED)
            assert "kill --kill-whom=all" not in world.calls
            player.driver.kill()
            await player.hears(Event.GONE)
            assert "kill --kill-whom=all" in world.calls

    run(work())


def test_what_has_ended_is_stopped_without_force(paths: Paths, world: Systemd) -> None:
    async def work() -> None:
        async with running(paths, world) as player:
            player.driver.kill()
            await player.hears(Event.GONE)
            assert "kill --kill-whom=all" not in world.calls

    run(work())


def test_a_job_that_waits_for_the_agent_does_not_keep_the_agent_waiting(paths: Paths, world: Systemd) -> None:
    async def work() -> None:
        async with running(paths, world) as player:
            world.says(Job="295")
            player.driver.terminate()
            await wait_for(lambda: "--job-mode=ignore-dependencies" in world.calls)
            world.says(Job="")
            await player.hears(Event.GONE)

    run(work())


# --- adoption ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ready", [True, False])
def test_what_is_active_goes_on(paths: Paths, world: Systemd, ready: bool) -> None:
    pid = another(world)
    world.says(ActiveState="active")

    async def work() -> None:
        async with playing(paths) as player:
            player.driver.adopt(Inherited(Life(UnitState.RUNNING if ready else UnitState.STARTING)))
            await wait_for(lambda: player.driver.leader is not None and player.driver.leader.pid == pid)
            await wait_for(lambda: "start --wait" in world.calls)
            assert "start" not in world.calls
            assert player.posted == ([] if ready else [(Event.READY, "")])

    run(work())


def test_what_has_ended_meanwhile_is_told(paths: Paths, world: Systemd) -> None:
    world.says(ActiveState="failed", Result="signal", ExecMainCode="2", ExecMainStatus="11")

    async def work() -> None:
        async with playing(paths) as player:
            player.driver.adopt(Inherited(Life(UnitState.RUNNING)))
            assert await player.hears(Event.EXITED) == "was killed by SIGSEGV"

    run(work())


# --- in the node ------------------------------------------------------------------------------------------------


@pytest.fixture
def booted(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tree counts as a machine that systemd has booted, and has the unit."""
    monkeypatch.setattr(Paths, "is_host", True)
    monkeypatch.setattr(systemd, "is_booted", lambda _: True)
    file = paths.below("/etc/systemd/system/web.service")
    file.parent.mkdir(parents=True)
    file.touch()


def web(service: str = "web.service", *, startup: bool = True) -> Unit:
    return Unit("web", Kind.UNIT, spec=SystemdSpec(service), startup=startup, mentioned=True, ready=QUICK)


@pytest.mark.usefixtures("booted")
@pytest.mark.parametrize("wanted", [True, False])
def test_what_systemd_has_started_goes_on_if_it_is_wanted(paths: Paths, world: Systemd, wanted: bool) -> None:
    pid = another(world)
    world.says(ActiveState="active")

    async def work() -> None:
        node = Node(paths, plan(web(startup=wanted)), Memory())
        adopt(node, Memory())
        node.turns.wake()
        if wanted:
            await wait_for(lambda: node.stage.drivers["web"].leader is not None)
            await wait_for(lambda: status(paths)["resources"][0]["pgid"] == pid)
            assert "stop" not in world.calls
        else:
            await wait_for(lambda: world.get("ActiveState") == "inactive")
        await node.stop_for_good()
        node.end()
        assert world.get("ActiveState") == "inactive"
        assert "start" not in world.calls

    run(work())


@pytest.mark.usefixtures("booted")
def test_a_unit_that_the_plan_has_under_another_name_now_is_stopped_by_its_old_one(
    paths: Paths, world: Systemd
) -> None:
    another(world)
    world.says(ActiveState="active")

    async def work() -> None:
        life = Life(UnitState.RUNNING, asyncio.get_running_loop().time())
        memory = Memory(units={"web": remember(web(), life, None, stale=False)})
        node = Node(paths, plan(web("other.service")), memory)
        adopt(node, memory)
        node.turns.wake()
        await wait_for(lambda: node.stage.state("web") is UnitState.STOPPED)
        assert world.get("ActiveState") == "inactive"
        await node.stop_for_good()
        node.end()

    run(work())


@pytest.mark.usefixtures("booted")
@pytest.mark.parametrize(("mentioned", "service"), [(True, "web.service"), (False, "web.service"), (True, "x.service")])
def test_what_is_not_installed_is_left_alone(paths: Paths, world: Systemd, mentioned: bool, service: str) -> None:
    """A catalogue entry that the file does not name is not, whatever units the machine has."""
    world.says(ActiveState="active")
    guess = Unit("web", Kind.UNIT, spec=SystemdSpec(service, implied=True), mentioned=mentioned, ready=QUICK)
    is_here = mentioned and service == "web.service"

    async def work() -> None:
        node = Node(paths, plan(guess), Memory())
        assert node.absent == (set() if is_here else {"web"})
        adopt(node, Memory())
        assert node.stage.state("web") is (UnitState.RUNNING if is_here else UnitState.STOPPED)
        await node.stop_for_good()
        node.end()

    run(work())


def test_without_systemd_it_says_so(paths: Paths) -> None:
    posted: list[tuple[Event, str]] = []

    async def work() -> None:
        node = Node(paths, plan(web()), Memory())
        node.make_driver(web(), lambda event, reason: posted.append((event, reason))).start()
        node.end()

    run(work())
    assert posted == [(Event.EXITED, "is a systemd unit, and systemd does not run here: give it a command")]
