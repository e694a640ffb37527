"""The session between two agents: the handshake, what it refuses, and that it always comes back."""

from __future__ import annotations

import copy
import hmac
import json
from dataclasses import dataclass, field
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from escadm.core import session as module
from escadm.core.session import (
    FORGED,
    HEADER,
    ID_BYTES,
    KEY_BYTES,
    MAGIC,
    MOST_CANDIDATES,
    NO_KEY,
    NOTHING,
    OTHER_KEY,
    OWN_KEY,
    ROUTED,
    STRANGE,
    Reception,
    Session,
    fingerprint,
)

TAG = 32


def public_of(private: bytes) -> bytes:
    return sha256(b"public" + private).digest()


class Pair:
    """A cipher of this test's own: one secret for two names that only their two owners would know."""

    def __init__(self, private: bytes) -> None:
        self.public = public_of(private)

    def _tag(self, sender: bytes, receiver: bytes, *parts: bytes) -> bytes:
        return hmac.digest(b"+".join(sorted((sender, receiver))), b"".join((sender, *parts)), sha256)

    def seal(self, peer: bytes, session: bytes, header: bytes, text: bytes) -> bytes:
        return self._tag(self.public, peer, session, header, text) + text

    def unseal(self, peer: bytes, session: bytes, header: bytes, sealed: bytes) -> bytes | None:
        text = sealed[TAG:]
        return text if sealed[:TAG] == self._tag(peer, self.public, session, header, text) else None


@dataclass
class Trust:
    pinned: bytes | None = None
    pins: int = 0

    def pin(self, key: bytes) -> None:
        self.pinned = key
        self.pins += 1


def session_id(number: int) -> bytes:
    return number.to_bytes(ID_BYTES, "big")


def content(number: int) -> bytes:
    return json.dumps({"escadm": 1, "number": number}).encode()


@dataclass
class Side:
    """A node that is restarted with a new session; what it believed is in ``heard``."""

    name: bytes
    trust: Trust = field(default_factory=Trust)
    lives: int = 0
    said: int = 0
    heard: list[int] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        self.lives += 1
        self.session = Session(Pair(self.name), self.trust, sha256(self.name + session_id(self.lives)).digest()[:16])

    @property
    def key(self) -> bytes:
        return public_of(self.name)

    def news(self) -> bytes:
        self.said += 1
        return content(self.said)

    def regular(self) -> list[bytes]:
        return self.session.regular(self.news())

    def take(self, data: bytes) -> list[bytes]:
        """What it sends back."""
        found = self.session.receive(data)
        if found.content is not None:
            self.heard.append(json.loads(found.content)["number"])
        if found.doubt:
            self.doubts.append(found.doubt)
        return [*([found.reply] if found.reply else []), *(self.session.sealed(self.news()) if found.speak else [])]


def deliver(datagrams: list[bytes], to: Side, back: Side) -> None:
    """Nothing is lost; answers too arrive, until there are no more."""
    rounds = 0
    while datagrams:
        rounds += 1
        assert rounds < 6, "they do not come to rest"
        datagrams = [answer for each in datagrams for answer in to.take(each)]
        to, back = back, to


def acquainted() -> tuple[Side, Side]:
    one, two = Side(b"one"), Side(b"two")
    deliver(one.regular(), two, one)
    return one, two


# --- the handshake ----------------------------------------------------------------------------------------


def test_one_hello_is_enough_for_a_session_of_both() -> None:
    one, two = acquainted()
    assert one.session.is_open
    assert two.session.is_open
    assert (one.trust.pinned, two.trust.pinned) == (two.key, one.key)
    deliver(one.regular(), two, one)
    deliver(two.regular(), one, two)
    assert (two.heard[-1], one.heard[-1]) == (one.said, two.said)
    assert not one.doubts + two.doubts


def test_nothing_is_believed_before_the_key_has_proved_itself() -> None:
    one, two = Side(b"one"), Side(b"two")
    hello, *_ = one.regular()
    reply, *_ = two.take(hello)
    assert (two.heard, two.trust.pinned) == ([], None)
    one.take(reply)
    assert (one.heard, one.trust.pinned) == ([], None)


def test_a_restarted_side_is_known_again_at_once() -> None:
    one, two = acquainted()
    for side, other in ((one, two), (two, one), (one, two)):
        side.begin()
        deliver(side.regular(), other, side)
        assert side.session.is_open
        assert other.heard[-1] == side.said, "what it says now counts"
    assert (one.trust.pins, two.trust.pins) == (1, 1)


def test_a_hello_gets_one_short_answer_while_the_session_is_open() -> None:
    one, two = acquainted()
    one.begin()
    hello = one.regular()[0]
    for _ in range(3):
        found = two.session.receive(hello)
        assert (found.content, found.speak) == (None, False)
        assert found.reply is not None
        assert b"number" not in found.reply
    assert two.session.receive(found.reply or b"").doubt == OWN_KEY


def test_both_begin_at_the_same_time() -> None:
    one, two = Side(b"one"), Side(b"two")
    first, second = one.regular(), two.regular()
    deliver(first, two, one)
    deliver(second, one, two)
    assert one.session.is_open
    assert two.session.is_open


def test_the_content_of_a_known_pair_is_never_in_a_hello() -> None:
    one, _ = acquainted()
    one.begin()
    assert b"number" not in b"".join(one.regular())


# --- who is refused ---------------------------------------------------------------------------------------


def test_a_version_without_keys_is_believed_until_a_key_is_pinned() -> None:
    one, two = Side(b"one"), Side(b"two")
    assert one.session.receive(content(7)) == Reception(content=content(7))
    deliver(one.regular(), two, one)
    assert one.session.receive(content(8)) == Reception(doubt=NO_KEY)
    one.begin()
    assert one.session.receive(content(9)) == Reception(doubt=NO_KEY), "in no later life either"


def test_a_version_without_keys_understands_the_first_words() -> None:
    told = json.loads(Side(b"one").session.regular(content(7))[0])
    assert (told["escadm"], told["number"]) == (1, 7)


def test_a_router_is_no_way_for_keys() -> None:
    one, two = acquainted()
    three = Side(b"three")
    assert two.session.receive(one.regular()[0], is_near=False) == Reception(doubt=ROUTED)
    one.begin()
    assert two.session.receive(one.regular()[0], is_near=False) == Reception(doubt=ROUTED)
    assert three.session.receive(content(7), is_near=False).content == content(7), "an old version sends so"


def test_another_key_is_a_stranger() -> None:
    one, two = acquainted()
    three = Side(b"three")
    assert two.session.receive(three.regular()[0]) == Reception(doubt=OTHER_KEY, key=three.key)
    three.trust.pin(two.key)
    three.session._candidates = {two.key: two.session.own}
    for datagram in three.session.sealed(content(7)):
        assert two.session.receive(datagram) == Reception(doubt=FORGED)
    deliver(one.regular(), two, one)
    assert two.heard[-1] == one.said


def test_a_clone_with_the_same_key_is_no_peer() -> None:
    one, clone = Side(b"one"), Side(b"one")
    clone.begin()
    assert one.session.receive(clone.regular()[0]) == Reception(doubt=OWN_KEY)


def test_own_datagrams_that_come_back_are_not_the_peers() -> None:
    one, two = acquainted()
    own = one.session.sealed(content(7))[0]
    assert one.session.receive(own) == NOTHING
    turned = HEADER.pack(MAGIC, two.session.own, one.session.own, 1 << 40) + own[HEADER.size :]
    assert one.session.receive(turned) == Reception(doubt=FORGED)


@pytest.mark.parametrize("place", [8, 24, 40, 47, 48, -1])
def test_not_a_bit_may_change(place: int) -> None:
    one, two = acquainted()
    datagram = bytearray(one.session.sealed(content(7))[0])
    datagram[place] ^= 1
    assert two.session.receive(bytes(datagram)).content is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        b"\xff\x00",
        b"null",
        b"[1]",
        b"{}",
        b'{"escadm":2}',
        b'{"escadm":2,"hello":7}',
        b'{"escadm":2,"hello":{"key":"AAAA","session":"AAAA"}}',
        b'{"escadm":2,"hello":{"key":"?","session":null}}',
        b"[" * 60_000,
        MAGIC,
        MAGIC + b"short",
    ],
    ids=range(13),
)
def test_garbage(data: bytes) -> None:
    one, _ = acquainted()
    assert one.session.receive(data) == Reception(doubt=STRANGE)


def test_hellos_of_many_keys_fill_nothing_and_keep_nobody_out() -> None:
    one, two = Side(b"one"), Side(b"two")
    for number in range(100):
        one.take(Side(b"stranger %d" % number).regular()[0])
    assert len(one.session._candidates) == MOST_CANDIDATES
    deliver(two.regular(), one, two)
    assert one.trust.pinned == two.key


def test_a_stranger_that_waited_on_one_path_is_out_once_the_other_path_has_pinned_a_key() -> None:
    one, two, stranger = Side(b"one"), Side(b"two"), Side(b"stranger")
    deliver(one.regular()[:1], stranger, one)
    assert one.trust.pinned == stranger.key, "alone it would be the peer"
    one.begin()
    one.trust.pinned = None
    one.take(stranger.regular()[0])
    one.trust.pin(two.key)
    assert not one.session.sealed(content(7))
    stranger.session._candidates = {one.key: one.session.own}
    stranger.session._current = None
    for datagram in stranger.session.sealed(content(8)):
        assert one.session.receive(datagram) == Reception(doubt=FORGED)


def test_replayed_datagrams_say_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_RETIRED", 3)
    one, two = acquainted()
    recorded: list[bytes] = []
    for _ in range(12):
        recorded += [*one.session.sealed(one.news()), *one.session.sealed(one.news())]
        two.take(recorded[-2])
        two.take(recorded[-1])
        one.begin()
        sent = one.regular()
        recorded += sent
        deliver(sent, two, one)
        deliver(two.regular(), one, two)
        deliver(one.regular(), two, one)
        heard = list(two.heard)
        for datagram in recorded:
            two.take(datagram)
        assert two.heard == heard
        assert len(two.session._retired) <= 5


def test_a_machine_set_back_to_earlier_memory_is_heard_again() -> None:
    one, two = acquainted()
    frozen = copy.deepcopy(one.session)
    for _ in range(5):
        deliver(one.regular(), two, one)
    one.session = frozen
    deliver(one.session.sealed(one.news()), two, one)
    assert two.heard[-1] != one.said, "its counter is an old one"
    one.session.renew()
    deliver(two.regular(), one, two)
    assert one.heard[-1] == two.said, "who renews its id goes on hearing"
    deliver(one.regular(), two, one)
    assert two.heard[-1] == one.said


def test_the_fingerprint_is_that_of_ssh() -> None:
    assert fingerprint(bytes(KEY_BYTES)) == "SHA256:Zmh6rfhivXdsj8GLjp+OIAiXFIVu4jOzkCpZHQ1fKSU"


# --- any history ------------------------------------------------------------------------------------------

STEP = st.one_of(
    st.tuples(st.sampled_from(["speak", "restart"]), st.integers(0, 1)),
    st.tuples(st.sampled_from(["arrive", "lose", "double"]), st.integers(0, 10_000)),
    st.tuples(st.just("replay"), st.integers(0, 10_000)),
)


@settings(max_examples=400, deadline=None)
@given(st.lists(STEP, max_size=80))
def test_whatever_happens_words_only_get_newer_and_the_session_comes_back(steps: list[tuple[str, int]]) -> None:
    sides = Side(b"one"), Side(b"two")
    under_way: list[tuple[int, bytes]] = []
    recorded: list[tuple[int, bytes]] = []

    def send(to: int, datagrams: list[bytes]) -> None:
        under_way.extend((to, each) for each in datagrams)
        recorded.extend((to, each) for each in datagrams)

    def arrive(to: int, datagram: bytes) -> None:
        send(1 - to, sides[to].take(datagram))

    for step, number in steps:
        if step == "speak":
            send(1 - number, sides[number].regular())
        elif step == "restart":
            sides[number].begin()
        elif step == "replay" and recorded:
            arrive(*recorded[number % len(recorded)])
        elif under_way and step in ("arrive", "lose", "double"):
            to, datagram = under_way[number % len(under_way)]
            if step != "double":
                under_way.pop(number % len(under_way))
            if step != "lose":
                arrive(to, datagram)

    for each in sides:
        assert each.heard == sorted(set(each.heard)), "never an older word after a newer one, and none twice"
    for _ in range(2):
        for number, each in enumerate(sides):
            deliver(each.regular(), sides[1 - number], each)
    for number, each in enumerate(sides):
        assert each.session.is_open
        deliver(each.regular(), sides[1 - number], each)
        assert sides[1 - number].heard[-1] == each.said
        assert not set(each.doubts), each.doubts


@settings(max_examples=100, deadline=None)
@given(st.randoms(use_true_random=False), st.integers(0, 1))
def test_half_of_all_datagrams_lost_is_no_obstacle(random: object, restarted: int) -> None:
    one, two = acquainted()
    sides = one, two
    sides[restarted].begin()
    for _ in range(60):
        under_way = [(1, each) for each in one.regular()] + [(0, each) for each in two.regular()]
        while under_way:
            to, datagram = under_way.pop()
            if random.random() < 0.5:  # type: ignore[attr-defined]
                under_way += [(1 - to, each) for each in sides[to].take(datagram)]
    assert one.session.is_open
    assert two.session.is_open
