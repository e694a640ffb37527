"""One decision: from all that is known to all that goes outward. One pure function over small ones, each one rule.

Nothing that this node starts, stops, publishes, writes for keepalived or tells its peer rests on anything but the
decision of one turn. Time is a number in the situation, a period of grace is one in what is kept.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from escadm.core.evidence import evidence_of
from escadm.core.fencing import (
    NO_GATEWAY,
    Answer,
    Hold,
    answer,
    hold,
    loses,
    may_take,
    outdates_itself,
    waits,
)
from escadm.core.health import Facts, judge
from escadm.core.lifecycle import KILL_TIMEOUT, Event, Life, Limits, transition
from escadm.core.peer import LONGEST_REASON, MOST_REASONS, Message, pairing_of
from escadm.core.reason import Reason
from escadm.core.reconcile import DOWN, Intent, goal, reconcile
from escadm.core.replication import Gate, Replica, why_unfit
from escadm.core.role import gives_up, is_drained, master_units, reached, why_peer_lacks_data
from escadm.core.rules.network import network_faults
from escadm.core.rules.strangers import strangers
from escadm.core.rules.word import WordAct, judge_word, next_look
from escadm.core.situation import Kept, Situation
from escadm.core.types import PROMOTION, Kind, Role, Start, Step, UnitState, Verdict, Vrrp

ENGINES = frozenset({"keepalived", "drbd"})
HOLDS_AFTER = 4.0
"""Seconds: a peer that is just leaving its role says so in less."""


FRESH = 1.9
"""Intervals between adverts: a peer that was heard within them lives. One that has just died is not waited for: VRRP
gives its role away three intervals after its last advert, and so two after its last datagram at the earliest."""
LONGEST_WAIT = 120.0
"""Seconds: nobody waits longer for a peer that does not come to the end of its stop."""


class Act(StrEnum):
    """What is done about the data because of the peer; each may be tried again until its effect is seen."""

    OUTDATE = "outdate"
    ABANDON = "abandon"


@dataclass(frozen=True, slots=True)
class Decision:
    """All that goes outward.

    ``steps``: what may be started and stopped now. ``renewed``: units that have to go round from now on. ``role``: the
    one that was reached. ``fit``: what keepalived is told, None = nothing new. ``message``: what the peer is told.
    ``facts`` and ``verdict``: what is published. ``act``: what is done about the data, for the reason ``act_why``;
    ``word_act``: about keepalived's word. ``answer``: what DRBD is told of the peer if it asks, None while that is not
    known. ``look_again``: when to decide anew, at the latest, if nothing happens. ``kept``: for the next decision.
    """

    steps: tuple[Step, ...]
    renewed: frozenset[str]
    goal: frozenset[str]
    role: Role
    fit: bool | None
    message: Message
    facts: Facts
    verdict: Verdict
    act: Act | None
    act_why: str
    answer: Answer | None
    is_settled: bool
    is_drained: bool
    look_again: float | None
    kept: Kept
    word_act: WordAct | None = None


def decide(seen: Situation) -> Decision:
    """What follows from the situation."""
    kept, word_act = judge_word(seen, fit=fitness(seen, drained=is_drained(seen.plan, seen.live())))
    seen = replace(seen, kept=kept)
    held, candidate = holds_back(seen)
    asks = asks_for_peer(seen)
    act, why = data_act(seen, asks=asks)
    abandoned = why if act is Act.ABANDON else seen.kept.abandoned
    renewed: frozenset[str] = frozenset()
    if abandoned and act is None and not seen.acting and is_drained(seen.plan, seen.live()):
        abandoned, renewed = "", frozenset({"drbd"})  # it lost its disk on purpose, and gets it back
    kept = replace(seen.kept, hold=held, candidate=candidate, abandoned=abandoned)
    judged = replace(seen, kept=kept, stale=seen.stale | renewed, acting=seen.acting or act is not None)
    kept = replace(kept, release=gives_role_up(judged), waits_since=waits_for_peer(judged))
    judged = replace(judged, kept=kept)
    steps = tuple(reconcile(seen.plan, judged.live(), intent_of(judged)))
    return replace(_outward(once_taken(judged, steps), steps, renewed, act, why), word_act=word_act)


def _outward(seen: Situation, steps: tuple[Step, ...], renewed: frozenset[str], act: Act | None, why: str) -> Decision:
    """What is told, once the steps have been taken."""
    live = seen.live()
    role = reached(seen.plan, seen.vrrp, live, seen.kept.role)
    news = role is not seen.kept.role
    kept = replace(seen.kept, role=role, role_since=seen.at if news else seen.kept.role_since)
    seen = replace(seen, kept=kept)
    wanted = goal(seen.plan, intent_of(seen))
    facts = facts_of(seen)
    settled = is_settled(seen, wanted)
    drained = is_drained(seen.plan, live)
    return Decision(
        steps=steps,
        renewed=renewed,
        goal=wanted,
        role=role,
        fit=fitness(seen, drained=drained),
        message=message_of(seen, settled=settled, drained=drained),
        facts=facts,
        verdict=judge(facts),
        act=act,
        act_why=why,
        answer=answer(seen.replica, seen.peer, gateway_for_sure(seen)),
        is_settled=settled,
        is_drained=drained,
        look_again=look_again(seen),
        kept=kept,
    )


# --- what this node wants --------------------------------------------------------------------------------


def intent_of(seen: Situation) -> Intent:
    """What the reconciler goes by: the role counts while keepalived gives it and nothing takes it away."""
    kept = seen.kept
    master = seen.vrrp is Vrrp.MASTER and not (kept.release or kept.hold or faults(seen) or is_waiting(seen))
    unable = ENGINES if seen.lacks else frozenset()
    return Intent(seen.wish.active, master, seen.wish.down, seen.wish.up, seen.absent, unable)


def once_taken(seen: Situation, steps: tuple[Step, ...]) -> Situation:
    """The situation once the steps have been taken, by the table that the drivers go by as well."""
    lives, units = dict(seen.lives), dict(seen.units)
    for step in steps:
        starts = isinstance(step, Start)
        if starts:
            units[step.name] = seen.plan.units[step.name]
        unit = units[step.name]
        limits = Limits(unit.start_timeout, unit.stop_timeout, unit.run_forever)
        event = Event.START if starts else Event.STOP
        lives[step.name], _ = transition(lives.get(step.name, Life()), event, seen.now, limits)
    started = {step.name for step in steps if isinstance(step, Start)}
    return replace(seen, lives=lives, units=units, stale=seen.stale - started)


def is_settled(seen: Situation, wanted: frozenset[str]) -> bool:
    """Whether all that should be up is up (the condition aside), and nothing else is."""
    waited = {name for name in wanted if seen.plan.units[name].kind is not Kind.CONDITION}
    return all(seen.state(name) is UnitState.RUNNING for name in waited) and all(
        life.state in DOWN for name, life in seen.lives.items() if name not in waited
    )


# --- what is wrong here ----------------------------------------------------------------------------------


def faults(seen: Situation) -> tuple[Reason, ...]:
    """Why this node can take no part, for certain: whatever keepalived and the peer say, and at once."""
    spec = seen.plan.keepalived
    if spec is None or seen.lacks:
        return seen.lacks
    distrust = () if seen.kept.distrust is None else (seen.kept.distrust[0],)
    return (*network_faults(spec, seen.interfaces), *distrust)


def findings(seen: Situation) -> tuple[Reason, ...]:
    """What is not as it should be on the wire, though it does not keep the role from this node."""
    spec = seen.plan.keepalived
    others = strangers(spec, seen.adverts, seen.now) if spec else ()
    doubt = seen.kept.doubt
    return (*others, doubt.reason) if doubt is not None and doubt.asked is not None else others


def failing(seen: Situation) -> list[str]:
    """Units with the verdict, in start order; what is kept up for ever is never a reason to fail over.

    Nor is what an administrator has stopped since.
    """
    lives, down = seen.lives, seen.wish.down
    return [name for name in seen.plan.units if name in lives and lives[name].failed and name not in down]


def unfit_data(seen: Situation) -> str:
    """Why the data here must not be served, or cannot be; empty when it may, and while that is not known yet."""
    life = seen.lives.get("drbd")
    if seen.plan.drbd is None or life is None:
        return ""
    if life.state is UnitState.RUNNING:
        return why_unfit(seen.replica) if seen.replica else ""
    return f"drbd {life.reason}" if life.streak else ""


def peer_lacks(seen: Situation) -> str:
    """Why the role must not be moved to the peer on purpose for the data's sake; empty when it may."""
    return why_peer_lacks_data(seen.replica, replicates=seen.plan.drbd is not None)


# --- the role: given up, held back -----------------------------------------------------------------------


def why_lost(seen: Situation) -> str:
    """Why the role has to go although nobody may be there to take it; to the end, once writes were given up."""
    return seen.kept.abandoned or loses(seen.replica, seen.peer, seen.gateway.reached)


def gives_role_up(seen: Situation) -> str:
    """Why this node gives the role up, or takes none; empty when it may have it.

    On purpose; for the data's sake, whoever is there to take over; and for a failure, to a peer that is able and lacks
    nothing.
    """
    if seen.wish.switchover:
        return seen.wish.switchover
    has_role = seen.kept.role is Role.MASTER or seen.vrrp is Vrrp.MASTER
    if has_role and (lost := why_lost(seen)):
        return f"gave the role up: {lost}"
    reasons = [f"{name} {seen.lives[name].reason}" for name in failing(seen)]
    reasons += [unfit] if (unfit := unfit_data(seen)) else []
    reasons += [NO_GATEWAY] if seen.gateway.gone else []
    takes_part = seen.plan.is_pair and seen.wish.active
    if takes_part and not peer_lacks(seen) and gives_up(reasons, seen.peer):
        return f"gave the role up: {reasons[0]}"
    return ""


def precedes(seen: Situation) -> bool:
    """Whether VRRP prefers this node between equals: the higher address does (RFC 5798, 6.4.3)."""
    paths = seen.plan.keepalived.peer_paths if seen.plan.keepalived else ()
    return bool(paths) and paths[0][0].packed > paths[0][1].packed


def holds_back(seen: Situation) -> tuple[Hold | None, tuple[Hold, float] | None]:
    """What holds this node back, and what will, once it has lasted for HOLDS_AFTER seconds, with its beginning."""
    before, candidate = seen.kept.hold, seen.kept.candidate
    found = hold(before, seen.kept.role, seen.vrrp, seen.peer, seen.gateway.reached, precedes=precedes(seen))
    if found is None or not found.lasts or found == before:
        return found, None
    if candidate is None or candidate[0] != found:
        candidate = found, seen.now
    return (None if seen.now - candidate[1] < HOLDS_AFTER else found), candidate


def waits_for_peer(seen: Situation) -> float | None:
    """Since when this node, which VRRP has given the role, has waited for a peer that still runs something of the
    primary; None where there is nothing to wait for.

    Two sets of services would run otherwise for as long as the peer takes to stop its own. The peer says so itself and
    lives: it was heard within FRESH intervals. What runs here already is not touched.
    """
    peer, begun = seen.peer, seen.kept.waits_since
    takes = seen.vrrp is Vrrp.MASTER and seen.kept.role is not Role.MASTER and is_drained(seen.plan, seen.live())
    if not takes or peer is None or not peer.heard or not peer.runs or peer.stale:
        return None
    return seen.now if begun is None else begun


def is_waiting(seen: Situation) -> bool:
    """Whether the role is not taken yet, for the peer's sake."""
    since = seen.kept.waits_since
    return since is not None and seen.now < min(since + longest_wait(seen), _heard_until(seen))


def longest_wait(seen: Situation) -> float:
    """Seconds that the peer may take to stop what belongs to the primary, one after the other."""
    names = master_units(seen.plan, {})
    return min(LONGEST_WAIT, sum(seen.plan.units[name].stop_timeout + KILL_TIMEOUT for name in names))


def _heard_until(seen: Situation) -> float:
    spec = seen.plan.keepalived
    if spec is None or seen.heard_at is None:
        return seen.now
    return seen.heard_at + FRESH * spec.advert_interval


# --- the data: what DRBD is told, what is done ------------------------------------------------------------


def gateway_for_sure(seen: Situation) -> bool | None:
    """The gateway's word about a silent peer; none has answered while nobody could have been heard yet."""
    unsure = seen.now < seen.sure_at or (seen.gateway.is_asked and seen.gateway.reached is None)
    return False if unsure else seen.gateway.reached


def asks_for_peer(seen: Situation) -> bool:
    """Whether this node is about to go on without its peer's copy; not while its own is being outdated, or both would
    be in the end."""
    if seen.acting:
        return False
    alone = seen.replica is not None and not seen.replica.is_connected
    return seen.asked or (alone and seen.state(PROMOTION) is UnitState.STARTING)


def data_act(seen: Situation, *, asks: bool) -> tuple[Act | None, str]:
    """What is done about the data because of the peer, and why."""
    if seen.acting:
        return None, ""
    if outdates_itself(seen.replica, seen.peer, asks=asks):
        return Act.OUTDATE, "the peer goes on without this node"
    if (why := why_lost(seen)) and waits(seen.replica):
        return Act.ABANDON, why
    return None, ""


def promotion_gate(seen: Situation, replica: Replica | None) -> tuple[Gate, str]:
    """Whether a promotion may be tried now, with ``replica`` looked at just before."""
    return may_take(replica, seen.peer, gateway_for_sure(seen))


# --- what goes outward -----------------------------------------------------------------------------------


def fitness(seen: Situation, *, drained: bool) -> bool | None:
    """Whether keepalived may give this node the role, None = nothing new is to be said.

    False only once nothing of the primary is left: until then the VIP stays where the services still are; at once where
    nobody can reach this node. Data that is being brought up is not fit yet; of data that has not been looked at yet
    nothing new is said.
    """
    if not seen.plan.is_pair:
        return None
    if faults(seen):
        return False
    volume = seen.state("drbd") if seen.plan.drbd is not None else None
    if volume is UnitState.RUNNING and seen.replica is None:
        return None
    keeps_out = seen.kept.release or unfit_data(seen) or seen.kept.hold or volume is UnitState.STARTING
    return not (keeps_out and drained)


def is_fit(seen: Situation) -> bool:
    """Whether nothing but the election keeps the role from this node."""
    takes_part = (seen.vrrp in (Vrrp.MASTER, Vrrp.BACKUP) or is_held_by_vrrp(seen)) and not faults(seen)
    has_gateway = seen.gateway.reached is not False
    return seen.wish.active and takes_part and not failing(seen) and not unfit_data(seen) and has_gateway


def is_held_by_vrrp(seen: Situation) -> bool:
    """Whether this node keeps out of the election only because it knows of a primary that VRRP does not hear."""
    return seen.kept.hold is not None and seen.kept.hold.by_vrrp


def message_of(seen: Situation, *, settled: bool, drained: bool) -> Message:
    """What the peer is told."""
    kept = seen.kept
    return Message(
        vrrp=seen.vrrp,
        role=kept.role,
        fit=is_fit(seen),
        holds=is_held_by_vrrp(seen),
        gateway=seen.gateway.reached,
        has_volume=seen.state("drbd") not in DOWN,
        asks=asks_for_peer(seen),
        settled=settled,
        runs=not drained,
        reasons=tuple(_reasons(seen)),
        pairing=pairing_of(seen.plan),
        replica=evidence_of(seen.replica, kept.role_since) if seen.replica else None,
    )


def _reasons(seen: Situation) -> list[str]:
    if not seen.wish.active:
        return ["it is stopped"]
    found = [each.sentence[:LONGEST_REASON] for each in faults(seen)]
    found += [f"{name} {seen.lives[name].reason}"[:LONGEST_REASON] for name in failing(seen)[:MOST_REASONS]]
    unfit = unfit_data(seen)[:LONGEST_REASON]
    found += [unfit] if unfit and unfit not in found else []
    return found + ([NO_GATEWAY] if seen.gateway.reached is False else [])


def facts_of(seen: Situation) -> Facts:
    """All that a verdict about the node rests on."""
    kept = seen.kept
    return Facts(
        plan=seen.plan,
        intent=intent_of(seen),
        lives=seen.lives,
        role=kept.role,
        vrrp=seen.vrrp,
        peer=seen.peer,
        vip_here=seen.vip_here,
        release=kept.release,
        held=why_held(seen),
        gateway=seen.gateway.reached,
        replica=seen.replica,
        unfit=unfit_data(seen),
        faults=faults(seen),
        findings=findings(seen),
        pairing=pairing_of(seen.plan),
        known=seen.known,
    )


def why_held(seen: Situation) -> str:
    """Why this node does not take the role, as a sentence; empty when it may."""
    if seen.kept.hold is not None:
        return seen.kept.hold.reason
    if seen.peer is not None and is_waiting(seen):
        return f"waits until the peer {seen.peer.address} has stopped its services"
    return ""


def look_again(seen: Situation) -> float | None:
    """When a period of grace ends, None = none runs."""
    due = []
    if seen.kept.candidate is not None and seen.kept.candidate[0] != seen.kept.hold:
        due.append(seen.kept.candidate[1] + HOLDS_AFTER)
    if seen.asked and seen.now < seen.sure_at:
        due.append(seen.sure_at)
    if seen.kept.waits_since is not None and is_waiting(seen):
        due.append(min(seen.kept.waits_since + longest_wait(seen), _heard_until(seen)))
    if (word := next_look(seen)) is not None:
        due.append(word)
    return min(due, default=None)
