"""The feed of claims to the virtual address: when it asks, what it keeps, of what it tells, in a time of the test's."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import ip_address

import pytest

from escadm.agent.inputs import claims as module
from escadm.agent.inputs.claims import ASK_EVERY, LOOK_AGAIN, MOST_CLAIMS, ClaimFeed
from escadm.core.claims import LASTS, SETTLE, Claim
from escadm.core.specs import KeepalivedSpec
from escadm.errors import Failed

SPEC = KeepalivedSpec(ip_address("10.0.0.9"), "eth0", "eth1", 9)
ONE, TWO = "52:54:00:00:00:01", "52:54:00:00:00:02"


class Timer:
    """A timer of the loop below."""

    def __init__(self, at: float, do: Callable[[], None]) -> None:
        self.at, self.do, self.cancelled = at, do, False

    def when(self) -> float:
        return self.at

    def cancel(self) -> None:
        self.cancelled = True


class Segment:
    """The network, its socket and the loop of the feed, all in one: time passes when the test says so."""

    def __init__(self) -> None:
        self.now = 100.0
        self.timers: list[Timer] = []
        self.reader: Callable[[], None] | None = None
        self.opened: list[tuple[object, ...]] = []
        self.asked: list[float] = []
        self.waiting: list[str] = []
        self.answers: set[str] = set()
        self.trouble = ""
        self.is_gone = False

    def time(self) -> float:
        return self.now

    def call_at(self, at: float, do: Callable[[], None]) -> Timer:
        self.timers.append(Timer(at, do))
        return self.timers[-1]

    def call_later(self, seconds: float, do: Callable[[], None]) -> Timer:
        return self.call_at(self.now + seconds, do)

    def add_reader(self, _: object, read: Callable[[], None]) -> None:
        self.reader = read

    def remove_reader(self, _: object) -> None:
        self.reader = None

    def close(self) -> None:
        assert self.reader is None

    def open(self, *place: object) -> Segment:
        if self.trouble:
            raise Failed(self.trouble)
        self.opened.append(place)
        return self

    def ask(self, *_: object) -> None:
        if self.trouble:
            raise Failed(self.trouble)
        self.asked.append(self.now)
        self.waiting += sorted(self.answers)

    def claims(self, _: object) -> Iterator[str]:
        if self.is_gone:
            raise OSError(100, "Network is down")
        waiting, self.waiting = self.waiting, []
        yield from waiting

    def hear(self, *hardware: str) -> None:
        """These say that they have the address."""
        self.waiting += hardware
        if self.waiting and self.reader:
            self.reader()

    def due(self) -> list[Timer]:
        return sorted((each for each in self.timers if not each.cancelled), key=Timer.when)

    def go_on(self, seconds: float) -> None:
        """What is asked is answered a little later."""
        end = self.now + seconds
        while (due := self.due()) and due[0].at <= end:
            self.timers.remove(due[0])
            self.now = max(self.now, due[0].at)
            due[0].do()
            self.now += 0.001
            self.hear()
        self.now = max(self.now, end)


@pytest.fixture
def segment(monkeypatch: pytest.MonkeyPatch) -> Segment:
    made = Segment()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: made)
    monkeypatch.setattr(module, "open_claims", made.open)
    monkeypatch.setattr(module, "claims", made.claims)
    monkeypatch.setattr(module, "ask", made.ask)
    return made


@pytest.fixture
def news() -> list[str]:
    return []


@pytest.fixture
def feed(segment: Segment, news: list[str]) -> ClaimFeed:
    made = ClaimFeed(lambda: news.append("news"))
    made.watch(SPEC)
    return made


def test_nothing_is_done_until_the_address_is_guarded(segment: Segment, feed: ClaimFeed) -> None:
    segment.go_on(60)
    assert (segment.opened, segment.asked, segment.timers) == ([], [], [])
    feed.guard(True)
    assert segment.opened == [("eth1", SPEC.vip)]
    feed.guard(True)
    segment.go_on(2.5 * ASK_EVERY)
    assert segment.asked == pytest.approx([160.0, 160 + ASK_EVERY, 160 + 2 * ASK_EVERY])
    feed.guard(False)
    assert (segment.reader, segment.due()) == (None, [])


def test_a_claim_is_asked_about_again_and_told_once(segment: Segment, feed: ClaimFeed, news: list[str]) -> None:
    segment.answers = {ONE}
    feed.guard(True)
    segment.hear()
    assert (list(feed.seen), news) == ([ONE], [])
    segment.go_on(SETTLE + 0.1)
    assert (segment.asked, news) == ([100.0, 100 + SETTLE], ["news"])
    assert feed.seen[ONE].counts(segment.now)
    segment.go_on(3 * ASK_EVERY)
    assert (len(segment.asked), news) == (5, ["news"])
    assert len(segment.due()) == 2, "the next question, and when the claim will have grown old"
    feed.guard(False)
    feed.guard(True)
    segment.hear()
    segment.go_on(SETTLE + 0.1)
    assert news == ["news", "news"]


def test_a_claim_that_is_not_heard_again_counts_for_nothing(segment: Segment, feed: ClaimFeed, news: list[str]) -> None:
    feed.guard(True)
    segment.hear(ONE)
    segment.go_on(LASTS + 1)
    segment.hear(ONE)
    assert news == []
    assert feed.seen[ONE] == Claim(segment.now, segment.now), "the old one is another matter"


def test_one_lost_answer_ends_no_claim() -> None:
    assert 2 * ASK_EVERY + SETTLE < LASTS < 3 * ASK_EVERY


def test_a_claim_grows_old(segment: Segment, feed: ClaimFeed, news: list[str]) -> None:
    feed.guard(True)
    segment.hear(ONE)
    segment.go_on(SETTLE)
    segment.hear(ONE, TWO)
    assert news == ["news"]
    segment.go_on(LASTS - 0.5)
    assert news == ["news"]
    segment.go_on(1.0)
    assert news == ["news", "news"]
    assert not feed.seen[ONE].counts(segment.now)


def test_many_claims_hasten_the_next_question_but_never_put_it_off(segment: Segment, feed: ClaimFeed) -> None:
    feed.guard(True)
    for number in range(100):
        segment.hear(f"52:54:00:00:01:{number:02x}")
        segment.go_on(0.1)
    assert 8 <= len(segment.asked) <= 11
    assert list(feed.seen) == [f"52:54:00:00:01:{number:02x}" for number in range(100 - MOST_CLAIMS, 100)]


@pytest.mark.parametrize("spec", [replace(SPEC, vip=ip_address("10.0.0.8")), replace(SPEC, vip_interface="eth2")])
def test_what_was_seen_is_forgotten_with_the_guard_and_with_the_place(
    segment: Segment, feed: ClaimFeed, spec: KeepalivedSpec
) -> None:
    feed.guard(True)
    segment.hear(ONE)
    feed.watch(replace(SPEC, priority=100))
    assert list(feed.seen) == [ONE]
    feed.guard(False)
    assert feed.seen == {}
    feed.guard(True)
    segment.hear(ONE)
    feed.watch(spec)
    assert (feed.seen, segment.reader, segment.due()) == ({}, None, [])
    feed.guard(True)
    assert segment.opened[-1] == (spec.vip_interface, spec.vip)
    feed.close()
    assert (segment.reader, segment.due()) == (None, [])


@pytest.mark.parametrize("spec", [None, replace(SPEC, vip=ip_address("fd00::9"))], ids=["none", "IPv6"])
def test_an_address_that_nobody_can_be_asked_about(
    segment: Segment, feed: ClaimFeed, spec: KeepalivedSpec | None
) -> None:
    feed.watch(spec)
    feed.guard(True)
    assert (segment.opened, segment.due()) == ([], [])


def test_what_cannot_be_looked_at_now_is_told_once_and_looked_at_later(
    segment: Segment, feed: ClaimFeed, news: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    segment.trouble = "cannot: No such device"
    feed.guard(True)
    segment.go_on(3 * LOOK_AGAIN)
    assert caplog.messages == ["cannot: No such device"]
    segment.trouble, segment.answers = "", {ONE}
    segment.go_on(LOOK_AGAIN + SETTLE + 0.1)
    assert news == ["news"]
    segment.is_gone = True
    segment.hear(TWO)
    segment.is_gone, segment.waiting = False, []
    assert caplog.messages[1:] == ["cannot look at who has 10.0.0.9 on eth1: Network is down"]
    assert (segment.reader, list(feed.seen)) == (None, [ONE])
    segment.answers = set()
    segment.go_on(LASTS)
    assert (segment.reader is not None, len(segment.opened), news) == (True, 2, ["news", "news"])
    for _ in range(2):
        segment.trouble = "cannot: No such device"
        segment.go_on(ASK_EVERY)
        segment.trouble = ""
        segment.go_on(LOOK_AGAIN)
    assert caplog.messages[2:] == ["cannot: No such device"] * 2
