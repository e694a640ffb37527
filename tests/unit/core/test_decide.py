"""What follows from a situation: the role given up or held back, what keepalived and the peer are told."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from escadm.core.adverts import Advert, Adverts, Sighting
from escadm.core.decide import Decision, decide, is_settled, look_again, once_taken
from escadm.core.drbd.evidence import Evidence
from escadm.core.drbd.fencing import ISOLATED, NO_GATEWAY, Answer, Hold
from escadm.core.drbd.state import Replica
from escadm.core.interfaces import Interface
from escadm.core.lifecycle import Life
from escadm.core.plan import Plan, Start, Stop
from escadm.core.reconcile import DOWN
from escadm.core.role import Peer, master_units
from escadm.core.rules.data import Act
from escadm.core.rules.peer import FRESH
from escadm.core.rules.role import HOLDS_AFTER, longest_wait
from escadm.core.situation import Gateway, Kept, Situation, Wish
from escadm.core.specs import Address
from escadm.core.states import Role, UnitState, Vrrp
from tests.unit.core.plans import make_plan
from tests.unit.core.situations import (
    ABLE,
    ALONE,
    BELOW,
    FAILING,
    HIGH,
    LOW,
    PLAN,
    PRIMARY,
    RULES,
    SECOND,
    SILENT,
    STANDBY,
    TOGETHER,
    UP,
    VRRP,
)


def after(seen: Situation, seconds: float) -> Decision:
    """The decision of now, and of the same situation later, by what the first one kept."""
    return decide(replace(seen, now=seen.now + seconds, kept=decide(seen).kept))


def told(kept: Kept) -> str:
    """Why the role is given up, as a sentence."""
    return kept.release.sentence if kept.release else ""


def test_a_healthy_pair_goes_on() -> None:
    primary, standby = decide(PRIMARY), decide(SECOND)
    assert (primary.steps, primary.role, primary.fit, primary.act) == ((), Role.MASTER, True, None)
    assert (standby.steps, standby.role, standby.fit, standby.act) == ((), Role.BACKUP, True, None)
    assert primary.verdict.text == "ESC Master Healthy"
    assert standby.verdict.text == "ESC Backup Healthy"
    assert primary.look_again is standby.look_again is None


# --- the role is given up -----------------------------------------------------------------------------------


def test_a_failing_service_moves_the_role_to_a_peer_that_is_able() -> None:
    decision = decide(FAILING)
    assert told(decision.kept) == "gave the role up: pgsql exited with 1"
    assert Stop("pgsql") in decision.steps
    assert not any(isinstance(step, Start) for step in decision.steps)
    assert decision.fit is True, "the VIP stays as long as something of the primary is left"


@pytest.mark.parametrize(
    "replica",
    [
        replace(TOGETHER, peer_disk="Inconsistent"),
        replace(TOGETHER, peer_disk="Outdated"),
        replace(TOGETHER, peer_disk="Diskless"),
        ALONE,
        None,
    ],
)
def test_the_role_is_never_given_up_to_a_peer_that_lacks_data(replica: Replica | None) -> None:
    decision = decide(replace(FAILING, replica=replica))
    assert decision.kept.release is None
    assert Stop("filesystem") not in decision.steps


@pytest.mark.parametrize("peer", [None, SILENT, replace(ABLE, fit=False), replace(ABLE, vrrp=Vrrp.FAULT)])
def test_nor_to_one_that_could_not_take_it(peer: Peer | None) -> None:
    assert decide(replace(FAILING, peer=peer)).kept.release is None


def test_what_an_administrator_has_stopped_is_no_failure() -> None:
    assert decide(replace(FAILING, wish=Wish(down=frozenset({"pgsql"})))).kept.release is None


def test_a_node_that_is_stopped_gives_nothing_to_anybody() -> None:
    decision = decide(replace(FAILING, wish=Wish(active=False)))
    assert decision.kept.release is None
    assert not decision.message.fit
    assert decision.message.reasons == ("it is stopped",)


def test_a_switchover_gives_the_role_up_whoever_is_there() -> None:
    decision = decide(replace(PRIMARY, peer=None, wish=Wish(switchover="on purpose")))
    assert told(decision.kept) == "on purpose"
    assert Stop("pgsql") in decision.steps


def test_fault_is_told_once_nothing_of_the_primary_is_left() -> None:
    leaving = replace(PRIMARY, wish=Wish(switchover="on purpose"))
    assert decide(leaving).fit is True
    left = decide(replace(leaving, lives={**BELOW, "pgsql": Life()}))
    assert left.fit is False
    assert decide(replace(leaving, lives=BELOW, vrrp=Vrrp.FAULT)).role is Role.FAULT


def test_a_primary_that_reaches_neither_peer_nor_gateway_leaves() -> None:
    cut_off = replace(PRIMARY, peer=SILENT, replica=ALONE, gateway=Gateway(True, False, False))
    assert told(decide(cut_off).kept) == f"gave the role up: {ISOLATED}"
    assert decide(replace(cut_off, gateway=Gateway(True, True))).kept.release is None
    assert decide(replace(cut_off, replica=TOGETHER)).kept.release is None, "DRBD still reaches the peer"


def test_waiting_writes_are_given_up_with_the_role_and_the_volume_goes_round() -> None:
    cut_off = replace(
        PRIMARY, peer=SILENT, replica=replace(ALONE, suspended="fencing"), gateway=Gateway(True, False, False)
    )
    first = decide(cut_off)
    assert (first.act, first.act_why, first.kept.abandoned) == (Act.ABANDON, ISOLATED, ISOLATED)
    back = replace(cut_off, kept=first.kept, gateway=Gateway(True, True), acting=True)
    assert decide(back).act is None, "one act at a time"
    again = decide(replace(back, acting=False, replica=replace(ALONE, disk="Diskless")))
    assert told(again.kept) == f"gave the role up: {ISOLATED}", "to the end, whatever is reached meanwhile"
    drained = replace(back, acting=False, lives=BELOW, replica=replace(ALONE, role="Secondary", disk="Diskless"))
    done = decide(drained)
    assert (done.renewed, done.kept.abandoned) == (frozenset({"drbd"}), "")
    assert Stop("drbd") in done.steps
    assert done.kept.release is None, "the role may be taken again, with a disk"


def test_the_volume_goes_round_only_when_the_writes_have_been_given_up() -> None:
    frozen = replace(ALONE, suspended="fencing")
    drained = replace(PRIMARY, lives=BELOW, replica=frozen, kept=Kept(role=Role.MASTER, abandoned=ISOLATED))
    for still in (drained, replace(drained, replica=ALONE, acting=True)):
        decision = decide(still)
        assert (decision.renewed, decision.kept.abandoned) == (frozenset(), ISOLATED)
        assert told(decision.kept) == f"gave the role up: {ISOLATED}"
    assert decide(drained).act is Act.ABANDON


# --- fitness ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seen", [PRIMARY, SECOND])
def test_no_node_is_called_fit_that_reaches_no_gateway(seen: Situation) -> None:
    assert decide(seen).message.fit
    assert decide(replace(seen, gateway=Gateway(True, True))).message.fit
    message = decide(replace(seen, gateway=Gateway(True, False))).message
    assert not message.fit
    assert message.reasons == (NO_GATEWAY,)
    assert message.gateway is False


@pytest.mark.parametrize("vrrp", [Vrrp.FAULT, Vrrp.STOP, Vrrp.UNKNOWN])
def test_nor_one_whose_keepalived_takes_no_part(vrrp: Vrrp) -> None:
    assert not decide(replace(SECOND, vrrp=vrrp)).message.fit


@pytest.mark.parametrize("disk", ["Outdated", "Inconsistent", "Diskless", "Failed"])
def test_nor_one_whose_data_must_not_be_served(disk: str) -> None:
    decision = decide(replace(SECOND, replica=replace(STANDBY, disk=disk)))
    assert not decision.message.fit
    assert decision.fit is False


def test_of_data_that_nobody_has_looked_at_nothing_is_told() -> None:
    assert decide(replace(SECOND, replica=None)).fit is None
    starting = {**BELOW, "drbd": Life(UnitState.STARTING)}
    assert decide(replace(SECOND, replica=None, lives=starting)).fit is False


# --- two primaries ------------------------------------------------------------------------------------------


def swapped(seen: Situation) -> Situation:
    """The same on the node with the other address."""
    return replace(seen, plan=replace(seen.plan, keepalived=replace(VRRP, peer_paths=((HIGH, LOW),))))


TWO = replace(PRIMARY, peer=RULES, replica=ALONE)


def test_of_two_primaries_the_lower_address_leaves_and_the_higher_one_stays() -> None:
    """By then VRRP, once it hears the other one again, leaves the role where the services are."""
    lower, higher = after(TWO, HOLDS_AFTER), after(swapped(TWO), HOLDS_AFTER)
    assert lower.kept.hold is not None
    assert Stop("pgsql") in lower.steps
    assert higher.kept.hold is None
    assert higher.steps == ()


def test_a_peer_that_is_just_leaving_its_role_holds_nobody_back() -> None:
    first = decide(TWO)
    assert first.kept.hold is None
    assert first.steps == ()
    assert first.look_again == TWO.now + HOLDS_AFTER
    assert after(TWO, HOLDS_AFTER - 0.1).kept.hold is None
    gone = decide(replace(TWO, now=HOLDS_AFTER, peer=ABLE, kept=decide(TWO).kept))
    assert gone.kept.hold is None
    assert gone.kept.candidate is None


def test_a_standby_that_vrrp_made_primary_beside_one_that_it_hears_is_held_back() -> None:
    chosen = replace(swapped(SECOND), vrrp=Vrrp.MASTER)
    held = after(chosen, HOLDS_AFTER)
    assert held.kept.hold is not None
    assert held.fit is False
    assert held.message.holds


def test_where_the_peer_does_not_hear_this_node_only_this_one_can_leave() -> None:
    """One-way silence: what it sends is lost. Whatever the addresses and the role that the peer has reached."""
    for role in (Role.MASTER, Role.BACKUP):
        deaf = replace(swapped(TWO), peer=replace(RULES, role=role, hears_us=False))
        assert after(deaf, HOLDS_AFTER).kept.hold is not None
        assert after(replace(deaf, peer=replace(RULES, role=role, hears_us=True)), HOLDS_AFTER).kept.hold is None


def test_held_back_it_stands_again_once_it_has_heard_the_primarys_adverts_for_an_election() -> None:
    held = after(TWO, HOLDS_AFTER).kept
    advert = Advert(HIGH, LOW, VRRP.virtual_router_id, 250, 1.0)
    left = replace(SECOND, vrrp=Vrrp.FAULT, kept=replace(held, role=Role.FAULT), now=100.0)

    def hears(since: float, source: Address = HIGH, router: int = VRRP.virtual_router_id) -> Situation:
        sighting = Sighting(replace(advert, router=router), since, 99.5)
        return replace(left, adverts=Adverts(0.0, None, {source: sighting}))

    assert decide(left).kept.hold == held.hold
    assert decide(hears(98.0)).kept.hold == held.hold, "not for long enough"
    assert decide(hears(90.0, source=LOW)).kept.hold == held.hold, "somebody else's"
    assert decide(hears(90.0, router=52)).kept.hold == held.hold, "of another router"
    leaving = replace(hears(90.0), vrrp=Vrrp.MASTER, peer=RULES, lives=UP, units=PLAN.units)
    assert decide(leaving).kept.hold == held.hold, "the adverts may have come all along"
    stands = decide(hears(90.0))
    assert (stands.kept.hold, stands.fit, stands.kept.stood_at) == (None, True, 100.0)
    again = replace(hears(90.0), kept=replace(stands.kept, hold=held.hold), now=100.5)
    assert decide(again).kept.hold == held.hold, "keepalived did not hear them: not every few seconds"


# --- a peer that has not left the role yet ------------------------------------------------------------------

LEAVING = Peer(str(HIGH), heard=True, near=True, vrrp=Vrrp.STOP, role=Role.MASTER, runs=True)
GIVEN = replace(SECOND, vrrp=Vrrp.MASTER, peer=LEAVING, now=100.0, heard_at=99.5)


def test_a_node_that_gains_the_role_waits_until_its_peer_has_stopped_its_services() -> None:
    first = decide(GIVEN)
    assert first.steps == ()
    assert first.kept.waits_since == 100.0
    assert first.look_again == 99.5 + FRESH
    assert first.verdict.text == f"ESC Backup Degraded: waits until the peer {HIGH} has stopped its services"
    still = replace(GIVEN, now=110.0, heard_at=109.9, kept=first.kept)
    assert decide(still).steps == ()
    gone = decide(replace(still, peer=replace(LEAVING, role=Role.FAULT, runs=False)))
    assert gone.steps == (Start("drbd:master"),)
    assert gone.kept.waits_since is None


def test_while_it_waits_the_last_role_stands() -> None:
    for before, role in ((None, Role.FAULT), (Role.FAULT, Role.FAULT), (Role.BACKUP, Role.BACKUP)):
        assert decide(replace(GIVEN, kept=Kept(role=before))).role is role


def test_it_waits_where_nothing_but_services_stands_on_the_role_too() -> None:
    """Without a promotion and a mount the role is reached with keepalived's word; not while the peer runs something."""
    plain = make_plan({"keepalived": (), "keepalived:master": ("keepalived",), "pgsql": ("keepalived:master",)})
    lives = {"keepalived": Life(UnitState.RUNNING)}
    seen = replace(GIVEN, plan=replace(plain, keepalived=VRRP), lives=lives, units=plain.units, replica=None)
    first = decide(seen)
    again = decide(replace(seen, now=100.4, kept=first.kept))
    for decision in (first, again):
        assert decision.steps == ()
        assert decision.role is Role.BACKUP
        assert decision.kept.waits_since == 100.0
    gone = decide(replace(seen, now=100.4, kept=again.kept, peer=replace(LEAVING, role=Role.FAULT, runs=False)))
    assert gone.steps == (Start("pgsql"),)
    assert gone.role is Role.MASTER


def test_it_does_not_wait_for_a_peer_that_may_be_dead() -> None:
    """Power cut: the last datagram is two intervals old, at least, when VRRP gives the role away."""
    assert decide(replace(GIVEN, heard_at=98.0)).steps == (Start("drbd:master"),)
    assert decide(replace(GIVEN, now=102.0, kept=decide(GIVEN).kept)).steps == (Start("drbd:master"),)
    assert decide(replace(GIVEN, peer=SILENT)).steps == (Start("drbd:master"),)


def test_nor_for_ever_for_one_that_does_not_come_to_its_end() -> None:
    begun = decide(GIVEN).kept
    late = GIVEN.now + longest_wait(GIVEN)
    assert decide(replace(GIVEN, now=late - 0.1, heard_at=late, kept=begun)).steps == ()
    assert decide(replace(GIVEN, now=late, heard_at=late, kept=begun)).steps == (Start("drbd:master"),)


def test_what_runs_already_is_not_stopped_for_a_peer_that_runs_as_well() -> None:
    assert decide(replace(PRIMARY, peer=LEAVING, heard_at=0.0)).steps == ()
    taking = {**BELOW, "drbd:master": Life(UnitState.STARTING)}
    assert not any(isinstance(step, Stop) for step in decide(replace(GIVEN, lives=taking)).steps)


def test_the_peer_is_told_whether_something_of_the_primary_is_left() -> None:
    assert decide(PRIMARY).message.runs
    assert not decide(SECOND).message.runs
    assert decide(replace(PRIMARY, vrrp=Vrrp.STOP)).message.runs


# --- what DRBD asks -----------------------------------------------------------------------------------------


def test_a_silence_in_the_agents_first_seconds_is_no_answer() -> None:
    asked = replace(PRIMARY, peer=SILENT, replica=ALONE, asked=True, sure_at=3.5)
    assert decide(asked).answer is None
    assert decide(asked).look_again == 3.5
    assert decide(replace(asked, now=3.5)).answer is Answer.DEAD
    assert decide(replace(asked, now=3.5, gateway=Gateway(True, None))).answer is None
    assert decide(replace(asked, now=3.5, gateway=Gateway(True, False))).answer is None


def test_a_standby_whose_peer_goes_on_without_it_outdates_its_data() -> None:
    told = replace(RULES, replica=Evidence("Primary", "Connecting", "UpToDate"))
    alone = replace(SECOND, replica=replace(ALONE, role="Secondary"), peer=told)
    assert decide(alone).act is Act.OUTDATE
    assert not decide(alone).message.asks
    assert decide(replace(alone, acting=True)).act is None
    assert decide(replace(alone, peer=replace(told, stale=True))).act is None


def test_what_is_known_of_the_peers_writes_is_kept_until_it_is_back() -> None:
    left, gone = replace(ALONE, role="Secondary"), Gateway(True, False)
    cut_off = replace(SECOND, peer=SILENT, replica=left, gateway=gone, now=100.0, heard_at=90.0)
    assert (decide(cut_off).kept.cut_off, decide(cut_off).kept.behind) == (True, True)
    back = decide(replace(cut_off, gateway=Gateway(True, True), kept=decide(cut_off).kept))
    assert (back.kept.cut_off, back.kept.behind, back.act) == (True, True, Act.OUTDATE)
    again = decide(replace(SECOND, replica=replace(STANDBY, peer_role="Secondary"), now=101.0, kept=back.kept))
    assert (again.kept.cut_off, again.kept.behind) == (False, False)


def test_a_standby_that_outdates_its_data_asks_for_nobody_elses() -> None:
    told = replace(RULES, replica=Evidence("Primary", "Connecting", "UpToDate"))
    asked = replace(SECOND, replica=replace(ALONE, role="Secondary"), peer=told, asked=True)
    first = decide(asked)
    assert (first.act, first.message.asks) == (Act.OUTDATE, False)
    assert not decide(replace(asked, acting=True)).message.asks
    outdated = replace(ALONE, role="Secondary", disk="Outdated")
    assert decide(replace(asked, replica=outdated)).message.asks


@pytest.mark.parametrize(
    ("asked", "now", "candidate", "due"),
    [
        (True, 3.4, False, 3.5),
        (True, 3.5, False, None),
        (False, 3.4, False, None),
        # whichever comes first
        (True, 2.0, True, 3.5),
        (True, 3.0, True, 3.5),
        (False, 3.0, True, 5.5),
    ],
)
def test_when_to_decide_anew(asked: bool, now: float, candidate: bool, due: float | None) -> None:
    kept = Kept(role=Role.MASTER, candidate=(Hold("deaf", by_vrrp=True), 1.5) if candidate else None)
    assert look_again(replace(PRIMARY, asked=asked, now=now, sure_at=3.5, kept=kept)) == due


# --- what has come of the steps -----------------------------------------------------------------------------


def test_a_role_is_reached_once_and_since_then() -> None:
    taken = replace(PRIMARY, at="12:00", kept=Kept(role=Role.BACKUP, role_since="11:00"))
    decision = decide(taken)
    assert (decision.kept.role, decision.kept.role_since) == (Role.MASTER, "12:00")
    assert decision.message.role is decision.facts.role is Role.MASTER
    assert decision.message.replica is not None
    assert decision.message.replica.role_since == "12:00"
    later = decide(replace(taken, at="12:01", kept=decision.kept))
    assert (later.kept.role, later.kept.role_since) == (Role.MASTER, "12:00")


def test_all_that_is_told_is_as_it_is_once_the_steps_have_been_taken() -> None:
    first = decide(replace(SECOND, lives={}, units={}, now=7.0))
    assert first.steps == (Start("drbd"), Start("keepalived"))
    assert set(first.facts.lives) == {"drbd", "keepalived"}
    assert {life.state for life in first.facts.lives.values()} == {UnitState.STARTING}
    assert first.message.has_volume
    last = decide(replace(PRIMARY, wish=Wish(active=False)))
    assert last.steps == (Stop("pgsql"),)
    assert last.facts.lives["pgsql"].state is UnitState.STOPPING


def test_what_is_started_lives_by_the_plan_and_is_not_stale_any_more() -> None:
    older = replace(PLAN.units["pgsql"], start_timeout=1.0, stop_timeout=2.0)
    stale = frozenset({"pgsql", "drbd"})
    seen = replace(PRIMARY, lives=BELOW, units={"pgsql": older, **PLAN.units, "drbd": older}, stale=stale, now=7.0)
    after = once_taken(seen, (Start("pgsql"), Stop("drbd")))
    assert after.units == {**PLAN.units, "drbd": older}
    assert after.lives["pgsql"] == Life(UnitState.STARTING, 7.0, 7.0 + PLAN.units["pgsql"].start_timeout)
    assert after.lives["drbd"] == Life(UnitState.STOPPING, 7.0, 9.0)
    assert after.lives["keepalived"] == BELOW["keepalived"]
    assert after.stale == {"drbd"}
    assert (seen.lives, seen.stale) == (BELOW, stale)


STARTING, STOPPED, FAILED = Life(UnitState.STARTING), Life(), Life(UnitState.FAILED)


@pytest.mark.parametrize(
    ("lives", "wanted", "settled"),
    [
        (UP, frozenset(PLAN.units), True),
        (BELOW, frozenset({*BELOW, "keepalived:master"}), True),
        ({**BELOW, "pgsql": STOPPED, "filesystem": FAILED}, frozenset(BELOW), True),
        ({}, frozenset(), True),
        # something is missing, something is left
        (BELOW, frozenset(PLAN.units), False),
        ({**UP, "pgsql": STARTING}, frozenset(PLAN.units), False),
        ({**UP, "pgsql": FAILED}, frozenset(PLAN.units), False),
        (UP, frozenset(BELOW), False),
        ({**BELOW, "pgsql": Life(UnitState.STOPPING), "filesystem": STOPPED}, frozenset(BELOW), False),
    ],
)
def test_whether_all_is_as_it_should_be(lives: dict[str, Life], wanted: frozenset[str], settled: bool) -> None:
    assert is_settled(replace(PRIMARY, lives=lives), wanted) is settled


def test_the_decision_is_what_the_peer_is_told_of_it() -> None:
    assert decide(PRIMARY).is_settled
    assert decide(PRIMARY).message.settled
    assert not decide(FAILING).message.settled


# --- any situation ------------------------------------------------------------------------------------------

states = st.sampled_from(UnitState)
lives = st.fixed_dictionaries(
    {
        name: st.builds(Life, states, failed=st.booleans(), streak=st.integers(0, 5), reason=st.just("fails"))
        for name in PLAN.units
        if name != "keepalived:master"
    }
)
disks = st.sampled_from(["UpToDate", "Consistent", "Outdated", "Inconsistent", "Diskless", "Attaching"])
words = st.sampled_from(["Connected", "Connecting", "StandAlone"])
sides = st.sampled_from(["Primary", "Secondary"])
replicas = st.none() | st.builds(
    Replica, sides, words, sides, disks, disks, suspended=st.sampled_from(["", "fencing", "user"])
)
peers = st.none() | st.builds(
    Peer,
    st.just(str(HIGH)),
    heard=st.booleans(),
    vrrp=st.sampled_from(Vrrp),
    role=st.none() | st.sampled_from(Role),
    fit=st.booleans(),
    near=st.booleans(),
    holds=st.booleans(),
    stale=st.booleans(),
    asks=st.booleans(),
    runs=st.booleans(),
    has_volume=st.booleans(),
    replica=st.none() | st.builds(Evidence, sides, words, disks),
)
gateways = st.sampled_from([Gateway(), Gateway(True, None), Gateway(True, True), Gateway(True, False, True)])
situations = st.builds(
    Situation,
    st.sampled_from([PLAN, replace(PLAN, keepalived=None), Plan({})]),
    wish=st.builds(Wish, st.booleans(), switchover=st.sampled_from(["", "on purpose"])),
    lives=lives,
    units=st.just(PLAN.units),
    vrrp=st.sampled_from(Vrrp),
    interfaces=st.sampled_from([None, {"lo": Interface()}, {"lo": Interface(addresses=(VRRP.vip,))}]),
    peer=peers,
    heard_at=st.sampled_from([None, 0.0, 5.0]),
    gateway=gateways,
    replica=replicas,
    asked=st.booleans(),
    acting=st.booleans(),
    sure_at=st.sampled_from([0.0, 3.5]),
    kept=st.builds(
        Kept,
        role=st.none() | st.sampled_from(Role),
        abandoned=st.sampled_from(["", ISOLATED]),
        waits_since=st.sampled_from([None, -1000.0, 0.0]),
    ),
)


@given(situations)
def test_whatever_is_seen_something_is_decided_and_no_word_of_it_is_false(seen: Situation) -> None:
    decision = decide(seen)
    lives = decision.facts.lives
    left = {name for name in master_units(seen.plan, {}) if name in lives and lives[name].state not in DOWN}
    if decision.role is Role.BACKUP and seen.kept.role is not Role.BACKUP:
        assert not left
    if decision.role is Role.MASTER and seen.kept.role is not Role.MASTER:
        taken = [name for name, unit in seen.plan.units.items() if unit.kind.takes_the_role]
        assert all(lives[name].state is UnitState.RUNNING for name in taken)
    if decision.fit is False:
        assert not left
    if decision.kept.release or decision.kept.hold:
        started = {step.name for step in decision.steps if isinstance(step, Start)}
        assert not started & master_units(seen.plan, {})
    assert not (decision.message.fit and seen.gateway.reached is False)


@given(situations)
def test_the_same_once_more_changes_nothing(seen: Situation) -> None:
    """Level-triggered: what was decided and done is not decided again."""
    first = decide(seen)
    again = decide(replace(seen, acting=seen.acting or first.act is not None, kept=first.kept))
    if first.steps or first.renewed:
        return
    assert again.steps == ()
    assert (again.act, again.role, again.fit) == (None, first.role, first.fit)
    assert (again.kept.release, again.kept.hold) == (first.kept.release, first.kept.hold)
