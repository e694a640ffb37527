"""The rules of the role, one by one: what gives it up, what holds it back and for how long, what it waits for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from escadm.core.adverts import Advert, Adverts, Sighting
from escadm.core.drbd.fencing import Hold
from escadm.core.lifecycle import Life
from escadm.core.reason import Reason
from escadm.core.reconcile import Intent
from escadm.core.role import Peer
from escadm.core.rules.role import (
    gives_role_up,
    grace_ends,
    intent_of,
    is_waiting,
    judge_hold,
    longest_wait,
    may_stand_again,
    precedes,
    waits_for_peer,
    why_held,
)
from escadm.core.situation import Gateway, Kept, Situation, Wish
from escadm.core.specs import Address
from escadm.core.states import Role, UnitState, Vrrp
from tests.unit.core.situations import ABLE, ALONE, BELOW, FAILING, HIGH, LOW, PLAN, PRIMARY, RULES, SECOND, SILENT
from tests.unit.core.situations import VRRP as SPEC

CUT_OFF = "neither the peer nor the gateway can be reached"
GONE = Gateway(True, False, gone=True)
NOW = 1000.0

# --- what gives the role up ----------------------------------------------------------------------------------

LOST = replace(PRIMARY, peer=SILENT, replica=ALONE, gateway=Gateway(True, False))
ENDANGERED = Reason("endangered", "", f"gave the role up: {CUT_OFF}")
OUTDATED = replace(PRIMARY.replica or ALONE, disk="Outdated")
NOT_A_PAIR = replace(PLAN, keepalived=None, drbd=None)


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (PRIMARY, None),
        (replace(PRIMARY, wish=Wish(switchover="on purpose")), Reason("switchover", "", "on purpose")),
        # for the data's sake: whoever has the role still, or has it already
        (LOST, ENDANGERED),
        (replace(LOST, vrrp=Vrrp.BACKUP), ENDANGERED),
        (replace(LOST, kept=Kept(role=Role.BACKUP)), ENDANGERED),
        (replace(LOST, vrrp=Vrrp.BACKUP, kept=Kept(role=Role.BACKUP)), None),
        (replace(PRIMARY, kept=Kept(role=Role.MASTER, abandoned="for good")), replace(
            ENDANGERED, sentence="gave the role up: for good")),
        # for a failure
        (FAILING, Reason("handed-over", "pgsql", "gave the role up: pgsql exited with 1")),
        (
            replace(PRIMARY, replica=OUTDATED),
            Reason(
                "handed-over",
                "drbd",
                "gave the role up: its data is Outdated: the peer has newer data, or may have",
            ),
        ),
        (
            replace(PRIMARY, gateway=GONE),
            Reason("handed-over", "gateway", "gave the role up: the gateway cannot be reached"),
        ),
        (replace(PRIMARY, gateway=Gateway(True, False)), None),
        (
            replace(FAILING, replica=OUTDATED, gateway=GONE),
            Reason("handed-over", "pgsql", "gave the role up: pgsql exited with 1"),
        ),
        # but to nobody by a node that takes no part
        (replace(FAILING, wish=Wish(active=False)), None),
        (replace(FAILING, plan=NOT_A_PAIR), None),
        (replace(FAILING, peer=SILENT), None),
    ],
)  # fmt: skip
def test_what_gives_the_role_up(seen: Situation, reason: Reason | None) -> None:
    assert gives_role_up(seen) == reason


# --- what holds it back --------------------------------------------------------------------------------------

DEAF = f"the peer {HIGH} has the role and can be heard, but VRRP does not hear it"
BY_VRRP, NEAR, APART = Hold(DEAF, by_vrrp=True), Hold(DEAF, by_vrrp=True, near=True), Hold(CUT_OFF)
TWO = replace(PRIMARY, peer=RULES, now=NOW)
FAR = replace(RULES, near=False)
CUT = replace(SECOND, peer=SILENT, gateway=Gateway(True, False), now=NOW)


def test_the_higher_address_is_preferred() -> None:
    assert precedes(seen := replace(PRIMARY, plan=replace(PLAN, keepalived=replace(SPEC, peer_paths=((HIGH, LOW),)))))
    assert not precedes(PRIMARY)
    ten, nine = ip_address("192.0.2.10"), ip_address("192.0.2.9")
    assert precedes(replace(seen, plan=replace(PLAN, keepalived=replace(SPEC, peer_paths=((ten, nine), (LOW, HIGH))))))
    assert not precedes(replace(seen, plan=replace(PLAN, keepalived=replace(SPEC, peer_paths=()))))
    assert not precedes(replace(seen, plan=NOT_A_PAIR))


@pytest.mark.parametrize(
    ("seen", "hold", "candidate", "held", "waiting"),
    [
        # at once: nobody can be heard
        (CUT, None, None, APART, None),
        (CUT, APART, None, APART, None),
        (replace(CUT, gateway=Gateway(True, True)), APART, None, None, None),
        # once it has lasted: what VRRP may mend by itself
        (TWO, None, None, None, (NEAR, NOW)),
        (TWO, None, (NEAR, NOW - 3.9), None, (NEAR, NOW - 3.9)),
        (TWO, None, (NEAR, NOW - 4.0), NEAR, (NEAR, NOW - 4.0)),
        (TWO, NEAR, (NEAR, NOW - 4.5), NEAR, None),
        # another one has its own time, and one that is gone has none
        (TWO, None, (BY_VRRP, NOW - 9.0), None, (NEAR, NOW)),
        (replace(TWO, peer=FAR), None, (NEAR, NOW - 9.0), None, (BY_VRRP, NOW)),
        (replace(TWO, peer=ABLE), None, (NEAR, NOW - 9.0), None, None),
        (replace(TWO, peer=ABLE), NEAR, None, None, None),
        # a hold gives way to one that has to last first
        (replace(TWO, peer=FAR), APART, None, None, (BY_VRRP, NOW)),
    ],
)
def test_what_holds_a_node_back_and_since_when(
    seen: Situation,
    hold: Hold | None,
    candidate: tuple[Hold, float] | None,
    held: Hold | None,
    waiting: tuple[Hold, float] | None,
) -> None:
    kept = Kept(role=seen.kept.role, hold=hold, candidate=candidate)
    assert judge_hold(replace(seen, kept=kept)) == replace(kept, hold=held, candidate=waiting)


EVERY_TWO = replace(SPEC, advert_interval=2.0)
THIRD = ip_address("192.0.2.7")


def advert(source: Address = HIGH, *, since: float = 8.0, last: float = 0.5, router: int = 51) -> Adverts:
    """What has come from one source since so many seconds ago, and came last so many seconds ago."""
    return Adverts(0.0, None, {source: Sighting(Advert(source, LOW, router, 250, 2.0), NOW - since, NOW - last)})


LEFT = replace(
    SECOND,
    plan=replace(PLAN, keepalived=EVERY_TWO),
    vrrp=Vrrp.FAULT,
    now=NOW,
    kept=Kept(role=Role.FAULT, hold=NEAR, candidate=(NEAR, 0.0)),
    adverts=advert(),
)
UNICAST = replace(PLAN, keepalived=replace(EVERY_TWO, unicast_peers=(THIRD,), peer_paths=()))
TWO_PATHS = replace(PLAN, keepalived=replace(EVERY_TWO, peer_paths=((LOW, HIGH), (LOW, THIRD))))


def stood(seconds: float) -> dict[str, Any]:
    return {"kept": replace(LEFT.kept, stood_at=NOW - seconds)}


@pytest.mark.parametrize(
    ("changed", "stands"),
    [
        ({}, True),
        # an election's time: four intervals
        ({"adverts": advert(since=7.9)}, False),
        ({"adverts": advert(since=8.1)}, True),
        # and still: three and a half
        ({"adverts": advert(since=90, last=6.9)}, True),
        ({"adverts": advert(since=90, last=7.0)}, False),
        ({"adverts": Adverts(None)}, False),
        # those of the peer's virtual router
        ({"adverts": advert(router=52)}, False),
        ({"adverts": advert(THIRD)}, False),
        ({"adverts": advert(THIRD), "plan": UNICAST}, True),
        ({"adverts": advert(THIRD), "plan": TWO_PATHS}, False),
        # keepalived has let go
        ({"vrrp": Vrrp.MASTER}, False),
        ({"vrrp": Vrrp.BACKUP}, False),
        ({"plan": NOT_A_PAIR}, False),
        # not again before ten minutes are over
        (stood(599.9), False),
        (stood(600.0), True),
    ],
)
def test_whether_it_may_stand_for_the_role_again(changed: Mapping[str, Any], stands: bool) -> None:
    seen = replace(LEFT, **changed)
    assert may_stand_again(seen) is stands
    kept = judge_hold(seen)
    assert (kept.hold, kept.stood_at) == ((None, NOW) if stands else (NEAR, seen.kept.stood_at))
    assert kept.candidate is None


def test_who_hears_nobody_else_stands_back_whatever_adverts_say() -> None:
    apart = replace(LEFT, peer=SILENT, gateway=Gateway(True, False), kept=Kept(role=Role.FAULT, hold=APART))
    assert judge_hold(apart) == apart.kept


# --- what it waits for ---------------------------------------------------------------------------------------

LEAVING = Peer(str(HIGH), heard=True, near=True, vrrp=Vrrp.STOP, role=Role.MASTER, runs=True)
GIVEN = replace(SECOND, vrrp=Vrrp.MASTER, peer=LEAVING, now=NOW, heard_at=NOW - 0.5)


@pytest.mark.parametrize(
    ("changed", "waits"),
    [
        ({}, True),
        # not what has the role, is not given it, or has begun to take it
        ({"vrrp": Vrrp.BACKUP}, False),
        ({"kept": Kept(role=Role.MASTER)}, False),
        ({"lives": {**BELOW, "pgsql": Life(UnitState.STARTING)}}, False),
        # nor for one that is gone, has stopped all of it, or was seen to have moved on
        ({"peer": None}, False),
        ({"peer": replace(LEAVING, heard=False)}, False),
        ({"peer": replace(LEAVING, runs=False)}, False),
        ({"peer": replace(LEAVING, stale=True)}, False),
    ],
)
def test_since_when_it_waits_for_its_peer(changed: Mapping[str, Any], waits: bool) -> None:
    seen = replace(GIVEN, **changed)
    assert waits_for_peer(seen) == (NOW if waits else None)
    begun = replace(seen, kept=replace(seen.kept, waits_since=NOW - 10.0))
    assert waits_for_peer(begun) == (NOW - 10.0 if waits else None)


def patient(seconds: float) -> Situation:
    """A node that waits, where each of the primary's three units may take so long to stop."""
    units = {name: replace(unit, stop_timeout=seconds) for name, unit in PLAN.units.items()}
    plan = replace(PLAN, units=units, keepalived=EVERY_TWO)
    return replace(GIVEN, plan=plan, kept=Kept(role=Role.BACKUP, waits_since=NOW - 50.0))


def test_nobody_waits_longer_than_the_peers_stop_may_take() -> None:
    assert longest_wait(patient(30.0)) == 3 * (30.0 + 5.0)
    assert longest_wait(patient(40.0)) == 120.0


@pytest.mark.parametrize(
    ("seen", "until"),
    [
        # until the peer's last word is 1.9 intervals old
        (patient(30.0), NOW - 0.5 + 3.8),
        # or it has had its time
        (patient(11.0), NOW - 50.0 + 48.0),
        (patient(12.0), NOW - 50.0 + 51.0),
        # a node alone, or a peer that was never heard
        (replace(patient(30.0), heard_at=None), NOW),
        (replace(patient(30.0), plan=NOT_A_PAIR), NOW),
    ],
)
def test_how_long_it_waits(seen: Situation, until: float) -> None:
    assert is_waiting(seen) is (until > NOW)
    assert grace_ends(seen) == ([until] if until > NOW else [])
    if until > NOW:
        assert is_waiting(replace(seen, now=until - 0.01))
        assert not is_waiting(replace(seen, now=until))


def test_who_does_not_wait_has_no_end_of_it() -> None:
    seen = replace(patient(30.0), kept=Kept(role=Role.BACKUP))
    assert not is_waiting(seen)
    assert grace_ends(seen) == []


@pytest.mark.parametrize(
    ("hold", "candidate", "due"),
    [
        (None, (NEAR, NOW - 1.0), [NOW + 3.0]),
        (NEAR, (NEAR, NOW - 4.0), []),
        (APART, (NEAR, NOW - 1.0), [NOW + 3.0]),
        (NEAR, None, []),
    ],
)
def test_when_a_hold_comes_into_force(
    hold: Hold | None, candidate: tuple[Hold, float] | None, due: list[float]
) -> None:
    assert grace_ends(replace(TWO, kept=Kept(role=Role.MASTER, hold=hold, candidate=candidate))) == due


# --- what follows for the units ------------------------------------------------------------------------------


def test_why_the_role_is_not_taken() -> None:
    waiting = replace(patient(30.0), peer=LEAVING)
    told = f"waits until the peer {HIGH} has stopped its services"
    assert why_held(waiting) == Reason("waiting", str(HIGH), told)
    assert why_held(replace(waiting, kept=replace(waiting.kept, hold=APART))) == Reason("held-back", "", CUT_OFF)
    assert why_held(replace(waiting, peer=None)) is None
    assert why_held(PRIMARY) is None


LACKS = (Reason("machine-misfit", "drbd.nodes", "drbd.nodes: neither address is on this machine"),)


@pytest.mark.parametrize(
    ("seen", "master"),
    [
        (PRIMARY, True),
        (SECOND, False),
        (replace(PRIMARY, kept=Kept(release=Reason("switchover", "", "on purpose"))), False),
        (replace(PRIMARY, kept=Kept(hold=APART)), False),
        (replace(PRIMARY, lacks=LACKS), False),
        (patient(30.0), False),
        (replace(patient(30.0), heard_at=None), True),
    ],
)
def test_when_the_role_counts(seen: Situation, master: bool) -> None:
    assert intent_of(seen).master is master


def test_what_administrators_and_the_machine_say_counts_as_it_is() -> None:
    wish = Wish(active=False, down=frozenset({"pgsql"}), up=frozenset({"portal"}))
    absent = frozenset({"monitor"})
    expected = Intent(active=False, master=False, down=wish.down, up=wish.up, absent=absent)
    assert intent_of(replace(SECOND, wish=wish, absent=absent)) == expected
    assert intent_of(replace(PRIMARY, lacks=LACKS)).unable == {"keepalived", "drbd"}
