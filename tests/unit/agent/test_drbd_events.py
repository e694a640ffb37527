"""The feed of what the volume is like. The listener is a real process; what DRBD would say is the test's own."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from escadm.agent.inputs import drbd_events
from escadm.agent.inputs.drbd_events import ReplicaFeed
from escadm.core.drbd.state import Replica
from escadm.errors import Failed, NotInstalled
from tests.unit.agent.world import Events, descriptors, run, wait_for

FINE = Replica("Secondary", "Connected", "Secondary", "UpToDate", "UpToDate", "Established", 0, 1 << 20)
ALONE = Replica("Secondary", "Connecting", "Unknown", "UpToDate", "DUnknown", "Off", 0, 1 << 20)
OLD = Replica("Secondary", "Connected", "Primary", "Inconsistent", "UpToDate", "SyncTarget", 1 << 19, 1 << 20)


class World(Events):
    """DRBD as the test wants it: ``state`` and ``generation`` are what it says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self.state: Replica | Exception | None = FINE
        self.generation: str | Exception = ""
        self.asked: list[str] = []
        self.seen: list[Replica | None] = []
        monkeypatch.setattr(drbd_events, "open_events", self.open_events)
        monkeypatch.setattr(drbd_events, "read_replica", self.read_replica)
        monkeypatch.setattr(drbd_events, "read_generation", self.read_generation)
        monkeypatch.setattr(drbd_events, "WATCH_AGAIN", 0.02)
        monkeypatch.setattr(drbd_events, "LOOK_AGAIN", 0.02)

    def read_replica(self) -> Replica | None:
        self.asked.append("state")
        if isinstance(self.state, Exception):
            raise self.state
        return self.state

    def read_generation(self) -> str:
        self.asked.append("generation")
        if isinstance(self.generation, Exception):
            raise self.generation
        return self.generation

    def feed(self) -> ReplicaFeed:
        return ReplicaFeed(self.seen.append)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    made = World(monkeypatch)
    yield made
    for each in made.listeners:
        each.wait(10)  # a listener that was left behind would go on for minutes


@contextmanager
def opened(feed: ReplicaFeed) -> Iterator[ReplicaFeed]:
    feed.open()
    try:
        yield feed
    finally:
        feed.close()


def test_each_event_is_a_look_and_closing_leaves_nothing(world: World) -> None:
    async def work() -> None:
        before = descriptors()
        world.script = "echo exists -; read line; exec sleep 600"
        feed = world.feed()
        feed.open()
        await wait_for(lambda: world.seen == [FINE] or len(world.seen) > 1)
        feed.close()
        await wait_for(lambda: descriptors() == before, "the descriptors of before")
        await wait_for(lambda: world.listeners[0].returncode is not None, "the end of the listener")
        assert world.seen[-1] is None
        count = len(world.seen)
        feed.close()
        feed.look()
        assert len(world.seen) == count

    run(work())


def test_an_event_is_seen_when_it_comes(world: World, tmp_path: Path) -> None:
    async def work() -> None:
        world.script = f"while :; do [ -e {tmp_path}/go ] && break; sleep 0.01; done; echo change; exec sleep 600"
        with opened(world.feed()):
            await wait_for(lambda: world.seen)
            count = len(world.seen)
            world.state = OLD
            assert world.seen == [FINE] * count
            (tmp_path / "go").touch()
            await wait_for(lambda: OLD in world.seen)

    run(work())


def test_many_events_are_few_looks(world: World) -> None:
    async def work() -> None:
        world.script = "for i in $(seq 20000); do echo change device name:esc volume:0; done; echo; exec sleep 600"
        with opened(world.feed()):
            await wait_for(lambda: world.seen)
            await asyncio.to_thread(lambda: None)
        assert len(world.listeners) == 1

    run(work())
    assert len(world.seen) < 2000


def test_a_look_that_is_asked_for_during_a_look_comes_after_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    looking, go = threading.Event(), threading.Event()

    def read() -> Replica | None:
        found = world.read_replica()
        looking.set()
        assert go.wait(10)
        return found

    async def work() -> None:
        monkeypatch.setattr(drbd_events, "read_replica", read)
        world.script = "exec sleep 600"
        with opened(world.feed()) as feed:
            await wait_for(looking.is_set)
            world.state = replace(FINE, peer_role="Primary")
            feed.look()
            feed.look()
            go.set()
            await wait_for(lambda: world.seen == [FINE, world.state])

    run(work())


def test_a_listener_that_ends_is_started_again(world: World) -> None:
    async def work() -> None:
        world.script = "echo exists -"
        with opened(world.feed()):
            await wait_for(lambda: len(world.listeners) > 2)
            world.script = "exec sleep 600"
            count = len(world.listeners)
            await wait_for(lambda: len(world.listeners) > count)
            assert world.listeners[-1].poll() is None

    run(work())


def test_a_listener_that_cannot_start_is_tried_again_and_told_once(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tries: list[int] = []

    def fail() -> subprocess.Popen[bytes]:
        tries.append(1)
        raise NotInstalled("drbdsetup is not installed")

    async def work() -> None:
        monkeypatch.setattr(drbd_events, "open_events", fail)
        with opened(world.feed()):
            await wait_for(lambda: len(tries) > 2)
            monkeypatch.setattr(drbd_events, "open_events", world.open_events)
            await wait_for(lambda: world.seen)

    with caplog.at_level(logging.WARNING):
        run(work())
    assert [record.getMessage() for record in caplog.records] == ["cannot listen to DRBD: drbdsetup is not installed"]


def test_a_closed_feed_never_opens_again_by_itself(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opened twice in vain, it has been asked to try again twice."""
    tries: list[int] = []

    def fail() -> subprocess.Popen[bytes]:
        tries.append(1)
        raise NotInstalled("drbdsetup is not installed")

    async def work() -> None:
        monkeypatch.setattr(drbd_events, "open_events", fail)
        feed = world.feed()
        feed.open()
        feed.open()
        feed.close()
        done = asyncio.Event()
        asyncio.get_running_loop().call_later(drbd_events.WATCH_AGAIN * 3, done.set)
        await done.wait()
        assert len(tries) == 2

    run(work())


def test_what_cannot_be_asked_is_told_once_and_the_last_state_stays(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    async def work() -> None:
        world.script = "echo exists -"  # it ends, and so there is a look every now and then
        world.state = Failed("cannot ask DRBD for the state of esc: so it is")
        with opened(world.feed()):
            await wait_for(lambda: len(world.listeners) > 4)
            assert world.seen == []
            world.state = FINE
            await wait_for(lambda: world.seen)
            world.state = Failed("cannot ask DRBD for the state of esc: so it is")
            count = len(world.listeners)
            await wait_for(lambda: len(world.listeners) > count + 2)
        assert set(world.seen) == {FINE, None}

    with caplog.at_level(logging.WARNING):
        run(work())
    assert [record.getMessage() for record in caplog.records] == ["cannot ask DRBD for the state of esc: so it is"] * 2


def test_a_pair_at_rest_is_not_looked_at_without_an_event(world: World) -> None:
    async def work() -> None:
        world.script = "exec sleep 600"
        with opened(world.feed()):
            await wait_for(lambda: world.seen == [FINE])
            done = asyncio.Event()
            asyncio.get_running_loop().call_later(drbd_events.LOOK_AGAIN * 5, done.set)
            await done.wait()
            assert world.asked.count("state") == 1

    run(work())


@pytest.mark.parametrize("state", [OLD, ALONE], ids=["syncing", "alone"])
def test_what_changes_without_events_is_looked_at_until_it_is_at_rest(world: World, state: Replica) -> None:
    async def work() -> None:
        world.script = "exec sleep 600"
        world.state = state
        with opened(world.feed()):
            await wait_for(lambda: world.asked.count("state") > 3)
            world.state = FINE
            await wait_for(lambda: world.seen[-1] == FINE)
            count = world.asked.count("state")
            done = asyncio.Event()
            asyncio.get_running_loop().call_later(drbd_events.LOOK_AGAIN * 5, done.set)
            await done.wait()
            assert world.asked.count("state") == count

    run(work())


def test_a_sync_gets_a_speed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        monkeypatch.setattr("escadm.core.drbd.pace.SHORTEST", 0.01)
        world.script = "exec sleep 600"
        world.state = OLD
        with opened(world.feed()):
            await wait_for(lambda: world.seen)
            world.state = replace(OLD, out_of_sync=1 << 18)
            await wait_for(lambda: world.seen[-1] is not None and world.seen[-1].bytes_per_second)
            world.state = FINE
            await wait_for(lambda: world.seen[-1] == FINE)

    run(work())


def test_the_last_write_is_told_while_the_peer_may_lack_it(world: World) -> None:
    async def work() -> None:
        world.script = "exec sleep 600"
        world.state = ALONE
        with opened(world.feed()):
            await wait_for(lambda: world.seen)
            assert world.seen[-1] == ALONE
            world.state = replace(ALONE, written=4096)
            await wait_for(lambda: world.seen[-1] is not None and world.seen[-1].last_write)
            last = world.seen[-1]
            assert last is not None
            known = last.last_write
            count = len(world.seen)
            await wait_for(lambda: len(world.seen) > count + 2)
            assert world.seen[-1] is not None
            assert world.seen[-1].last_write == known
            world.state = replace(FINE, written=4096)
            await wait_for(lambda: world.seen[-1] == world.state)

    run(work())


def test_the_generation_is_news_after_the_state_and_asked_for_when_it_may_be_another(world: World) -> None:
    async def work() -> None:
        world.script = "exec sleep 600"
        world.state, world.generation = ALONE, "98482637A0B0074C"
        with opened(world.feed()):
            await wait_for(lambda: world.asked.count("state") > 4)
            assert world.asked.count("generation") == 1
            assert world.seen[:2] == [ALONE, replace(ALONE, generation="98482637A0B0074C")]
            world.state, world.generation = replace(ALONE, written=4096), "EAF871EBEC294564"
            await wait_for(lambda: world.seen[-1] is not None and world.seen[-1].generation == "EAF871EBEC294564")

    run(work())


def test_a_generation_that_cannot_be_asked_for_holds_nothing_up(world: World) -> None:
    async def work() -> None:
        world.script = "exec sleep 600"
        world.generation = Failed("drbdadm: no end after 5 s")
        with opened(world.feed()):
            await wait_for(lambda: world.seen == [FINE] or len(world.seen) > 1)
            world.generation = "98482637A0B0074C"
            await wait_for(lambda: world.seen[-1] == replace(FINE, generation="98482637A0B0074C"))

    run(work())


def test_nothing_comes_late_from_a_look_that_was_under_way_when_it_was_closed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    looking, go = threading.Event(), threading.Event()

    def read() -> Replica | None:
        looking.set()
        assert go.wait(10)
        return OLD

    async def work() -> None:
        world.script = "exec sleep 600"
        feed = world.feed()
        with opened(feed):
            await wait_for(lambda: world.seen == [FINE])
            monkeypatch.setattr(drbd_events, "read_replica", read)
            feed.look()
            await wait_for(looking.is_set)
            monkeypatch.setattr(drbd_events, "read_replica", world.read_replica)
        assert world.seen == [FINE, None]
        with opened(feed):
            go.set()
            await wait_for(lambda: world.seen[2:])
        assert world.seen == [FINE, None, FINE, None]

    run(work())
