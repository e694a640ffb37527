"""The volume and its promotion as units. The listener is a real process; what DRBD would do is the test's own."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from escadm.agent.drivers import drbd
from escadm.agent.drivers.drbd import Drbd, Promotion
from escadm.agent.drivers.driver import Inherited, Tools
from escadm.agent.inputs import drbd_events
from escadm.agent.inputs.drbd_events import ReplicaFeed
from escadm.core.drbd.state import Replica
from escadm.core.lifecycle import Event, Life
from escadm.core.plan import Unit
from escadm.core.specs import Kind
from escadm.core.states import UnitState
from escadm.errors import Failed
from escadm.paths import Paths
from escadm.system.drbd.commands import Refused
from tests.unit.agent.world import Events, run, tools, wait_for

FINE = Replica("Secondary", "Connected", "Secondary", "UpToDate", "UpToDate", "Established", 0, 1 << 20)
ALONE = Replica("Secondary", "Connecting", "Unknown", "UpToDate", "DUnknown", "Off", 0, 1 << 20)
OLD = Replica("Secondary", "Connected", "Primary", "Inconsistent", "UpToDate", "SyncTarget", 1 << 19, 1 << 20)
VOLUME = Unit("drbd", Kind.DRBD)
MASTER = Unit("drbd:master", Kind.PROMOTION)
BELIEVES = "cannot become Primary: the peer is Primary, or DRBD has not noticed yet that it is gone"


class World(Events):
    """DRBD as the test wants it: ``state`` is read, ``answers`` of a verb are raised in turn, the last for ever."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, paths: Paths) -> None:
        super().__init__()
        self.paths = paths
        self.state: Replica | Exception | None = FINE
        self.answers: dict[str, list[Exception | None]] = {}
        self.told: list[str] = []
        self.held: dict[str, threading.Event] = {}
        self.seen: list[Replica | None] = []
        self.posts: list[tuple[Event, str]] = []
        monkeypatch.setattr(drbd_events, "open_events", self.open_events)
        for module in (drbd_events, drbd):
            monkeypatch.setattr(module, "read_replica", self.read_replica)
        monkeypatch.setattr(drbd_events, "read_generation", lambda: "")
        monkeypatch.setattr(drbd_events, "WATCH_AGAIN", 0.02)
        monkeypatch.setattr(drbd, "FIRST_PAUSE", 0.01)
        for verb in ("bring_up", "take_down", "promote", "demote"):
            monkeypatch.setattr(drbd, verb, self.verb(verb))

    def read_replica(self) -> Replica | None:
        if isinstance(self.state, Exception):
            raise self.state
        return self.state

    def verb(self, name: str) -> Callable[[], None]:
        def act() -> None:
            self.told.append(name)
            if name in self.held:
                assert self.held[name].wait(10)
            answers = self.answers.get(name, [None])
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
            if answer is not None:
                raise answer

        return act

    def feed(self) -> ReplicaFeed:
        return ReplicaFeed(self.seen.append)

    def post(self, event: Event, reason: str) -> None:
        self.posts.append((event, reason))

    def volume(self) -> Drbd:
        return Drbd(VOLUME, self.post, self.tools())

    def promotion(self) -> Promotion:
        return Promotion(MASTER, self.post, self.tools())

    def tools(self) -> Tools:
        self.paths.fence_peer.parent.mkdir(parents=True, exist_ok=True)
        self.paths.fence_peer.touch(0o755)
        return tools(self.paths, replicas=self.feed())


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, paths: Paths) -> Iterator[World]:
    made = World(monkeypatch, paths)
    yield made
    for each in made.listeners:
        each.wait(10)  # a listener that was left behind would go on for minutes


# --- the volume ---


def test_the_volume_is_reached_without_the_peer_and_looked_at_then(world: World) -> None:
    async def work() -> None:
        world.script = "exec sleep 600"
        world.state = None
        world.held["bring_up"] = threading.Event()
        volume = world.volume()
        volume.start()
        await wait_for(lambda: world.seen == [None])
        assert world.posts == []
        world.state = ALONE
        world.held["bring_up"].set()
        await wait_for(lambda: ALONE in world.seen)
        assert world.posts == [(Event.READY, "")]
        volume.terminate()
        await wait_for(lambda: world.posts[1:])
        assert world.posts[1:] == [(Event.GONE, "")]
        assert world.told == ["bring_up", "take_down"]

    run(work())


def test_a_volume_that_does_not_come_up_or_go_down_says_why(world: World) -> None:
    async def work() -> None:
        world.answers = {
            "bring_up": [Failed("cannot bring the volume up: no")],
            "take_down": [Failed("cannot take the volume down: something holds the device open"), None],
        }
        volume = world.volume()
        volume.start()
        await wait_for(lambda: world.posts)
        volume.terminate()
        await wait_for(lambda: len(world.posts) == 2)
        volume.kill()
        await wait_for(lambda: len(world.posts) == 3)
        assert world.posts == [
            (Event.EXITED, "cannot bring the volume up: no"),
            (Event.STOP_FAILED, "cannot take the volume down: something holds the device open"),
            (Event.GONE, ""),
        ]

    run(work())


def test_it_takes_up_its_file_while_it_runs(world: World) -> None:
    async def work() -> None:
        world.script = "exec sleep 600"
        volume, file = world.volume(), str(world.paths.drbd_res)
        world.held["bring_up"] = threading.Event()
        volume.start()
        await volume.reload([file])
        world.held.pop("bring_up").set()
        await wait_for(lambda: (Event.READY, "") in world.posts)
        await volume.reload(["/etc/keepalived/keepalived.conf"])
        assert world.told == ["bring_up"]
        world.answers["bring_up"] = [Failed("drbdadm: no")]
        with pytest.raises(Failed, match="drbdadm: no"):
            await volume.reload([file])
        assert world.told == ["bring_up"] * 2
        volume.terminate()
        await wait_for(lambda: (Event.GONE, "") in world.posts)

    run(work())


@pytest.mark.parametrize("state", [FINE, None])
def test_one_that_was_adopted_takes_up_its_file_if_it_is_up(world: World, state: Replica | None) -> None:
    async def work() -> None:
        world.script = "exec sleep 600"
        world.state = state
        volume = world.volume()
        volume.adopt(Inherited(Life(UnitState.RUNNING)))
        await volume.reload([str(world.paths.drbd_res)])
        assert world.told == ([] if state is None else ["bring_up"])
        volume.terminate()
        await wait_for(lambda: (Event.GONE, "") in world.posts)

    run(work())


# --- the promotion ---


def test_a_promotion_at_once(world: World) -> None:
    async def work() -> None:
        feed = world.feed()
        unit = Promotion(MASTER, world.post, replace(world.tools(), replicas=feed))
        world.script = "exec sleep 600"
        feed.open()
        await wait_for(lambda: world.seen == [FINE])
        unit.start()
        await wait_for(lambda: world.posts)
        assert (world.posts, world.told, unit.doubt) == ([(Event.READY, "")], ["promote"], "")
        await wait_for(lambda: world.seen == [FINE, FINE], "a look at what has changed")
        feed.close()

    run(work())


def test_it_is_tried_again_while_drbd_believes_in_the_peer(world: World, caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        world.state = ALONE
        world.answers["promote"] = [*[Refused(BELIEVES, again=True)] * 3, None]
        unit = world.promotion()
        unit.start()
        await wait_for(lambda: unit.doubt)
        assert unit.doubt == BELIEVES
        await wait_for(lambda: world.posts)
        assert world.posts == [(Event.READY, "")]
        assert world.told == ["promote"] * 4

    with caplog.at_level(logging.INFO):
        run(work())
    assert [record.getMessage() for record in caplog.records] == [f"drbd:master: {BELIEVES}"]


def test_the_gate_is_waited_for(world: World) -> None:
    async def work() -> None:
        world.state = Replica(role="Secondary", disk="Negotiating")
        unit = world.promotion()
        unit.start()
        await wait_for(lambda: unit.doubt == "the disk is Negotiating")
        assert (world.posts, world.told) == ([], [])
        world.state = FINE
        await wait_for(lambda: world.posts)
        assert (world.posts, world.told) == ([(Event.READY, "")], ["promote"])

    run(work())


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (OLD, "cannot become Primary: its data is Inconsistent: a sync from the peer has not been completed"),
        (None, "cannot become Primary: DRBD does not have the volume up"),
        (Failed("cannot ask DRBD for the state of esc: no"), "cannot ask DRBD for the state of esc: no"),
    ],
)
def test_a_gate_that_is_closed_is_told_and_never_tried(
    world: World, state: Replica | Exception | None, reason: str
) -> None:
    async def work() -> None:
        world.state = state
        world.promotion().start()
        await wait_for(lambda: world.posts)
        assert (world.posts, world.told) == ([(Event.EXITED, reason)], [])

    run(work())


@pytest.mark.parametrize(
    "refusal", [Refused("cannot become Primary: no", again=False), Failed("drbdadm: no end after 20 s")]
)
def test_a_refusal_for_good_is_told(world: World, refusal: Failed) -> None:
    async def work() -> None:
        world.answers["promote"] = [refusal]
        world.promotion().start()
        await wait_for(lambda: world.posts)
        assert (world.posts, world.told) == ([(Event.EXITED, refusal.message)], ["promote"])

    run(work())


@pytest.mark.parametrize("verb", ["terminate", "kill"])
def test_it_is_called_off_while_it_waits(world: World, monkeypatch: pytest.MonkeyPatch, verb: str) -> None:
    async def work() -> None:
        monkeypatch.setattr(drbd, "FIRST_PAUSE", 600.0)
        world.answers["promote"] = [Refused(BELIEVES, again=True)]
        unit = world.promotion()
        unit.start()
        await wait_for(lambda: unit.doubt)
        getattr(unit, verb)()
        await wait_for(lambda: world.posts)
        assert (world.posts, world.told) == ([(Event.GONE, "")], ["promote", "demote"])

    run(work())


def test_a_stop_during_an_attempt_demotes_after_it(world: World) -> None:
    async def work() -> None:
        world.held["promote"] = threading.Event()
        unit = world.promotion()
        unit.start()
        await wait_for(lambda: world.told == ["promote"])
        unit.terminate()
        unit.kill()
        await asyncio.to_thread(lambda: None)
        assert world.told == ["promote"]
        world.held["promote"].set()
        await wait_for(lambda: len(world.posts) == 2)
        assert world.posts == [(Event.READY, ""), (Event.GONE, "")]
        assert world.told == ["promote", "demote"]

    run(work())


def test_a_demotion_that_is_refused_is_told_and_may_be_tried_again(world: World) -> None:
    async def work() -> None:
        world.answers["demote"] = [Failed("cannot become Secondary: something holds the device open"), None]
        unit = world.promotion()
        unit.start()
        await wait_for(lambda: world.posts)
        unit.terminate()
        await wait_for(lambda: len(world.posts) == 2)
        unit.kill()
        await wait_for(lambda: len(world.posts) == 3)
        assert world.posts[1:] == [
            (Event.STOP_FAILED, "cannot become Secondary: something holds the device open"),
            (Event.GONE, ""),
        ]

    run(work())


def test_a_promotion_of_an_earlier_agent_is_demoted_without_a_start(world: World) -> None:
    async def work() -> None:
        unit = world.promotion()
        unit.terminate()
        await wait_for(lambda: world.posts)
        assert (world.posts, world.told) == ([(Event.GONE, "")], ["demote"])

    run(work())
