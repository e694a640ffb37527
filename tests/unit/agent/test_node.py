"""The node's turn: what it starts, stops, publishes and remembers, and that no trouble stops it."""

import asyncio
import json
import logging
import os
import random
import shutil
import stat
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest

from escadm.agent.attempt import Attempts
from escadm.agent.drivers.driver import Driver, Post
from escadm.agent.node import Node
from escadm.agent.outputs.memory import Memory, load
from escadm.core.lifecycle import Event
from escadm.core.plan import Plan, Unit
from escadm.core.role import Peer
from escadm.core.rules.trouble import failing
from escadm.core.rules.word import WordAct
from escadm.core.specs import FilesystemSpec, KeepalivedSpec, Kind
from escadm.core.states import Role, UnitState, Vrrp
from escadm.paths import Paths
from tests.unit.agent.world import (
    OBEDIENT,
    Scripted,
    ScriptedNode,
    descriptors,
    node_of,
    plan,
    run,
    status,
    unit,
    wait_for,
)

LADDER = plan(unit("pgsql"), unit("mona", needs=("pgsql",)), unit("escmanager", needs=("mona",)))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def settled(node: Node) -> None:
    async with asyncio.timeout(10):
        await node.turns.until(lambda: node.decision.is_settled)


def test_everything_comes_up_in_order_is_told_and_goes_down(paths: Paths) -> None:
    order: list[str] = []

    async def work() -> None:
        async with node_of(paths, LADDER) as node:
            node.stage.watchers.append(lambda name, _, life: order.append(f"{name} {life.state}"))
            await settled(node)
            assert node.role is Role.STANDALONE
            assert paths.role.read_text() == "STANDALONE\n"
            told = status(paths)
            assert told["text"] == "ESC Standalone Healthy"
            assert [each["name"] for each in told["resources"]] == ["pgsql", "mona", "escmanager"]
            assert all(each["pgid"] > 0 and each["since"] for each in told["resources"])
        assert status(paths)["text"] == "ESC Stopped"
        assert not paths.state.exists()

    run(work())
    running = [line for line in order if line.endswith("running")]
    stopped = [line.split()[0] for line in order if line.endswith("stopped")]
    assert running == ["pgsql running", "mona running", "escmanager running"]
    assert stopped == ["escmanager", "mona", "pgsql"]


def test_modes_do_not_depend_on_the_umask(paths: Paths) -> None:

    async def work() -> None:
        for umask in (0o000, 0o077):
            before = os.umask(umask)
            async with node_of(paths, plan(unit("pgsql"))) as node:
                await settled(node)
                await wait_for(paths.state.exists)
                assert (mode(paths.status), mode(paths.state), mode(paths.role)) == (0o644, 0o600, 0o644)
            os.umask(before)

    run(work())


def test_many_wishes_make_one_turn(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    turns = 0

    async def work() -> None:
        nonlocal turns
        async with node_of(paths, plan(unit("pgsql"))) as node:
            await settled(node)
            turn = node._turn

            def counted() -> None:
                nonlocal turns
                turns += 1
                turn()

            monkeypatch.setattr(node.turns, "_turn", counted)
            for _ in range(1000):
                node.turns.wake()
            await node.turns.until(lambda: True)
            assert turns == 1
            written = paths.status.stat().st_mtime_ns
            for _ in range(20):
                await node.turns.until(lambda: True)
            assert paths.status.stat().st_mtime_ns == written

    run(work())


# --- those who wait ------------------------------------------------------------------------------------------


def test_question_that_breaks_is_the_affair_of_the_one_who_asked(paths: Paths) -> None:
    async def work() -> None:
        async with node_of(paths, plan(unit("pgsql"))) as node:
            loop = asyncio.get_running_loop()
            broken = loop.create_task(node.turns.until(lambda: bool(1 / 0)))
            good = loop.create_task(node.turns.until(lambda: node.decision.is_settled))
            with pytest.raises(ZeroDivisionError):
                await broken
            async with asyncio.timeout(10):
                await good
            assert not node.turns._waiting

    run(work())


def test_who_gives_up_waiting_leaves_nothing(paths: Paths) -> None:
    async def work() -> None:
        async with node_of(paths, plan(unit("pgsql"))) as node:
            for _ in range(20):
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(node.turns.until(lambda: False), 0.001)
            await node.turns.until(lambda: True)
            assert not node.turns._waiting

    run(work())


def test_watcher_that_breaks_loses_no_wake_up(paths: Paths) -> None:
    def breaks(*_: object) -> None:
        raise RuntimeError("boom")

    async def work() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        async with node_of(paths, LADDER) as node:
            node.stage.watchers.append(breaks)
            await settled(node)

    asyncio.run(work())


# --- trouble -------------------------------------------------------------------------------------------------


def spoil(path: Path) -> Callable[[], None]:
    """Nothing can be written at ``path`` until what is returned is called."""
    path.unlink(missing_ok=True)
    path.mkdir(parents=True)
    return path.rmdir


@pytest.mark.parametrize("which", ["role", "status", "state"])
def test_file_that_cannot_be_written_is_written_when_it_can(
    paths: Paths, caplog: pytest.LogCaptureFixture, which: str
) -> None:
    path: Path = getattr(paths, which)

    async def work() -> None:
        mend = spoil(path)
        async with node_of(paths, LADDER) as node:
            await settled(node)
            for _ in range(50):
                await node.turns.until(lambda: True)
            for other in {paths.role, paths.status, paths.state} - {path}:
                assert other.is_file(), other
            if which != "status":
                assert status(paths)["text"].startswith("ESC Standalone Degraded: cannot ")
                assert str(path) in status(paths)["text"]
            mend()
            await wait_for(path.is_file, f"{path} is written")
            await node.turns.until(lambda: True)
            assert status(paths)["text"] == "ESC Standalone Healthy"

    run(work())
    told = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(told) == 1
    assert f"cannot {'make the link' if which == 'role' else 'write'} {path}" in told[0].message
    assert not told[0].exc_info


def test_defect_in_a_status_leaves_no_old_one(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(*_: object, **__: object) -> None:
        raise RuntimeError("boom")

    async def work() -> None:
        async with node_of(paths, LADDER) as node:
            await settled(node)
            with monkeypatch.context() as patch:
                patch.setattr("escadm.agent.outputs.outputs.picture", breaks)
                await node.turns.until(lambda: True)
                assert (paths.status.exists(), node.outputs.misleads) == (False, False)
                paths.status.write_text("{}")
                patch.setattr(Path, "unlink", breaks_for(paths.status))
                await wait_for(lambda: node.outputs.misleads)
            await wait_for(lambda: not node.outputs.misleads)
            assert status(paths)["text"] == "ESC Standalone Healthy"

    run(work())


def breaks_for(path: Path) -> Callable[..., None]:
    real = Path.unlink

    def unlink(self: Path, missing_ok: bool = False) -> None:
        if self == path:
            raise PermissionError(f"{self} is immutable")
        real(self, missing_ok)

    return unlink


def test_word_of_somebody_else_does_not_last_a_turn(paths: Paths) -> None:
    async def work() -> None:
        async with node_of(paths, LADDER) as node:
            await settled(node)
            paths.role.write_text("MASTER\n")
            await node.turns.until(lambda: True)
            assert paths.role.read_text() == "STANDALONE\n"

    run(work())


def test_run_folder_that_is_deleted_comes_back(paths: Paths) -> None:
    async def work() -> None:
        async with node_of(paths, LADDER) as node:
            await settled(node)
            shutil.rmtree(paths.run)
            node.wishes.down = frozenset({"mona"})
            node.turns.wake()
            await wait_for(lambda: paths.status.exists() and "by hand" in status(paths)["text"])
            assert load(paths).down == ("mona",)
            assert paths.role.read_text() == "STANDALONE\n"

    run(work())


def test_an_agent_that_is_killed_while_it_ends_leaves_no_stop_to_the_next(paths: Paths) -> None:
    async def work() -> None:
        async with node_of(paths, LADDER) as node:
            await settled(node)
            await node.stop_for_good()
            assert node.stage.is_down()
            assert load(paths).active
            node.remember()
            assert load(paths).active

    run(work())


def test_defect_in_a_turn_is_told_once_and_tried_again(
    paths: Paths, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def work() -> None:
        def breaks(*_: object) -> None:
            raise RuntimeError("boom")

        with monkeypatch.context() as patch:
            patch.setattr("escadm.agent.node.decide", breaks)
            node = Node(paths, LADDER, Memory())
            for _ in range(20):
                await node.turns.until(lambda: True)
        await settled(node)  # by its own second attempt: nobody wakes it but once, before the defect was gone
        await node.stop_for_good()
        node.end()

    run(work())
    assert len([record for record in caplog.records if record.exc_info]) == 1


def test_attempts_are_told_when_they_change_and_end_well(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    again: list[bool] = []

    async def work() -> None:
        attempts = Attempts(lambda: again.append(True))

        def fail(how: str) -> Callable[[], None]:
            def work() -> None:
                raise RuntimeError(how)

            return work

        for how in ("a", "a", "b", "b", "a"):
            assert not attempts.make("work", fail(how))
        await wait_for(lambda: again)
        assert again == [True]
        assert attempts.make("work", lambda: None)
        assert attempts.make("work", lambda: None)

    run(work())
    assert [record.message for record in caplog.records] == ["work: a defect of ours"] * 3 + ["work: well again"]


# --- pairs ---------------------------------------------------------------------------------------------------

VRRP = KeepalivedSpec(ip_address("192.0.2.1"), "lo", "lo", 51)


def pair() -> Plan:
    condition = Unit("keepalived:master", Kind.CONDITION, ("keepalived",))
    base = plan(
        unit("keepalived", kind=Kind.KEEPALIVED, spec=VRRP),
        condition,
        unit("pgsql", needs=("keepalived:master",)),
        unit("mona", needs=("pgsql",)),
    )
    return replace(base, keepalived=VRRP)


class Stubs:
    """Drivers by name that do as they are told, here and now changeable."""

    def __init__(self) -> None:
        self.told: dict[str, list[str]] = {}
        self.answers: dict[str, dict[str, tuple[float, Event, str] | None]] = {}
        self.made: dict[str, Scripted] = {}

    def __call__(self, unit: Unit, post: Post) -> Driver:
        answers = self.answers.get(unit.name, OBEDIENT)
        self.made[unit.name] = Scripted(post, answers, self.told.setdefault(unit.name, []))
        return self.made[unit.name]


def test_a_word_that_cannot_be_true_is_questioned(paths: Paths) -> None:
    class Speaker:
        def __init__(self) -> None:
            self.heard: list[object] = []

        def word(self) -> None:
            self.heard.append("word")

        def question(self, act: WordAct, spec: KeepalivedSpec, why: str) -> None:
            self.heard.append((act, spec, why))

    async def work() -> None:
        node = ScriptedNode(paths, pair(), Stubs())
        node.inputs.words.speaker = speaker = Speaker()
        node._carry_out(replace(node.decision, word_act=WordAct.ASK, word_why="the VIP is not here"))
        assert speaker.heard == [(WordAct.ASK, VRRP, "the VIP is not here")]
        await node.stop_for_good()
        node.end()

    run(work())


def test_the_address_is_guarded_as_it_was_decided(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        node, told = ScriptedNode(paths, pair(), Stubs()), list[bool]()
        monkeypatch.setattr(node.inputs.claims, "guard", told.append)
        for guards in (True, False):
            node._carry_out(replace(node.decision, guards_address=guards))
        assert told == [True, False]
        await node.stop_for_good()
        node.end()

    run(work())


def test_role_follows_keepalived_and_is_reached_before_it_is_told(paths: Paths) -> None:
    async def work() -> None:
        stubs = Stubs()
        node = ScriptedNode(paths, pair(), stubs)
        await wait_for(lambda: node.stage.state("keepalived") is UnitState.RUNNING)
        assert paths.role.read_text() == "FAULT\n"
        node.inputs._on_vrrp(Vrrp.BACKUP)
        await wait_for(lambda: paths.role.read_text() == "BACKUP\n")
        node.inputs._on_vrrp(Vrrp.MASTER)
        await settled(node)
        assert paths.role.read_text() == "MASTER\n"
        assert paths.fitness.read_text() == "0\n"
        stubs.made["mona"].answers = {**OBEDIENT, "terminate": None}
        node.inputs._on_vrrp(Vrrp.BACKUP)
        await wait_for(lambda: node.stage.state("mona") is UnitState.STOPPING)
        assert paths.role.read_text() == "MASTER\n"
        stubs.made["mona"].post(Event.GONE, "")
        await wait_for(lambda: paths.role.read_text() == "BACKUP\n")
        assert [(each.before, each.after) for each in node.outputs.journal.changes] == [
            ("FAULT", "BACKUP"),
            ("BACKUP", "MASTER"),
            ("MASTER", "BACKUP"),
        ]
        assert set(node.outputs.journal.changes[-1].phases) == {"stopped", "role", "total"}
        await node.stop_for_good()
        node.end()
        assert paths.role.read_text() == "FAULT\n"

    run(work())


def test_a_change_of_role_has_the_time_of_each_rung(paths: Paths) -> None:
    async def work() -> None:
        promotion = Unit("drbd:master", Kind.PROMOTION, ("keepalived:master",))
        mount = Unit("data", Kind.FILESYSTEM, ("drbd:master",), FilesystemSpec("/data"))
        node = ScriptedNode(paths, replace(plan(*pair().units.values(), promotion, mount), keepalived=VRRP), Stubs())
        node.inputs._on_vrrp(Vrrp.MASTER)
        await settled(node)
        phases = node.outputs.journal.changes[-1].phases
        assert list(phases) == ["promotion", "filesystem", "role", "services", "total"]
        await node.stop_for_good()
        node.end()

    run(work())


def test_a_decision_names_the_time_of_the_next_turn(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        taken: list[bool] = []
        async with node_of(paths, LADDER) as node:
            await settled(node)
            with monkeypatch.context() as patch:
                patch.setattr(node.turns, "_turn", lambda: taken.append(True))
                await wait_for(lambda: not node.turns._due)
                taken.clear()
                node._carry_out(replace(node.decision, look_again=asyncio.get_running_loop().time() + 0.01))
                assert not node.turns._due
                async with asyncio.timeout(10):  # sooner than anything else wakes it
                    await wait_for(lambda: taken)

    run(work())


def test_fitness_that_could_not_be_written_is_written_later(paths: Paths) -> None:
    async def work() -> None:
        mend = spoil(paths.fitness)
        node = ScriptedNode(paths, pair(), Stubs())
        await wait_for(lambda: node.stage.state("keepalived") is UnitState.RUNNING)
        mend()
        await wait_for(paths.fitness.is_file)
        await node.stop_for_good()
        node.end()

    run(work())


FAILS: dict[str, tuple[float, Event, str] | None] = {**OBEDIENT, "start": (0.0, Event.EXITED, "exited with code 3")}


async def master_with_failing_mona(paths: Paths) -> tuple[ScriptedNode, Stubs]:
    stubs = Stubs()
    stubs.answers["mona"] = FAILS
    node = ScriptedNode(paths, pair(), stubs)
    node.inputs._on_vrrp(Vrrp.MASTER)
    async with asyncio.timeout(10):
        await node.turns.until(lambda: failing(node.situation()) == ["mona"])
    return node, stubs


class Link:
    """A peer that is there and able."""

    heard_at: float | None = None

    def __init__(self) -> None:
        self.peer = Peer("192.0.2.9", heard=True, vrrp=Vrrp.BACKUP, role=Role.BACKUP, fit=True, settled=True)

    def say(self) -> None: ...

    def acquaintance(self) -> None: ...

    def close(self) -> None: ...


def test_role_is_given_up_to_an_able_peer_and_services_stop_before_the_vip_goes(paths: Paths) -> None:
    async def work() -> None:
        node, stubs = await master_with_failing_mona(paths)
        assert node.role is Role.MASTER
        assert paths.fitness.read_text() == "0\n"
        stubs.made["pgsql"].answers = {**OBEDIENT, "terminate": None}
        node.inputs.link = Link()  # type: ignore[assignment]
        node.turns.wake()
        await wait_for(lambda: node.stage.state("pgsql") is UnitState.STOPPING)
        assert "gave the role up: mona exited with code 3" in str(node.kept.release)
        assert paths.fitness.read_text() == "0\n"
        stubs.made["pgsql"].post(Event.GONE, "")
        await wait_for(lambda: paths.fitness.read_text() == "-254\n")
        await node.stop_for_good()
        node.end()

    run(work())


def test_service_that_an_administrator_stopped_is_no_reason_to_give_up(paths: Paths) -> None:
    async def work() -> None:
        node, _ = await master_with_failing_mona(paths)
        node.wishes.down = frozenset({"mona"})
        node.inputs.link = Link()  # type: ignore[assignment]
        node.turns.wake()
        await node.turns.until(lambda: node.stage.state("mona") is UnitState.STOPPED)
        assert failing(node.situation()) == []
        assert not node.kept.release
        assert node.decision.is_settled
        await node.stop_for_good()
        node.end()

    run(work())


def test_flapping_ends_as_the_last_word_says_and_no_two_changes_overlap(
    paths: Paths, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    async def work() -> None:
        stubs = Stubs()
        slow = {verb: (0.002, event, reason) for verb, (_, event, reason) in OBEDIENT.items()}  # type: ignore[misc]
        stubs.answers = {"pgsql": dict(slow), "mona": dict(slow)}
        node = ScriptedNode(paths, pair(), stubs)
        words = random.Random(7)  # noqa: S311
        for _ in range(100):
            node.inputs._on_vrrp(words.choice([Vrrp.MASTER, Vrrp.BACKUP, Vrrp.FAULT]))
            for _ in range(words.randrange(4)):
                await asyncio.sleep(0)
        node.inputs._on_vrrp(Vrrp.BACKUP)
        node.inputs._on_vrrp(Vrrp.MASTER)
        await settled(node)
        assert node.role is Role.MASTER
        assert len(node.outputs.journal.changes) <= 20
        await node.stop_for_good()
        node.end()

    run(work())
    begun = 0
    for record in caplog.records:
        if record.message.startswith("role change"):
            begun += 1 if " began: " in record.message else -1
            assert begun in (0, 1), record.message


# --- any sequence ----------------------------------------------------------------------------------------------


class Whims:
    """Drivers that take their time and break now and then, by a seed."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)  # noqa: S311
        self.calm = False
        self.alive: list[Scripted] = []

    def __call__(self, unit: Unit, post: Post) -> Driver:
        fails = not self.calm and self.chance.random() < 0.2
        answers: dict[str, tuple[float, Event, str] | None] = {
            "start": (self.delay(), Event.EXITED, "exited with code 1") if fails else (self.delay(), Event.READY, ""),
            "terminate": (self.delay(), Event.STOP_FAILED, "busy") if fails else (self.delay(), Event.GONE, ""),
            "kill": (self.delay(), Event.GONE, ""),
        }
        driver = Scripted(post, answers, [])
        self.alive.append(driver)
        return driver

    def delay(self) -> float:
        return self.chance.random() * 0.003

    def crash(self) -> None:
        if self.alive:
            self.chance.choice(self.alive).post(Event.EXITED, "was killed by SIGKILL")


@pytest.mark.parametrize("seed", range(12))
def test_any_sequence_of_wishes_and_faults_ends_at_the_goal(paths: Paths, seed: int) -> None:
    small = plan(
        unit("a"), unit("b", needs=("a",)), unit("c", needs=("a",)), unit("d", needs=("b", "c"), startup=False)
    )
    changed = plan(unit("a"), unit("b", "another", needs=("a",)), unit("e", needs=("b",)))

    async def work() -> None:
        whims = Whims(seed)
        chance = random.Random(seed + 1000)  # noqa: S311
        node = ScriptedNode(paths, small, whims)

        def wish() -> None:
            match chance.randrange(7):
                case 0:
                    node.wishes.active = not node.wishes.active
                case 1:
                    node.wishes.down ^= {chance.choice(list(node.plan.units))}
                case 2:
                    node.wishes.up ^= {"d"}
                case 3:
                    node.stage.stale |= {
                        name for name in node.plan.units if node.stage.state(name) is UnitState.RUNNING
                    }
                case 4:
                    node.take_plan(chance.choice([small, changed]))
                case 5:
                    node.stage.reset(node.plan.units)
                case 6:
                    whims.crash()

        for _ in range(60):
            wish()
            node.turns.wake()
            await asyncio.sleep(whims.delay())
        whims.calm = True
        for driver in whims.alive:
            driver.answers |= OBEDIENT
        node.wishes.active, node.wishes.down = True, frozenset()
        node.stage.reset(node.plan.units)
        node.turns.wake()
        async with asyncio.timeout(20):
            await node.turns.until(lambda: node.decision.is_settled)
        for name in node.plan.units:
            wanted = name in node.decision.goal
            assert (node.stage.state(name) is UnitState.RUNNING) == wanted, name
        await node.stop_for_good()
        node.end()
        assert node.stage.is_down()

    run(work())


# --- resources -------------------------------------------------------------------------------------------------


def test_restarts_leave_no_descriptor_and_no_task(paths: Paths) -> None:
    async def work() -> None:
        async with node_of(paths, plan(unit("pgsql"), unit("mona"))) as node:

            async def again() -> None:
                node.stage.stale |= {"pgsql"}
                node.turns.wake()
                await node.turns.until(lambda: not node.stage.stale and node.decision.is_settled)

            await settled(node)
            await again()
            await wait_for(lambda: pidfds() == 2)
            before = len(descriptors())
            for _ in range(20):
                await again()
            await wait_for(lambda: len(descriptors()) <= before)  # one that was on its way out may have been counted
            assert len(asyncio.all_tasks()) <= 3
            assert len(node.stage.drivers) == len(node.stage.lives) == 2
            assert len(json.dumps(status(paths))) < 5000

    def pidfds() -> int:
        return sum("pidfd" in each for each in descriptors())

    run(work())
