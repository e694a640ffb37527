"""keepalived's word against what is seen: each contradiction, and the ladder that follows it, with time as a number."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from escadm.core.adverts import Advert, Adverts, Sighting
from escadm.core.decide import decide
from escadm.core.interfaces import Interface
from escadm.core.lifecycle import Life
from escadm.core.plan import Plan, Unit
from escadm.core.reason import Reason
from escadm.core.role import Peer
from escadm.core.rules import word
from escadm.core.rules.word import WordAct, contradiction, judge_word, next_look
from escadm.core.situation import Kept, Situation
from escadm.core.specs import KeepalivedSpec, Kind
from escadm.core.states import UnitState, Vrrp

OWN, PEER, VIP = map(ip_address, ("10.0.0.1", "10.0.0.2", "10.0.0.9"))
SPEC = KeepalivedSpec(VIP, "eth0", "eth0", 9, unicast_source=OWN, unicast_peers=(PEER,))
UNIT = Unit("keepalived", Kind.KEEPALIVED, spec=SPEC)
PAIR = Plan({"keepalived": UNIT, "keepalived:master": Unit("keepalived:master", Kind.CONDITION, ("keepalived",))}, SPEC)
NOW = 1000.0
BARE = {"eth0": Interface(addresses=(OWN,))}
HELD = {"eth0": Interface(addresses=(OWN, VIP))}


def sighting(source: Any = PEER, *, age: float = 0.1, **more: Any) -> Sighting:
    advert = Advert(source, OWN, more.pop("router", 9), more.pop("priority", 250), 1.0)
    return Sighting(advert, NOW - 100, NOW - age)


def situation(vrrp: Vrrp, **changed: Any) -> Situation:
    """A node whose word is true, but for what is changed."""
    master = vrrp is Vrrp.MASTER
    own, others = (sighting(OWN), {}) if master else (None, {PEER: sighting()})
    known = Situation(
        PAIR,
        now=NOW,
        lives={"keepalived": Life(UnitState.RUNNING, 0.0)},
        units={"keepalived": UNIT},
        vrrp=vrrp,
        peer=Peer(str(PEER), heard=True, near=True, fit=True),
        interfaces=HELD if master else BARE,
        adverts=Adverts(0.0, own, others),
    )
    return replace(known, **changed)


def code(seen: Situation, *, fit: bool | None = True) -> str:
    found = contradiction(seen, fit=fit)
    return found.code if found else ""


@pytest.mark.parametrize("vrrp", list(Vrrp))
def test_a_word_that_is_true(vrrp: Vrrp) -> None:
    assert code(situation(vrrp)) == ""


def test_a_master_without_its_address() -> None:
    assert code(situation(Vrrp.MASTER, interfaces=BARE)) == word.VIP_MISSING
    assert code(situation(Vrrp.MASTER, interfaces=None)) == ""


@pytest.mark.parametrize("own", [None, sighting(OWN, age=3.6), sighting(OWN, priority=0)])
def test_a_master_whose_adverts_do_not_leave(own: Sighting | None) -> None:
    seen = situation(Vrrp.MASTER, adverts=Adverts(0.0, own))
    assert code(seen) == word.ADVERTS_MISSING
    for peer in (None, Peer(str(PEER)), Peer(str(PEER), heard=True, near=False)):
        assert code(replace(seen, peer=peer)) == "", "the neighbour may be dead: no packet leaves for it"
    multicast = replace(PAIR, keepalived=replace(SPEC, unicast_peers=()))
    assert code(replace(seen, plan=multicast, peer=None)) == word.ADVERTS_MISSING
    assert code(replace(seen, adverts=Adverts(None, own))) == ""  # nobody can look


@pytest.mark.parametrize("vrrp", [Vrrp.BACKUP, Vrrp.FAULT, Vrrp.STOP])
def test_what_only_a_master_has(vrrp: Vrrp) -> None:
    assert code(situation(vrrp, interfaces=HELD)) == word.VIP_UNEXPECTED
    assert code(situation(vrrp, adverts=Adverts(0.0, sighting(OWN), {PEER: sighting()}))) == word.ADVERTS_UNEXPECTED
    leaving = Adverts(0.0, sighting(OWN, priority=0), {PEER: sighting()})
    assert code(situation(vrrp, adverts=leaving)) == ""


def test_a_backup_of_nobody() -> None:
    for others in ({}, {PEER: sighting(age=3.6)}, {PEER: sighting(priority=0)}, {PEER: sighting(router=8)}):
        assert code(situation(Vrrp.BACKUP, adverts=Adverts(0.0, None, others))) == word.MASTER_MISSING
        assert code(situation(Vrrp.FAULT, adverts=Adverts(0.0, None, others))) == ""
    assert code(situation(Vrrp.BACKUP, adverts=Adverts(None))) == ""


@pytest.mark.parametrize("vrrp", [Vrrp.BACKUP, Vrrp.MASTER])
def test_a_word_against_what_keepalived_was_told(vrrp: Vrrp) -> None:
    assert code(situation(vrrp), fit=False) == word.FAULT_IGNORED
    assert code(situation(vrrp), fit=None) == ""
    assert code(situation(Vrrp.FAULT), fit=False) == ""


@pytest.mark.parametrize("state", [each for each in UnitState if each is not UnitState.RUNNING])
def test_a_keepalived_that_does_not_run_says_nothing(state: UnitState) -> None:
    seen = situation(Vrrp.MASTER, interfaces=BARE, lives={"keepalived": Life(state, 0.0)})
    assert code(seen) == ""


def test_a_standalone_node_has_no_word() -> None:
    assert judge_word(Situation(Plan({})), fit=None) == (Kept(), None, "")
    assert next_look(Situation(Plan({}))) is None


def ladder(seen: Situation, until: float, *, fit: bool | None = True) -> Iterator[tuple[float, WordAct]]:
    """Each act with its time, looked for whenever the last decision asked for another look."""
    while True:
        kept, act, _ = judge_word(seen, fit=fit)
        seen = replace(seen, kept=kept)
        if act is not None:
            yield seen.now - NOW, act
        due = next_look(seen)
        if act is not WordAct.RESTART and due is not None:
            assert due > seen.now
        again = due if due is not None and due > seen.now else seen.now + 0.5
        if again - NOW > until:
            return
        seen = replace(seen, now=again)


def test_asked_again_then_restarted() -> None:
    seen = situation(Vrrp.MASTER, interfaces=BARE)
    assert list(ladder(seen, 4.5)) == [(2.0, WordAct.ASK), (4.0, WordAct.RESTART)]


def test_an_election_takes_longer() -> None:
    seen = situation(Vrrp.BACKUP, adverts=Adverts(0.0))
    assert list(ladder(seen, 10.5)) == [(5.0, WordAct.ASK), (10.0, WordAct.RESTART)]


def test_short_intervals_leave_a_second() -> None:
    quick = replace(SPEC, advert_interval=0.05)
    seen = situation(Vrrp.MASTER, interfaces=BARE, plan=replace(PAIR, keepalived=quick))
    assert list(ladder(seen, 2.5)) == [(1.0, WordAct.ASK), (2.0, WordAct.RESTART)]


def test_a_word_that_comes_true_is_forgiven() -> None:
    wrong = situation(Vrrp.MASTER, interfaces=BARE)
    kept, _, _ = judge_word(wrong, fit=True)
    assert kept.doubt is not None
    right, act, _ = judge_word(situation(Vrrp.MASTER, kept=kept, now=NOW + 1.9), fit=True)
    assert (right, act) == (Kept(), None)
    again, act, _ = judge_word(replace(wrong, kept=right, now=NOW + 2.1), fit=True)
    assert act is None
    assert again.doubt is not None
    assert again.doubt.since == NOW + 2.1


def test_another_contradiction_of_the_same_word_goes_on() -> None:
    """A frozen primary: its adverts cease, its peer takes over, and then it is told FAULT for the peer's sake."""
    kept, _, _ = judge_word(situation(Vrrp.MASTER, interfaces=BARE), fit=True)
    kept, act, _ = judge_word(situation(Vrrp.MASTER, kept=kept, now=NOW + 2.0), fit=False)
    assert act is WordAct.ASK
    assert kept.doubt is not None
    assert kept.doubt.reason.code == word.FAULT_IGNORED


def test_an_election_that_ends_well_is_no_doubt() -> None:
    kept, _, _ = judge_word(situation(Vrrp.BACKUP, adverts=Adverts(0.0)), fit=True)
    leave = Adverts(0.0, replace(sighting(OWN), last=NOW + 3.1))
    kept, act, _ = judge_word(situation(Vrrp.BACKUP, adverts=leave, kept=kept, now=NOW + 3.1), fit=True)
    assert act is None
    assert kept.doubt is not None
    assert kept.doubt.since == NOW + 3.1


def test_the_peer_is_not_told_a_word_in_doubt() -> None:
    seen = situation(Vrrp.MASTER, interfaces=BARE)
    first = decide(seen)
    second = decide(replace(seen, kept=first.kept, now=NOW + 2.0))
    assert (first.message.vrrp, second.message.vrrp) == (Vrrp.MASTER, Vrrp.UNKNOWN)


def test_another_word_begins_anew() -> None:
    kept, _, _ = judge_word(situation(Vrrp.MASTER, interfaces=BARE), fit=True)
    _, act, _ = judge_word(situation(Vrrp.FAULT, interfaces=HELD, kept=kept, now=NOW + 3), fit=True)
    assert act is None


@pytest.mark.parametrize("vrrp", [Vrrp.BACKUP, Vrrp.FAULT, Vrrp.STOP])
def test_who_looks_like_a_master_is_taken_for_one(vrrp: Vrrp) -> None:
    seen = situation(vrrp, interfaces=HELD, adverts=Adverts(0.0, sighting(OWN)))
    steady = replace(seen, adverts=Adverts(0.0, replace(sighting(OWN), last=NOW + 90)))
    assert list(ladder(steady, 4.5)) == [(2.0, WordAct.BELIEVE_EYES), (4.0, WordAct.RESTART)]
    assert next(ladder(steady, 4.5, fit=False))[1] is WordAct.ASK  # it must not be one
    only_vip = replace(steady, adverts=Adverts(0.0))
    assert list(ladder(only_vip, 2.5)) == [(2.0, WordAct.ASK)]


def test_a_restart_that_did_not_help_ends_in_fault_for_a_while() -> None:
    seen = situation(Vrrp.MASTER, interfaces=BARE, kept=Kept(restarted=NOW - 59.0))
    for at in (0.0, 2.0, 4.0):
        kept, act, _ = judge_word(replace(seen, now=NOW + at), fit=True)
        seen = replace(seen, kept=kept)
    assert act is WordAct.RESTART
    assert kept.distrust is None  # more than RELAPSE seconds ago by now
    seen = replace(seen, kept=replace(kept, restarted=NOW))
    for at in (10.0, 12.0, 14.0):
        kept, act, _ = judge_word(replace(seen, now=NOW + at), fit=True)
        seen = replace(seen, kept=kept)
    assert kept.distrust is not None
    reason, until = kept.distrust
    assert (reason.code, until) == (word.VIP_MISSING, NOW + 74.0)
    calm = situation(Vrrp.FAULT, kept=kept, now=until - 0.1)
    assert next_look(calm) == until
    assert judge_word(calm, fit=False)[0].distrust == kept.distrust
    assert judge_word(replace(calm, now=until), fit=False)[0].distrust is None


def test_a_distrusted_node_is_in_fault() -> None:
    reason = Reason(word.VIP_MISSING, "10.0.0.9", "keepalived says MASTER, and 10.0.0.9 is not on eth0")
    kept = Kept(distrust=(reason, NOW + 10))
    made = decide(situation(Vrrp.MASTER, kept=kept))
    assert made.fit is False
    assert not made.facts.intent.master
    assert made.message.fit is False
    assert made.message.reasons == (reason.sentence,)
    assert made.verdict.text.endswith(f"Failed: {reason.sentence}")
    assert made.look_again is not None


def test_the_decision_says_what_is_doubted_once_it_was_asked() -> None:
    seen = situation(Vrrp.MASTER, interfaces=BARE)
    first = decide(seen)
    assert (first.word_act, first.word_why, first.facts.findings) == (None, "", ())
    second = decide(replace(seen, kept=first.kept, now=first.look_again or 0.0))
    assert second.word_act is WordAct.ASK
    assert second.word_why == second.facts.findings[0].sentence
    assert [each.code for each in second.facts.findings] == [word.VIP_MISSING]


def test_a_node_without_its_address_tells_keepalived_at_once() -> None:
    seen = situation(Vrrp.MASTER, interfaces={"eth0": Interface()})
    made = decide(seen)
    assert made.fit is False
    assert not made.facts.intent.master
    assert "10.0.0.1" in made.verdict.text
    assert decide(situation(Vrrp.MASTER)).fit is True


def test_a_machine_that_lacks_something_runs_no_engine() -> None:
    lacks = (Reason("machine-misfit", "drbd.nodes", "drbd.nodes: neither address is on this machine"),)
    made = decide(situation(Vrrp.BACKUP, lacks=lacks))
    assert made.goal == frozenset()
    assert [step.name for step in made.steps] == ["keepalived"]
    assert made.fit is False
    assert made.verdict.text.endswith(f"Failed: {lacks[0].sentence}")
