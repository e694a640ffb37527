"""The secret of the nodes' keys: each rule, and two nodes that go by them whatever happens to their connection."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import pytest

from escadm.core.decide import decide
from escadm.core.drbd.secret import PairSecret, decode, encode, fingerprint
from escadm.core.drbd.state import Replica
from escadm.core.lifecycle import Life
from escadm.core.role import Peer
from escadm.core.rules.secret import SecretAct, differs, part, secret_act
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
    peer = replace(RULES, secret=theirs, hears_us=True)
    return replace(SECOND, secret=mine, peer=peer, replica=replica, kept=replace(SECOND.kept, differs=False))


def refused(mine: PairSecret, theirs: PairSecret | None, replica: Replica = STOPPED) -> Situation:
    return replace(between(mine, theirs, replica), kept=replace(SECOND.kept, differs=True))


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
        # one that is written nowhere any more is let go
        (between(PairSecret(OWN, "", OWN), None), SecretAct.APPLY),
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


@pytest.mark.parametrize(
    ("mine", "theirs", "replica", "before", "now"),
    [
        (WHOLE, WHOLE, STANDBY, False, False),
        (WHOLE, WRITTEN, STANDBY, False, True),
        (WRITTEN, WHOLE, STANDBY, False, True),
        (WHOLE, None, STANDBY, False, True),
        (NOTHING, None, STANDBY, False, False),
        # not known yet: as it was
        *((PairSecret(OWN, OWN), NOTHING, STANDBY, before, before) for before in (True, False)),
        *((WHOLE, PairSecret(OWN, OWN), STANDBY, before, before) for before in (True, False)),
        # it stays so while DRBD does not even try to connect
        (WHOLE, WHOLE, STOPPED, True, True),
        (WHOLE, WHOLE, STOPPED, False, False),
        (PairSecret(OWN, OWN, OLD), WHOLE, STOPPED, False, True),
        (PairSecret(OWN, OWN, ""), WHOLE, STOPPED, False, False),
        (PairSecret(OWN, OWN), WHOLE, STOPPED, False, False),
        (WHOLE, NOTHING, STOPPED, False, True),
        (WHOLE, WHOLE, CONNECTING, True, False),
        (WHOLE, WHOLE, None, True, False),
    ],
)
def test_whether_the_nodes_go_by_different_ones(
    mine: PairSecret, theirs: PairSecret | None, replica: Replica | None, before: bool, now: bool
) -> None:
    seen = replace(between(mine, theirs, replica), kept=replace(SECOND.kept, differs=before))
    assert differs(seen) is now
    silent = replace(seen, peer=replace(RULES, heard=False, secret=theirs))
    assert differs(silent) is decide(silent).kept.differs is (before or (replica is STOPPED and mine.used == OLD))


def test_it_connects_once_and_not_again_and_again() -> None:
    """An agent that has just begun does not know why DRBD has stopped. A split brain stays one."""
    seen = replace(refused(WHOLE, WHOLE), kept=replace(SECOND.kept))
    first = decide(seen)
    assert first.secret_act is SecretAct.CONNECT
    assert decide(replace(seen, kept=first.kept)).secret_act is None


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


class Side(NamedTuple):
    """A node: what is written and used, its DRBD, what the decision keeps, and what the other one has heard of it."""

    written: str = ""
    used: str | None = ""
    link: str = "Connected"
    differs: bool = False
    said: PairSecret | None = None


class World(NamedTuple):
    """Both nodes; ``cut``: ticks until they hear each other again; ``full``: ticks until something can be written."""

    one: Side
    two: Side
    cut: int = 0
    full: int = 0


OUTAGE = 2
FAULTS = ("cut", "full", "agent one", "agent two", "power one", "power two")


def happens(world: World, fault: str) -> World:
    if fault == "cut":
        return world._replace(cut=OUTAGE)
    if fault == "full":
        return world._replace(full=OUTAGE)
    side = world.one if fault.endswith("one") else world.two
    after = side._replace(used=None, differs=True, said=None)
    if fault.startswith("power"):
        after = after._replace(link="Connecting")
    return world._replace(one=after) if fault.endswith("one") else world._replace(two=after)


def tick(world: World) -> World:
    one, two = connected(world.one, world.two, together=not world.cut)
    before = (one.said, two.said) if not world.cut else (None, None)
    one, two = turn(one, before[1], full=world.full > 0), turn(two, before[0], full=world.full > 0)
    return World(one, two, max(world.cut - 1, 0), max(world.full - 1, 0))


def goes_by(side: Side) -> str:
    return side.written if side.used is None else side.used


def connected(one: Side, two: Side, *, together: bool) -> tuple[Side, Side]:
    """DRBD: whoever has a secret and meets another one, or none, refuses it and stops connecting."""
    if not together:
        return tuple(  # type: ignore[return-value]
            side._replace(link="Connecting") if side.link == "Connected" else side for side in (one, two)
        )
    if "StandAlone" in (one.link, two.link):
        lost = [side._replace(link="Connecting") if side.link == "Connected" else side for side in (one, two)]
        return lost[0], lost[1]
    if one.link == two.link == "Connected":
        return one, two
    if goes_by(one) == goes_by(two):
        return one._replace(link="Connected"), two._replace(link="Connected")
    met = [side._replace(link="StandAlone" if goes_by(side) else "Connecting") for side in (one, two)]
    return met[0], met[1]


def turn(side: Side, heard: PairSecret | None, *, full: bool) -> Side:
    """One decision, and what it does."""
    peer = Peer("192.0.2.9", heard=heard is not None, hears_us=True, secret=heard)
    replica = replace(STANDBY if side.link == "Connected" else CONNECTING, connection=side.link)
    seen = replace(SECOND, secret=PairSecret(OWN, side.written, side.used), peer=peer, replica=replica)
    seen = replace(seen, kept=replace(SECOND.kept, differs=side.differs))
    decision = decide(seen)
    side = side._replace(differs=decision.kept.differs, said=decision.message.secret)
    stopped = side.link == "StandAlone"
    match decision.secret_act:
        case SecretAct.LOOK:
            return side._replace(used="" if stopped else goes_by(side))
        case SecretAct.WRITE:
            return side if full else side._replace(written=OWN)
        case SecretAct.APPLY:
            return side if stopped else side._replace(used=side.written)
        case SecretAct.CONNECT:
            return side._replace(link="Connecting", used=side.written)
    return side


def worlds(begin: World, faults: int, ticks: int) -> Iterator[World]:
    """Every world that so many faults, at any time, can lead to; each once."""
    seen: set[tuple[World, int]] = set()
    now = {(begin, faults)}
    for _ in range(ticks):
        following: set[tuple[World, int]] = set()
        for world, left in now:
            hit = [(happens(world, fault), left - 1) for fault in FAULTS] if left else []
            following |= {(tick(each), rest) for each, rest in [(world, left), *hit]}
        now = following - seen
        seen |= following
    yield from {world for world, _ in seen}


@pytest.mark.parametrize(
    "begin",
    [
        World(Side(), Side()),
        World(Side(OWN, OWN), Side(OWN, OWN)),
        World(Side(OWN, OWN, "StandAlone", differs=True), Side("", "", "Connecting")),
        World(Side(OLD, OLD, "Connecting"), Side("", "", "Connecting")),
        World(Side(OLD, OLD), Side(OLD, OLD)),
    ],
    ids=["none yet", "both", "one lacks it", "replaced peer", "both keys are new"],
)
def test_whatever_happens_both_go_by_it_and_are_connected_in_the_end(begin: World) -> None:
    """Cuts, agents that end, power, and disks that are full, at any three moments of the beginning."""
    found = 0
    for world in worlds(begin, faults=3, ticks=14):
        after = world
        for _ in range(16):
            after = tick(after)
        told = [(side.written, side.used, side.link) for side in (after.one, after.two)]
        assert told == [(OWN, OWN, "Connected")] * 2, world
        found += 1
    assert found > 10


@pytest.mark.parametrize("before", ["", OLD])
def test_a_connected_pair_stays_connected_throughout(before: str) -> None:
    world = World(Side(before, before), Side(before, before))
    for _ in range(8):
        world = tick(world)
        assert world.one.link == world.two.link == "Connected"
    assert world.one.used == world.two.used == OWN
