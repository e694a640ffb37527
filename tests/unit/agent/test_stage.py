"""The stage: timers, the words of drivers, and drivers that break."""

import asyncio
import os
from pathlib import Path

import pytest

from escadm.agent.drivers.driver import Driver, Post
from escadm.agent.drivers.filesystem import Filesystem
from escadm.agent.drivers.registry import KINDS, make
from escadm.agent.drivers.stage import Stage
from escadm.agent.drivers.systemd import NO_SYSTEMD
from escadm.core.lifecycle import GOOD_RUN, Event, Life
from escadm.core.plan import Start, Stop, Unit
from escadm.core.specs import FilesystemSpec, Kind
from escadm.core.states import UnitState
from escadm.paths import Paths
from tests.unit.agent.world import OBEDIENT, Scripted, plan, run, tools, unit, wait_for

Answers = dict[str, tuple[float, Event, str] | None]


class Played:
    """A stage of one unit, with what happened to it."""

    def __init__(self, answers: Answers, *, start_timeout: float = 90.0, stop_timeout: float = 30.0) -> None:
        self.plan = plan(unit("pgsql", start_timeout=start_timeout, stop_timeout=stop_timeout))
        self.answers = answers
        self.told: list[str] = []
        self.drivers: list[Scripted] = []
        self.seen: list[Life] = []
        self.stage = Stage(self.make)
        self.stage.watchers.append(lambda _, __, after: self.seen.append(after))

    def make(self, _: Unit, post: Post) -> Driver:
        self.drivers.append(Scripted(post, self.answers, self.told))
        return self.drivers[-1]

    def start(self) -> None:
        self.stage.take(Start("pgsql"), self.plan)

    def stop(self) -> None:
        self.stage.take(Stop("pgsql"), self.plan)

    @property
    def life(self) -> Life:
        return self.stage.lives["pgsql"]

    async def reaches(self, state: UnitState) -> None:
        await wait_for(lambda: self.life.state is state, f"{state}, not {self.life.state}")


def test_start_and_stop() -> None:
    async def work() -> None:
        played = Played(OBEDIENT)
        assert played.stage.live() == {}
        played.start()
        await played.reaches(UnitState.RUNNING)
        assert set(played.stage.live()) == {"pgsql"}
        played.stop()
        await played.reaches(UnitState.STOPPED)
        assert played.told == ["start", "terminate"]
        assert played.stage.live() == {}

    run(work())


def test_start_timeout_tells_the_doubt() -> None:
    async def work() -> None:
        played = Played({**OBEDIENT, "start": None}, start_timeout=0.02)
        played.start()
        played.drivers[0].doubts = "port 5432 of 127.0.0.1: connection refused"
        await played.reaches(UnitState.BACKOFF)
        assert played.life.reason == "was not ready within 0.02 s: port 5432 of 127.0.0.1: connection refused"

    run(work())


def test_what_ignores_terminate_is_killed_until_it_is_gone() -> None:
    async def work() -> None:
        played = Played({**OBEDIENT, "terminate": None}, stop_timeout=0.02)
        played.start()
        await played.reaches(UnitState.RUNNING)
        played.stop()
        await played.reaches(UnitState.STOPPED)
        assert played.told == ["start", "terminate", "kill"]

    run(work())


def test_ready_in_time_leaves_no_timer_of_the_start() -> None:
    async def work() -> None:
        played = Played(OBEDIENT, start_timeout=0.05)
        played.start()
        await played.reaches(UnitState.RUNNING)
        assert [timer.when() for timer in played.stage._timers.values()] == [played.life.since + GOOD_RUN]

    run(work())


def test_failed_start_is_tried_again_by_a_new_driver() -> None:
    async def work() -> None:
        played = Played({**OBEDIENT, "start": (0, Event.EXITED, "exited with code 3")})
        played.start()
        await played.reaches(UnitState.BACKOFF)
        await played.reaches(UnitState.STOPPED)
        played.answers = OBEDIENT
        played.start()
        await played.reaches(UnitState.RUNNING)
        assert len(played.drivers) == 2
        assert (played.life.streak, played.life.restarts) == (1, 1)

    run(work())


def test_words_of_an_earlier_incarnation_are_not_heard() -> None:
    async def work() -> None:
        played = Played(OBEDIENT)
        played.start()
        await played.reaches(UnitState.RUNNING)
        played.stop()
        await played.reaches(UnitState.STOPPED)
        played.answers = {**OBEDIENT, "start": None}
        played.start()
        for event in (Event.READY, Event.EXITED, Event.CHECK_FAILED, Event.GONE, Event.STOP_FAILED):
            played.drivers[0].post(event, "late")
        done = asyncio.Event()
        asyncio.get_running_loop().call_soon(done.set)
        await done.wait()
        assert played.life.state is UnitState.STARTING
        assert not played.life.reason
        played.drivers[1].post(Event.READY, "")
        await played.reaches(UnitState.RUNNING)

    run(work())


def test_reason_is_one_line() -> None:
    async def work() -> None:
        played = Played({**OBEDIENT, "start": (0, Event.EXITED, "psql: exited with code 1: a\n  b\t c")})
        played.start()
        await played.reaches(UnitState.BACKOFF)
        assert played.life.reason == "psql: exited with code 1: a b c"

    run(work())


@pytest.mark.parametrize("verb", ["make", "start", "terminate", "kill"])
def test_defect_in_a_driver_is_a_failure_of_its_unit(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    def breaks(*_: object) -> None:
        raise RuntimeError("boom")

    async def work() -> None:
        played = Played(OBEDIENT, stop_timeout=0.02)
        if verb == "make":
            monkeypatch.setattr(played, "make", breaks)
            played.stage = Stage(played.make)
        elif verb == "kill":
            played.answers = {**OBEDIENT, "terminate": None}
        with monkeypatch.context() as patch:
            if verb != "make":
                patch.setattr(Scripted, verb, breaks)
            played.start()
            if verb in ("make", "start"):
                await played.reaches(UnitState.BACKOFF)
                assert played.life.reason == "met a defect of escadm: boom"
                return
            await played.reaches(UnitState.RUNNING)
            played.stop()
            await wait_for(lambda: played.life.reason == "met a defect of escadm: boom")
            assert played.life.state in (UnitState.STOPPING, UnitState.KILLING)
        await played.reaches(UnitState.STOPPED)

    run(work())
    assert "a defect of ours" in caplog.text


def test_redefine_takes_what_needs_no_restart() -> None:
    async def work() -> None:
        played = Played(OBEDIENT)
        played.start()
        await played.reaches(UnitState.RUNNING)
        later = plan(unit("pgsql", stop_timeout=1.0))
        played.stage.redefine(later)
        assert played.stage.units["pgsql"].stop_timeout == 1.0
        played.stage.redefine(plan(unit("pgsql", "another")))
        assert played.stage.units["pgsql"] == later.units["pgsql"]
        played.stage.redefine(plan(unit("mona")))
        assert played.stage.units["pgsql"] == later.units["pgsql"]

    run(work())


def test_reset_forgets_failures_and_leaves_strangers_alone() -> None:
    async def work() -> None:
        played = Played({**OBEDIENT, "start": (0, Event.EXITED, "x")})
        played.start()
        await played.reaches(UnitState.BACKOFF)
        played.stage.reset(["nobody", "pgsql"])
        assert played.life.state is UnitState.STOPPED
        assert (played.life.streak, played.life.reason) == (0, "")
        assert not played.stage._timers

    run(work())


def test_adopted_unit_without_driver_can_be_stopped() -> None:
    async def work() -> None:
        played = Played(OBEDIENT)
        played.stage.adopt(played.plan.units["pgsql"], Life(UnitState.RUNNING), None, stale=True)
        assert played.stage.live()["pgsql"].stale
        played.stop()
        await played.reaches(UnitState.STOPPED)

    run(work())


@pytest.mark.parametrize("kind", KINDS)
def test_redefine_lets_go_on_what_takes_changes_up(kind: Kind) -> None:
    async def work() -> None:
        played = Played(OBEDIENT)
        played.plan = plan(unit("pgsql", kind=kind))
        played.start()
        await played.reaches(UnitState.RUNNING)
        later = unit("pgsql", "another", kind=kind)
        played.stage.redefine(plan(later))
        assert (played.stage.units["pgsql"] == later) is (kind in (Kind.KEEPALIVED, Kind.DRBD))

    run(work())


def test_what_is_up_alone_takes_changes_up() -> None:
    async def work() -> None:
        played = Played({**OBEDIENT, "start": (0.01, Event.READY, "")})
        await played.stage.reload(["/etc/esc.conf"])
        played.start()
        await played.stage.reload(["/etc/starting"])
        await played.reaches(UnitState.RUNNING)
        await played.stage.reload(["/etc/running"])
        played.stop()
        await played.stage.reload(["/etc/stopping"])
        await played.reaches(UnitState.STOPPED)
        await played.stage.reload(["/etc/stopped"])
        assert played.told == ["start", "reload /etc/starting", "reload /etc/running", "terminate"]

    run(work())


# --- drivers without a process ------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", [Unit("esc_service", Kind.GROUP), unit("web", kind=Kind.UNIT)], ids=["mark", "not"])
def test_marks_and_what_is_not_supported(paths: Paths, unit: Unit) -> None:
    found: list[tuple[Event, str]] = []
    started = (Event.READY, "") if unit.kind is Kind.GROUP else (Event.EXITED, NO_SYSTEMD)
    for verb, said in {"start": started, "terminate": (Event.GONE, ""), "kill": (Event.GONE, "")}.items():
        found.clear()
        getattr(make(unit, lambda *word: found.append(word), tools(paths)), verb)()
        assert found == [said]


class Mount:
    """A Filesystem driver, and what it posts."""

    def __init__(self, paths: Paths, spec: FilesystemSpec) -> None:
        self.posted: list[tuple[Event, str]] = []
        unit = Unit("filesystem", Kind.FILESYSTEM, spec=spec, start_timeout=5, stop_timeout=5)
        self.driver = Filesystem(unit, lambda *word: self.posted.append(word), tools(paths))


def test_local_folder_is_made_and_stays(paths: Paths) -> None:
    async def work() -> None:
        mount = Mount(paths, FilesystemSpec("/db"))
        mount.driver.start()
        await wait_for(lambda: mount.posted == [(Event.READY, "")])
        assert paths.below("/db").is_dir()
        mount.driver.terminate()
        await wait_for(lambda: mount.posted[1:] == [(Event.GONE, "")])
        assert paths.below("/db").is_dir()

    run(work())


def test_mount_that_fails_says_why(paths: Paths) -> None:
    paths.below("/db").write_text("a file")

    async def work() -> None:
        mount = Mount(paths, FilesystemSpec("/db"))
        mount.driver.start()
        await wait_for(lambda: mount.posted)
        assert mount.posted[0][0] is Event.EXITED
        assert "cannot make the mount point" in mount.posted[0][1]

    run(work())


def test_defect_of_a_mount_is_told(
    paths: Paths, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def breaks(*_: object) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr("escadm.agent.drivers.filesystem.mount", breaks)
    monkeypatch.setattr("escadm.agent.drivers.filesystem.unmount", breaks)

    async def work() -> None:
        mount = Mount(paths, FilesystemSpec("/db"))
        mount.driver.start()
        await wait_for(lambda: mount.posted == [(Event.EXITED, "met a defect of escadm: boom")])
        mount.driver.terminate()
        await wait_for(lambda: mount.posted[1:] == [(Event.STOP_FAILED, "met a defect of escadm: boom")])

    run(work())
    assert "Traceback" in caplog.text


def test_unmount_that_is_asked_for_during_the_mount_comes_after_it(
    paths: Paths, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fifo = tmp_path / "gate"
    order: list[str] = []

    def slow(*_: object) -> None:
        order.append("mount begins")
        fifo.read_text()
        order.append("mount ends")

    monkeypatch.setattr("escadm.agent.drivers.filesystem.mount", slow)
    monkeypatch.setattr("escadm.agent.drivers.filesystem.unmount_by_force", lambda *_: order.append("unmount"))

    async def work() -> None:
        mount = Mount(paths, FilesystemSpec("/db"))
        mount.driver.start()
        await wait_for(lambda: order)
        mount.driver.terminate()
        mount.driver.kill()
        await asyncio.to_thread(fifo.write_text, "go on")
        await wait_for(lambda: mount.posted == [(Event.READY, ""), (Event.GONE, "")])
        assert order == ["mount begins", "mount ends", "unmount"]

    os.mkfifo(fifo)
    run(work())
