"""One decision: from all that is known to all that goes outward. One pure function over small ones, each one rule.

Nothing that this node starts, stops, publishes, writes for keepalived or tells its peer rests on anything but the
decision of one turn. Time is a number in the situation, a period of grace is one in what is kept.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from escadm.core.drbd.fencing import Answer, answer, is_behind
from escadm.core.health import Facts, judge
from escadm.core.lifecycle import Event, Life, Limits, transition
from escadm.core.peer import Message
from escadm.core.plan import Start, Step
from escadm.core.reconcile import DOWN, goal, reconcile
from escadm.core.role import is_drained, reached
from escadm.core.rules.data import (
    Act,
    asks_for_peer,
    awaits_gateway,
    data_act,
    gateway_for_sure,
    is_cut_off,
    is_declared,
)
from escadm.core.rules.role import gives_role_up, grace_ends, intent_of, is_waiting, judge_hold, waits_for_peer
from escadm.core.rules.secret import SecretAct, secret_act
from escadm.core.rules.strangers import guards_address
from escadm.core.rules.telling import facts_of, fitness, message_of
from escadm.core.rules.word import WordAct, judge_word, next_look
from escadm.core.situation import Kept, Situation
from escadm.core.specs import Kind
from escadm.core.states import Role, UnitState
from escadm.core.status import Verdict


@dataclass(frozen=True, slots=True)
class Decision:
    """All that goes outward.

    ``steps``: what may be started and stopped now. ``renewed``: units that have to go round from now on. ``goal``: what
    should be up. ``role``: the one that was reached. ``fit``: what keepalived is told, None = nothing new. ``message``:
    what the peer is told.
    ``facts`` and ``verdict``: what is published. ``act``: what is done about the data, for the reason ``act_why``;
    ``word_act`` and ``word_why``: about keepalived's word. ``answer``: what DRBD is told of the peer if it asks, None
    while that is not known. ``awaits_gateway``: its next answer changes that.
    ``secret_act``: what is done about the secret of the nodes' keys. ``guards_address``: whether others who have the
    virtual address are looked for. ``look_again``: when to decide anew, at the latest, if nothing happens. ``kept``:
    for the next decision.
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
    word_act: WordAct | None
    word_why: str
    answer: Answer | None
    awaits_gateway: bool
    is_settled: bool
    is_drained: bool
    look_again: float | None
    kept: Kept
    secret_act: SecretAct | None = None
    guards_address: bool = False


def decide(seen: Situation) -> Decision:
    """What follows from the situation."""
    kept, word_act, word_why = judge_word(seen, fit=fitness(seen, drained=is_drained(seen.plan, seen.live())))
    seen = replace(seen, kept=kept)
    seen = replace(seen, kept=judge_hold(seen))
    behind = is_behind(seen.kept.behind, seen.replica)
    disk = seen.replica.disk if seen.replica else seen.kept.disk
    known = replace(seen.kept, behind=behind, cut_off=is_cut_off(seen), declared=is_declared(seen), disk=disk)
    seen = replace(seen, kept=known)
    asks = asks_for_peer(seen)
    act, why = data_act(seen, asks=asks)
    abandoned = why if act is Act.ABANDON else seen.kept.abandoned
    renewed: frozenset[str] = frozenset()
    if abandoned and act is None and not seen.acting and is_drained(seen.plan, seen.live()):
        abandoned, renewed = "", frozenset({"drbd"})  # it lost its disk on purpose, and gets it back
    kept = replace(seen.kept, abandoned=abandoned)
    judged = replace(seen, kept=kept, stale=seen.stale | renewed, acting=seen.acting or act is not None)
    kept = replace(kept, release=gives_role_up(judged), waits_since=waits_for_peer(judged))
    judged = replace(judged, kept=kept)
    steps = tuple(reconcile(seen.plan, judged.live(), intent_of(judged)))
    told = _outward(once_taken(judged, steps), steps, renewed, act, why, word_act=word_act, word_why=word_why)
    return replace(told, secret_act=secret_act(judged), guards_address=guards_address(seen))


def _outward(
    seen: Situation,
    steps: tuple[Step, ...],
    renewed: frozenset[str],
    act: Act | None,
    act_why: str,
    *,
    word_act: WordAct | None,
    word_why: str,
) -> Decision:
    """What is told, once the steps have been taken."""
    live = seen.live()
    before = seen.kept.role
    role = (before or Role.FAULT) if is_waiting(seen) else reached(seen.plan, seen.vrrp, live, before)
    kept = replace(seen.kept, role=role, role_since=seen.kept.role_since if role is before else seen.at)
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
        act_why=act_why,
        word_act=word_act,
        word_why=word_why,
        answer=answer(seen.replica, seen.peer, gateway_for_sure(seen)),
        awaits_gateway=awaits_gateway(seen),
        is_settled=settled,
        is_drained=drained,
        look_again=look_again(seen),
        kept=kept,
    )


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


def look_again(seen: Situation) -> float | None:
    """When a period of grace ends, None = none runs."""
    due = grace_ends(seen)
    if seen.asked and seen.now < seen.sure_at:
        due.append(seen.sure_at)
    if (word := next_look(seen)) is not None:
        due.append(word)
    return min(due, default=None)
