"""Taking over: a node that finds what an earlier agent left, state by state, with real processes."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from ipaddress import ip_address

import pytest

from escadm.agent import adopt as adopt_module
from escadm.agent.adopt import adopt
from escadm.agent.drivers.probing import mark_prefix
from escadm.agent.node import Node
from escadm.agent.outputs.memory import Memory, UnitMemory, remember, restore_unit
from escadm.core.drbd.state import Replica
from escadm.core.lifecycle import Life
from escadm.core.plan import Plan, Unit
from escadm.core.probes import Alive, Notify
from escadm.core.rules.trouble import failing
from escadm.core.specs import FilesystemSpec, KeepalivedSpec, Kind, ProcessSpec
from escadm.core.states import Role, UnitState, Vrrp
from escadm.errors import Failed
from escadm.paths import Paths
from escadm.system.process import ProcessId, command_name, is_alive, spawn
from tests.unit.agent.test_service import DAEMON
from tests.unit.agent.world import plan, python, run, status, unit, wait_for
from tests.unit.system.services import mark_of

PGSQL = unit("pgsql")


class Past:
    """What an earlier agent has left: processes, and what it wrote down of them."""

    def __init__(self, paths: Paths) -> None:
        self.paths = paths
        self.units: dict[str, UnitMemory] = {}
        self.children: list[subprocess.Popen[bytes]] = []

    def process(self, planned: Unit) -> ProcessId:
        assert isinstance(planned.spec, ProcessSpec)
        child, leader = spawn(
            planned.spec,
            mark=mark_prefix(self.paths) + planned.name,
            log=self.paths.root / "log",
            environment={"AT": str(self.paths.root)},
        )
        self.children.append(child)
        while mark_of(leader.pid) is None:  # the kernel shows the environment a moment after exec
            assert child.poll() is None
        return leader

    def of(self, planned: Unit, life: Life, leader: ProcessId | None, *, stale: bool = False) -> None:
        self.units[planned.name] = remember(planned, life, leader, stale=stale)

    def running(self, planned: Unit, state: UnitState = UnitState.RUNNING, **more: object) -> ProcessId:
        now = asyncio.get_running_loop().time()
        leader = self.process(planned)
        self.of(planned, replace(Life(state, now - 5, now + 60), **more), leader)  # type: ignore[arg-type]
        return leader

    @property
    def memory(self) -> Memory:
        return Memory(units=self.units)


@pytest.fixture
def past(paths: Paths) -> Iterator[Past]:
    left = Past(paths)
    yield left
    for child in left.children:
        child.kill()
        child.wait()


@asynccontextmanager
async def successor(past: Past, planned: Plan, memory: Memory | None = None) -> AsyncIterator[Node]:
    """The next agent's node, after its first turns."""
    node = Node(past.paths, planned, memory or past.memory)
    adopt(node, memory or past.memory)
    node.turns.wake()
    try:
        yield node
    finally:
        await node.stop_for_good()
        node.end()


async def settled(node: Node) -> None:
    async with asyncio.timeout(10):
        await node.turns.until(lambda: node.decision.is_settled)


def leader_of(node: Node, name: str = "pgsql") -> ProcessId | None:
    return node.stage.drivers[name].leader


@pytest.mark.parametrize("state", [UnitState.RUNNING, UnitState.STARTING])
def test_what_is_up_goes_on(past: Past, state: UnitState) -> None:
    async def work() -> None:
        leader = past.running(PGSQL, state, restarts=2)
        async with successor(past, plan(PGSQL)) as node:
            await settled(node)
            assert leader_of(node) == leader
            assert is_alive(leader)
            (told,) = status(past.paths)["resources"]
            assert (told["state"], told["pgid"], told["restarts"]) == ("running", leader.pid, 2)
            assert told["since"]
        assert not is_alive(leader)

    run(work())


def test_new_limits_count_without_a_restart(past: Past) -> None:
    async def work() -> None:
        leader = past.running(PGSQL)
        async with successor(past, plan(replace(PGSQL, stop_timeout=3.0))) as node:
            await settled(node)
            assert leader_of(node) == leader
            assert node.stage.units["pgsql"].stop_timeout == 3.0

    run(work())


@pytest.mark.parametrize("state", [UnitState.STOPPING, UnitState.KILLING])
@pytest.mark.parametrize("again", [False, True])
def test_what_was_going_goes_and_comes_back_if_it_is_wanted(past: Past, state: UnitState, again: bool) -> None:
    async def work() -> None:
        leader = past.running(PGSQL, state, again=again, streak=int(again))
        async with successor(past, plan(PGSQL)) as node:
            await wait_for(lambda: not is_alive(leader))
            await settled(node)
            assert leader_of(node) != leader

    run(work())


def test_past_deadline_is_due_at_once(past: Past) -> None:
    slow = unit("pgsql", ready=Alive(600), start_timeout=600)

    async def work() -> None:
        now = asyncio.get_running_loop().time()
        leader = past.process(slow)
        past.of(slow, Life(UnitState.STARTING, now - 700, now - 100), leader)
        async with successor(past, plan(slow)) as node:
            await wait_for(lambda: node.stage.lives["pgsql"].streak == 1)
            assert node.stage.lives["pgsql"].reason == "was not ready within 600 s"

    run(work())


def test_service_that_was_to_notify_starts_anew(past: Past) -> None:
    notifying = unit("pgsql", ready=Notify(), start_timeout=30)

    async def work() -> None:
        leader = past.running(notifying, UnitState.STARTING)
        async with successor(past, plan(notifying)) as node:
            assert node.stage.stale == {"pgsql"}
            await wait_for(lambda: not is_alive(leader))
            await wait_for(lambda: leader_of(node) not in (None, leader))

    run(work())
    past.units.clear()

    async def ready() -> None:
        leader = past.running(notifying)
        async with successor(past, plan(notifying)) as node:
            await settled(node)
            assert leader_of(node) == leader

    run(ready())


def test_failures_are_remembered(past: Past) -> None:
    async def work() -> None:
        now = asyncio.get_running_loop().time()
        failed = Life(UnitState.FAILED, now, now + 60, 4, now - 20, 4, "exited with code 3", True)
        past.of(PGSQL, failed, ProcessId(1, 1, "x"))
        past.of(unit("mona"), replace(failed, state=UnitState.BACKOFF, deadline=now - 1, failed=False), None)
        past.of(unit("etsi"), replace(failed, state=UnitState.STOPPED, deadline=None), None)
        past.of(unit("gone"), failed, None)
        async with successor(past, plan(PGSQL, unit("mona"), unit("etsi"))) as node:
            await wait_for(lambda: node.stage.state("mona") is UnitState.RUNNING)
            assert node.stage.lives["pgsql"] == failed
            assert node.stage.lives["mona"].streak == 4
            assert failing(node.situation()) == ["etsi", "pgsql"]
            assert "gone" not in node.stage.lives
            await wait_for(lambda: status(past.paths)["text"].endswith("Failed: pgsql exited with code 3"))

    run(work())


def test_what_ended_meanwhile_is_a_failure_and_starts_again(past: Past) -> None:
    async def work() -> None:
        leader = past.running(PGSQL)
        past.children[0].kill()
        past.children[0].wait()
        past.of(PGSQL, Life(UnitState.RUNNING), leader)
        async with successor(past, plan(PGSQL)) as node:
            await wait_for(lambda: node.stage.lives["pgsql"].restarts == 1)
            assert "its code is not known" in node.stage.lives["pgsql"].reason
            await settled(node)

    run(work())


def test_start_that_never_came_to_a_process_is_made_anew(past: Past) -> None:
    async def work() -> None:
        past.of(PGSQL, Life(UnitState.STARTING), None)
        async with successor(past, plan(PGSQL)) as node:
            await settled(node)

    run(work())


def test_changed_definition_goes_round_and_a_removed_one_ends(past: Past) -> None:
    async def work() -> None:
        changed, removed = past.running(PGSQL), past.running(unit("mona"))
        other = unit("pgsql", "sleep", "601")
        async with successor(past, plan(other)) as node:
            await settled(node)
            assert leader_of(node) not in (None, changed)
            await wait_for(lambda: not is_alive(changed) and not is_alive(removed))

    run(work())


def test_stopped_node_stays_stopped(past: Past) -> None:
    async def work() -> None:
        leader = past.running(PGSQL)
        async with successor(past, plan(PGSQL), replace(past.memory, active=False)) as node:
            await wait_for(lambda: not is_alive(leader))
            await node.turns.until(node.stage.is_down)
            assert status(past.paths)["text"] == "ESC Stopped"

    run(work())


# --- by the mark alone ------------------------------------------------------------------------------------------


def test_what_nobody_wrote_down_is_found(past: Past, caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        leader, stranger = past.process(PGSQL), past.process(unit("of-an-older-plan"))
        async with successor(past, plan(PGSQL), Memory()) as node:
            await settled(node)
            assert leader_of(node) == leader
            await wait_for(lambda: not is_alive(stranger))

    run(work())
    assert "pgsql: found running" in caplog.text


@pytest.mark.parametrize("known", [True, False])
def test_child_with_a_session_of_its_own_is_not_the_leader(past: Past, known: bool) -> None:
    daemon = python("pgsql", DAEMON)

    async def work() -> None:
        leader = past.running(daemon)
        await wait_for(lambda: (past.paths.root / "daemon").exists() and (past.paths.root / "daemon").read_text())
        child = int((past.paths.root / "daemon").read_text())
        assert os.getsid(child) == child
        async with successor(past, plan(daemon), None if known else Memory()) as node:
            await settled(node)
            assert leader_of(node) == leader
            assert is_alive(leader)
            assert node.stage.lives["pgsql"].restarts == 0
            os.kill(child, 9)
            for _ in range(20):
                await node.turns.until(lambda: True)
            assert node.decision.is_settled

    run(work())


@pytest.mark.parametrize("name", ["pgsql:check", "pgsql:watch"])
def test_command_that_still_asked_is_swept_and_nothing_to_warn_of(
    past: Past, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def work() -> None:
        leader, asking = past.running(PGSQL), past.process(unit(name))
        async with successor(past, plan(PGSQL)) as node:
            await wait_for(lambda: not is_alive(asking))
            await settled(node)
            assert leader_of(node) == leader
            assert [each["name"] for each in status(past.paths)["resources"]] == ["pgsql"]

    run(work())
    assert "WARNING" not in caplog.text


# --- without a process, and keepalived ------------------------------------------------------------------------------


def test_groups_folders_and_mounts(past: Past) -> None:
    folder = Unit("filesystem", Kind.FILESYSTEM, spec=FilesystemSpec("/db"))
    lost = Unit("scratch", Kind.FILESYSTEM, spec=FilesystemSpec("/scratch", "/dev/nonexistent"))
    group = Unit("esc_service", Kind.GROUP, ("filesystem",))

    async def work() -> None:
        for each in (folder, group, lost):
            past.of(each, Life(UnitState.RUNNING), None)
        async with successor(past, plan(folder, group)) as node:
            assert node.stage.state("scratch") is UnitState.STOPPED
            await settled(node)
            assert node.stage.state("esc_service") is UnitState.RUNNING

    run(work())


def test_one_that_cannot_be_taken_over_does_not_keep_the_agent_from_the_others(
    past: Past, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def breaks(memory: UnitMemory, planned: Unit | None) -> tuple[Unit, bool]:
        if memory.name == "mona":
            raise RuntimeError("boom")
        return restore_unit(memory, planned)

    monkeypatch.setattr(adopt_module, "restore_unit", breaks)

    async def work() -> None:
        past.of(unit("mona"), Life(UnitState.RUNNING), None)
        leader = past.running(PGSQL)
        async with successor(past, plan(PGSQL, unit("mona"))) as node:
            await settled(node)
            assert leader_of(node) == leader

    run(work())
    assert "mona: a defect of ours: not adopted" in caplog.text


VRRP = KeepalivedSpec(ip_address("192.0.2.1"), "lo", "lo", 51)


@pytest.mark.parametrize("known", [True, False])
def test_keepalived_is_up_without_another_word(past: Past, known: bool) -> None:
    """It says nothing new on a standby that stays one."""
    deaf = "import signal, time; signal.signal(signal.SIGHUP, signal.SIG_IGN); open('%s/up', 'w'); time.sleep(600)"
    stand_in = unit("keepalived", sys.executable, "-S", "-c", deaf % past.paths.root)
    planned = Unit("keepalived", Kind.KEEPALIVED, spec=VRRP, start_timeout=0.5)

    async def work() -> None:
        leader = past.process(stand_in)
        await wait_for((past.paths.root / "up").exists)
        assert command_name(leader.pid)
        now = asyncio.get_running_loop().time()
        if known:
            past.of(planned, Life(UnitState.STARTING, now, now + 0.5), leader)
        async with successor(past, replace(plan(planned), keepalived=VRRP)) as node:
            await settled(node)
            assert (node.inputs.vrrp, node.role) == (Vrrp.BACKUP, Role.BACKUP)
            assert leader_of(node, "keepalived") == leader
            driver: object = node.stage.drivers["keepalived"]
            assert node.inputs.words.speaker is driver
            assert past.paths.role.read_text() == "BACKUP\n"

    run(work())


def test_word_that_came_while_nobody_listened_counts(past: Past) -> None:
    deaf = "import signal, time; signal.signal(signal.SIGHUP, signal.SIG_IGN); open('%s/up', 'w'); time.sleep(600)"
    planned = Unit("keepalived", Kind.KEEPALIVED, spec=VRRP)
    os.mkfifo(past.paths.fifo)
    keepalived = os.open(past.paths.fifo, os.O_RDWR | os.O_NONBLOCK)
    os.write(keepalived, b'INSTANCE "ESC" MASTER 250\nINSTANCE "ESC" FAULT 250\n')

    async def work() -> None:
        leader = past.process(unit("keepalived", sys.executable, "-S", "-c", deaf % past.paths.root))
        await wait_for((past.paths.root / "up").exists)
        past.of(planned, Life(UnitState.RUNNING), leader)
        async with successor(past, replace(plan(planned), keepalived=VRRP)) as node:
            assert node.inputs.vrrp is Vrrp.FAULT
            await settled(node)
            assert node.role is Role.FAULT

    run(work())
    os.close(keepalived)


@pytest.mark.parametrize("planned", [True, False])
def test_keepalived_of_another_definition_has_to_go(past: Past, monkeypatch: pytest.MonkeyPatch, planned: bool) -> None:
    """Killed only when it has not followed: it removes the VIP and says goodbye. What it was says nothing now."""
    monkeypatch.setattr("escadm.agent.drivers.keepalived.command", lambda *_: ("sleep", "601"))
    before = Unit("keepalived", Kind.KEEPALIVED, spec=VRRP)
    after = replace(before, spec=replace(VRRP, virtual_router_id=52))

    async def work() -> None:
        leader = past.process(unit("keepalived", "sleep", "600"))
        past.of(before, Life(UnitState.KILLING), leader)
        async with successor(past, plan(after) if planned else plan()) as node:
            assert (node.inputs.vrrp, node.stage.state("keepalived")) == (Vrrp.UNKNOWN, UnitState.KILLING)
            await wait_for(lambda: past.children[0].poll() == -15)
            await wait_for(lambda: leader_of(node, "keepalived") != leader or not planned)
            await wait_for(
                lambda: node.stage.state("keepalived") is (UnitState.STARTING if planned else UnitState.STOPPED)
            )

    run(work())


def test_a_process_that_says_it_is_the_role_is_ended(past: Past) -> None:
    """Its mark is anybody's to set."""

    async def work() -> None:
        liar = past.process(unit("keepalived:master"))
        async with successor(past, plan(*VOLUME[1:2]), Memory()):
            await wait_for(lambda: not is_alive(liar))

    run(work())


VOLUME = (
    Unit("drbd", Kind.DRBD),
    Unit("keepalived:master", Kind.CONDITION),
    Unit("drbd:master", Kind.PROMOTION, ("drbd", "keepalived:master")),
)


class Kernel:
    """What DRBD says, and what it is told to do."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, replica: Replica | Exception | None) -> None:
        self.done: list[str] = []
        self.listeners: list[subprocess.Popen[bytes]] = []
        self.replica = replica
        self.allowed = 0
        monkeypatch.setattr("escadm.agent.inputs.drbd_events.read_replica", self.look)
        monkeypatch.setattr("escadm.agent.drivers.drbd.read_replica", self.look)
        monkeypatch.setattr("escadm.agent.inputs.drbd_events.open_events", self.events)
        for name in ("bring_up", "take_down", "promote", "demote"):
            monkeypatch.setattr(f"escadm.agent.drivers.drbd.{name}", lambda n=name: self.done.append(n))
        monkeypatch.setattr("escadm.agent.drivers.drbd.allow_syncs", self.allow_syncs)

    def look(self) -> Replica | None:
        if isinstance(self.replica, Exception):
            raise self.replica
        return self.replica

    def allow_syncs(self) -> None:
        self.allowed += 1
        raise Failed("drbdadm: no end after 20 s")  # which is nothing to stop for

    def events(self) -> subprocess.Popen[bytes]:
        self.listeners.append(subprocess.Popen(["sleep", "60"], stdout=subprocess.PIPE))
        return self.listeners[-1]

    def end(self) -> None:
        """A node that a test has done with may still have started to listen."""
        for listener in self.listeners:
            listener.kill()
            listener.wait()
            if listener.stdout is not None:
                listener.stdout.close()


PRIMARY = Replica("Primary", "Connected", "Secondary", "UpToDate", "UpToDate", "Established", 0, 4096)


@pytest.mark.parametrize(
    ("remembered", "said", "state"),
    [
        (UnitState.RUNNING, PRIMARY, UnitState.RUNNING),
        (UnitState.RUNNING, Failed("drbdsetup: no end after 5 s"), UnitState.RUNNING),
        (UnitState.RUNNING, replace(PRIMARY, role="Secondary"), UnitState.STOPPED),
        (UnitState.STARTING, PRIMARY, UnitState.STOPPING),
        (UnitState.STOPPING, PRIMARY, UnitState.STOPPING),
        (None, PRIMARY, UnitState.RUNNING),
        (None, Failed("no module"), UnitState.STOPPED),
        (None, None, UnitState.STOPPED),
    ],
)
def test_a_promotion_is_never_forgotten(
    paths: Paths, monkeypatch: pytest.MonkeyPatch, remembered: UnitState | None, said: object, state: UnitState
) -> None:
    assert said is None or isinstance(said, Replica | Exception)
    kernel = Kernel(monkeypatch, said)
    promotion = VOLUME[2]
    past = {} if remembered is None else {"drbd:master": remember(promotion, Life(remembered, 1.0), None, stale=False)}

    async def work() -> None:
        node = Node(paths, plan(*VOLUME), Memory(units=past))
        adopt(node, Memory(units=past))
        assert node.stage.state("drbd:master") is state
        if state is UnitState.STOPPING:
            await wait_for(lambda: kernel.done == ["demote"])
        node.inputs.volume.close()

    run(work())
    kernel.end()


def test_a_volume_that_the_plan_no_longer_has_is_taken_down(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel(monkeypatch, PRIMARY)
    past = {"drbd": remember(VOLUME[0], Life(UnitState.RUNNING, 1.0), None, stale=False)}

    async def work() -> None:
        node = Node(paths, plan(), Memory(units=past))
        adopt(node, Memory(units=past))
        node.turns.wake()
        await wait_for(lambda: kernel.done == ["take_down"])
        assert kernel.allowed == 0
        await wait_for(lambda: node.stage.state("drbd") is UnitState.STOPPED)

    run(work())
    kernel.end()


def test_a_volume_that_is_gone_is_no_healthy_one(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel(monkeypatch, PRIMARY)

    async def work() -> None:
        node = Node(paths, plan(VOLUME[0]), Memory())
        adopt(node, Memory())
        await wait_for(lambda: node.inputs.replica is not None)
        assert node.stage.state("drbd") is UnitState.RUNNING
        assert kernel.allowed == 1  # it was nobody's yet: as a first installation leaves it
        kernel.replica = None
        node.inputs.volume.look()
        await wait_for(lambda: node.stage.lives["drbd"].streak == 1)
        assert "somebody else took the volume down" in node.stage.lives["drbd"].reason
        node.inputs.volume.close()

    run(work())
    kernel.end()
