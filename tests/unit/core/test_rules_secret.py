"""The secret of the nodes' keys: each rule, and two nodes that go by them whatever happens to their connection."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from typing import NamedTuple

import pytest

from escadm.core.decide import decide
from escadm.core.drbd.secret import PairSecret, decode, encode, fingerprint
from escadm.core.drbd.state import Replica
from escadm.core.lifecycle import Life
from escadm.core.role import Peer
from escadm.core.rules.secret import SecretAct, part, secret_act
from escadm.core.situation import Situation
from escadm.core.specs import Secret
from escadm.core.states import UnitState
from tests.unit.core.situations import ALONE, BELOW, PRIMARY, RULES, SECOND, STANDBY

OWN, OLD, OTHER = "aa", "bb", "cc"
STOPPED = replace(ALONE, role="Secondary", connection="StandAlone")
CONNECTING = replace(ALONE, role="Secondary")
NOTHING = PairSecret(OWN, "", "")
WRITTEN = PairSecret(OWN, OWN, "")
WHOLE = PairSecret(OWN, OWN, OWN)


def between(mine: PairSecret, theirs: PairSecret | None, replica: Replica | None = STANDBY) -> Situation:
    return replace(SECOND, secret=mine, peer=replace(RULES, secret=theirs, hears_us=True), replica=replica)


def refused(mine: PairSecret, theirs: PairSecret | None, replica: Replica = STOPPED) -> Situation:
    return replace(between(mine, theirs, replica), refused=True)


@pytest.mark.parametrize(
    ("seen", "act"),
    [
        (between(WHOLE, WHOLE), None),
        # both write it down, and only then does either go by it
        (between(NOTHING, NOTHING), SecretAct.WRITE),
        (between(WRITTEN, NOTHING), None),
        (between(WRITTEN, WRITTEN), SecretAct.APPLY),
        (between(WRITTEN, WHOLE), SecretAct.APPLY),
        # what is not known yet is looked at
        (between(PairSecret(OWN, OWN), WHOLE), SecretAct.LOOK),
        (between(PairSecret(), None), SecretAct.LOOK),
        # where DRBD is not connected, only one that the peer has already, or in the place of an outdated one
        (between(NOTHING, NOTHING, CONNECTING), None),
        (between(NOTHING, NOTHING, None), None),
        (between(NOTHING, WRITTEN, CONNECTING), SecretAct.WRITE),
        (between(NOTHING, WRITTEN, None), SecretAct.WRITE),
        (between(PairSecret(OWN, OLD, OLD), NOTHING, STOPPED), SecretAct.WRITE),
        (between(WRITTEN, WRITTEN, CONNECTING), SecretAct.APPLY),
        # a peer that works out another one, or none, or does not hear this node
        (between(NOTHING, PairSecret(OTHER, "", "")), None),
        (between(PairSecret("", "", ""), PairSecret("", "", "")), None),
        (between(PairSecret("", OWN, OWN), PairSecret("", "", "")), None),
        (between(WRITTEN, PairSecret(OTHER, OTHER, "")), None),
        (replace(between(NOTHING, NOTHING), peer=replace(RULES, secret=NOTHING, hears_us=False)), None),
        (replace(between(WRITTEN, WRITTEN), peer=replace(RULES, secret=WRITTEN, hears_us=False)), None),
        (replace(between(NOTHING, NOTHING), peer=replace(RULES, heard=False, secret=NOTHING)), None),
        (replace(between(NOTHING, NOTHING), peer=None), None),
        # what DRBD goes by and esc.res has lost is written down again, whoever is heard
        (between(PairSecret(OWN, "", OWN), WHOLE), SecretAct.WRITE),
        (between(PairSecret(OWN, "", OWN), None), SecretAct.WRITE),
        (replace(between(PairSecret(OWN, "", OWN), None), peer=None), SecretAct.WRITE),
        # one that is written nowhere any more is let go where the peer has none either, and kept from a silent peer
        (between(PairSecret("", "", OLD), PairSecret("", "", OLD)), SecretAct.APPLY),
        (between(PairSecret("", "", OLD), None), SecretAct.APPLY),
        (between(PairSecret("", "", OLD), WHOLE), None),
        (replace(between(PairSecret("", "", OLD), None), peer=replace(RULES, heard=False)), None),
        # a peer of a version that knows of none: only where it is refused for that
        (between(WHOLE, None), None),
        (between(WHOLE, None, STOPPED), None),
        (refused(WHOLE, None), SecretAct.REMOVE),
        (refused(WHOLE, None, CONNECTING), None),
        (replace(refused(WHOLE, None), peer=replace(RULES, heard=False)), None),
        (replace(refused(WHOLE, NOTHING), peer=replace(RULES, secret=NOTHING, hears_us=False)), None),
        (refused(PairSecret(OWN, "", ""), None), SecretAct.CONNECT),
        # it connects once more when both go by the same, and at no other time
        (refused(WHOLE, WHOLE), SecretAct.CONNECT),
        (refused(WHOLE, WRITTEN), None),
        (refused(WHOLE, PairSecret(OWN, OWN)), None),
        (refused(WHOLE, PairSecret(OWN, "", OWN)), SecretAct.CONNECT),
        (refused(WHOLE, WHOLE, CONNECTING), None),
        (refused(WHOLE, WHOLE, replace(STOPPED, disk="Diskless")), None),
        (between(WHOLE, WHOLE, STOPPED), None),
        (replace(refused(WHOLE, WHOLE), peer=replace(RULES, heard=False, secret=WHOLE)), None),
        # DRBD that has stopped connecting goes by what is written once it connects
        (refused(PairSecret(OWN, OWN, ""), WHOLE), SecretAct.CONNECT),
        (between(PairSecret(OWN, OWN), WHOLE, STOPPED), SecretAct.LOOK),
    ],
)
def test_what_is_done(seen: Situation, act: SecretAct | None) -> None:
    assert secret_act(seen) is act


@pytest.mark.parametrize(
    "change",
    [
        {"acting": True},
        {"secret_acting": True},
        {"kept": replace(SECOND.kept, abandoned="for good")},
        {"plan": replace(SECOND.plan, drbd=None)},
    ],
)
def test_nothing_is_done_while_something_else_is(change: dict[str, object]) -> None:
    for seen in (between(NOTHING, NOTHING), between(WRITTEN, WRITTEN), between(PairSecret(), None)):
        assert secret_act(seen) is not None
        assert secret_act(replace(seen, **change)) is None  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change",
    [
        {"lives": {**BELOW, "drbd": Life(UnitState.STARTING)}},
        {"lives": {**BELOW, "drbd": Life(UnitState.STOPPING)}},
        {"stale": frozenset({"drbd"})},
        {"wish": replace(SECOND.wish, active=False)},
        {"replica": None},
    ],
)
def test_drbd_is_told_nothing_while_it_comes_and_goes(change: dict[str, object]) -> None:
    for seen in (between(WRITTEN, WRITTEN), between(PairSecret(OWN, OWN), WHOLE), refused(WHOLE, WHOLE)):
        assert secret_act(seen) is not None
        assert secret_act(replace(seen, **change)) is None  # type: ignore[arg-type]


def test_one_that_is_configured_counts_and_none_is_worked_out() -> None:
    assert PRIMARY.plan.drbd is not None
    plan = replace(PRIMARY.plan, drbd=replace(PRIMARY.plan.drbd, shared_secret=Secret("named")))
    for seen in (between(NOTHING, NOTHING), between(WRITTEN, WRITTEN), between(PairSecret(), None)):
        assert secret_act(replace(seen, plan=plan)) is None
    assert part(replace(between(WHOLE, None), plan=plan)) == PairSecret("", OWN, OWN)
    assert part(between(WHOLE, None)) == WHOLE
    assert part(replace(between(WHOLE, None), plan=replace(plan, drbd=None))) is None


def test_the_peer_is_told_and_the_act_is_decided() -> None:
    decision = decide(between(WRITTEN, WRITTEN))
    assert decision.message.secret == WRITTEN
    assert decision.secret_act is SecretAct.APPLY


def test_it_arrives_as_it_was_sent_and_what_is_strange_is_none() -> None:
    for each in (PairSecret(), NOTHING, WHOLE, PairSecret(OWN, OWN, None)):
        assert decode(encode(each)) == each
    assert decode(None) is decode("aa") is decode([]) is None
    assert decode({}) == decode({"own": 7, "written": ["aa"]}) == PairSecret()
    assert decode({"own": "a" * 60_000, "used": 7}) == PairSecret("a" * 32, "", "")


def test_a_fingerprint_tells_secrets_apart_and_says_nothing_of_them() -> None:
    one, two = fingerprint(Secret("one")), fingerprint(Secret("two"))
    assert len({one, two, fingerprint(None)}) == 3
    assert fingerprint(None) == ""
    assert len(one) == 32
    assert fingerprint(Secret("one")) == one


# --- two nodes ---------------------------------------------------------------------------------------------


class Seen(NamedTuple):
    """What an agent has looked at."""

    written: str
    used: str
    refused: bool


class Side(NamedTuple):
    """A node: what is written, and what its DRBD goes by; its link, and whether that has ended by a refusal; what its
    agent has ``seen`` of that, None = it has to look; what it has ``said`` last."""

    written: str = ""
    used: str = ""
    link: str = "Connected"
    refused: bool = False
    seen: Seen | None = None
    said: PairSecret | None = None


class World(NamedTuple):
    """Both nodes. For how many ticks yet nothing passes between them (``cut``), the agents alone do not hear each other
    (``deaf``), and nothing can be written (``full``)."""

    one: Side
    two: Side
    cut: int = 0
    deaf: int = 0
    full: int = 0


OUTAGE = 2
WIDE = ("cut", "deaf", "full")
NARROW = ("a new agent", "power", "an old esc.res")
FAULTS = (*WIDE, *(f"{fault} on {name}" for fault in NARROW for name in ("one", "two")))


def happens(world: World, fault: str) -> World:
    match fault:
        case "cut":
            return world._replace(cut=OUTAGE)
        case "deaf":
            return world._replace(deaf=OUTAGE)
        case "full":
            return world._replace(full=OUTAGE)
    side = world.one if fault.endswith("one") else world.two
    if fault.startswith("an old esc.res"):  # with an adjust, by hand; the agent goes on
        after = side._replace(written="", used="")
    else:
        after = side._replace(seen=None, said=None)
    if fault.startswith("power"):
        after = after._replace(link="Connecting", refused=False, used=side.written)
    return world._replace(one=after) if fault.endswith("one") else world._replace(two=after)


@cache
def tick(world: World) -> World:
    one, two = connected(world.one, world.two, together=not world.cut)
    hear = not (world.cut or world.deaf)
    said = (one.said, two.said) if hear else (None, None)
    one, two = (turn(side, heard, full=world.full > 0) for side, heard in ((one, said[1]), (two, said[0])))
    return World(one, two, *(max(left - 1, 0) for left in world[2:]))


def linked(side: Side, link: str) -> Side:
    """With its connection an agent takes all for another."""
    return side if side.link == link else side._replace(link=link, refused=link == "StandAlone", seen=None)


def connected(one: Side, two: Side, *, together: bool) -> tuple[Side, Side]:
    """DRBD: whoever has a secret and meets another one, or none, refuses it and stops connecting."""
    if not together or "StandAlone" in (one.link, two.link):
        left = [linked(side, "Connecting") if side.link == "Connected" else side for side in (one, two)]
        return left[0], left[1]
    if one.link == two.link == "Connected":
        return one, two
    if one.used == two.used:
        return linked(one, "Connected"), linked(two, "Connected")
    met = [linked(side, "StandAlone" if side.used else "Connecting")._replace(seen=None) for side in (one, two)]
    return met[0], met[1]


def turn(side: Side, heard: PairSecret | None, *, full: bool) -> Side:
    """One decision, and what it does."""
    peer = Peer("192.0.2.9", heard=heard is not None, hears_us=True, secret=heard)
    replica = replace(STANDBY if side.link == "Connected" else CONNECTING, connection=side.link)
    known = PairSecret(OWN, side.seen.written, side.seen.used) if side.seen else PairSecret(OWN)
    refused = side.seen is not None and side.seen.refused
    decision = decide(replace(SECOND, secret=known, refused=refused, peer=peer, replica=replica))
    side = side._replace(said=decision.message.secret)
    stopped = side.link == "StandAlone"
    match decision.secret_act:
        case None:
            return side
        case SecretAct.WRITE:
            side = side if full else side._replace(written=OWN)
        case SecretAct.APPLY:
            side = side if stopped else side._replace(used=side.written)
        case SecretAct.CONNECT:
            side = side._replace(link="Connecting", refused=False, used=side.written)
    return side._replace(seen=Seen(side.written, "" if stopped else side.used, side.refused))


def worlds(begin: World, faults: int, ticks: int, kinds: Sequence[str] = FAULTS) -> Iterator[World]:
    """Every world that so many faults, at any time, can lead to; each once."""
    seen: set[tuple[World, int]] = set()
    now = {(begin, faults)}
    for _ in range(ticks):
        following: set[tuple[World, int]] = set()
        for world, left in now:
            hit = [(happens(world, fault), left - 1) for fault in kinds] if left else []
            following |= {(tick(each), rest) for each, rest in [(world, left), *hit]}
        now = following - seen
        seen |= following
    yield from {world for world, _ in seen}


@pytest.mark.parametrize(
    "begin",
    [
        World(Side(), Side()),
        World(Side(OWN, OWN), Side(OWN, OWN)),
        World(Side(OWN, OWN, "StandAlone", refused=True), Side("", "", "Connecting")),
        World(Side(OLD, OLD, "Connecting"), Side("", "", "Connecting")),
        World(Side(OLD, OLD), Side(OLD, OLD)),
    ],
    ids=["none yet", "both", "one lacks it", "replaced peer", "both keys are new"],
)
def test_whatever_happens_both_go_by_it_and_are_connected_in_the_end(begin: World) -> None:
    """Cuts, words that are lost, new agents, power, full disks and old files, at any three moments of the beginning.

    An old esc.res is noticed with the next connection: at the end there is one.
    """
    found = 0
    for world in worlds(begin, faults=3, ticks=7):
        after = world
        for _ in range(16):
            after = tick(after)
        after = happens(after, "cut")
        for _ in range(16):
            after = tick(after)
        told = [(side.written, side.used, side.link) for side in (after.one, after.two)]
        assert told == [(OWN, OWN, "Connected")] * 2, world
        found += 1
    assert found > 100


@pytest.mark.parametrize("before", ["", OLD])
def test_a_connected_pair_stays_connected_throughout(before: str) -> None:
    world = World(Side(before, before), Side(before, before))
    for _ in range(8):
        world = tick(world)
        assert world.one.link == world.two.link == "Connected"
    assert world.one.used == world.two.used == OWN


def test_what_somebody_has_disconnected_stays_so_whatever_happens() -> None:
    begin = World(Side(OWN, OWN, "StandAlone"), Side(OWN, OWN, "Connecting"))
    kinds = (*WIDE, "a new agent on one", "a new agent on two", "power on two", "an old esc.res on two")
    assert all(world.one.link == "StandAlone" for world in worlds(begin, faults=3, ticks=8, kinds=kinds))
