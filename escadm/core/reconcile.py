"""The one question: what runs, what should run, and which steps may be taken now?

Level-triggered and without memory: the answer depends on the plan, on what runs and on what is wanted, so it may be
cut off after any step and asked again. Boot, start, stop, restart, reload and a change of role are all this.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from escadm.core.graph import below
from escadm.core.plan import MASTER_CONDITION, Plan, Start, Step, Stop, Unit
from escadm.core.specs import Kind
from escadm.core.states import UnitState

DOWN = frozenset({UnitState.STOPPED, UnitState.BACKOFF, UnitState.FAILED})
UP = frozenset({UnitState.STARTING, UnitState.RUNNING})
WAITING = frozenset({UnitState.BACKOFF, UnitState.FAILED})


@dataclass(frozen=True, slots=True)
class Intent:
    """What the administrator and VRRP ask of this node.

    ``active``: the node is to take part at all. ``master``: the condition ``keepalived:master`` holds. ``down``:
    stopped by name. ``up``: switched off at startup, but started by name. ``absent``: not installed here.
    ``unable``: what this machine cannot run as it is now.
    """

    active: bool = True
    master: bool = False
    down: frozenset[str] = frozenset()
    up: frozenset[str] = frozenset()
    absent: frozenset[str] = frozenset()
    unable: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Live:
    """A unit as it stands: the definition that it lives by, its state, and whether it must go round.

    The definition is the one under which it was started, or a later one of the same process.
    """

    unit: Unit
    state: UnitState
    stale: bool = False


def counted_needs(unit: Unit, absent: frozenset[str]) -> tuple[str, ...]:
    """The needs that hold a unit back: a group does not wait for members that are not installed."""
    if unit.kind is Kind.GROUP:
        return tuple(need for need in unit.needs if need not in absent)
    return unit.needs


def goal(plan: Plan, intent: Intent) -> frozenset[str]:
    """The names of all units that should be up: wanted themselves, and standing on nothing but wanted units."""
    wanted: set[str] = set()
    barred = intent.down | intent.absent | intent.unable
    for name, unit in plan.units.items():
        called = unit.startup or name in intent.up
        excluded = name in barred or (unit.kind is Kind.CONDITION and not intent.master)
        if intent.active and called and not excluded and wanted.issuperset(counted_needs(unit, intent.absent)):
            wanted.add(name)
    return frozenset(wanted)


def reconcile(plan: Plan, live: Mapping[str, Live], intent: Intent) -> list[Step]:
    """The steps that may be taken now, all of them at the same time, on the way from ``live`` to the goal.

    ``live`` holds every unit that is not plainly stopped, also those that the plan no longer has. No step is
    returned for a unit that is already on its way. An empty list = nothing to do but wait, or the goal is reached.
    """
    wanted = goal(plan, intent)
    keeps = _keepers(plan, live, intent, wanted)
    holds = {name for name in keeps if name not in live or live[name].state is UnitState.RUNNING}
    is_free = _free(plan, live, intent, keeps)
    stops = [Stop(name) for name, current in live.items() if _must_stop(plan, current, wanted, keeps) and is_free(name)]
    starts = [
        Start(name)
        for name, unit in plan.units.items()
        if name in wanted
        and unit.kind is not Kind.CONDITION
        and (name not in live or live[name].state is UnitState.STOPPED)
        and is_free(name)
        and holds.issuperset(counted_needs(unit, intent.absent))
    ]
    return [*stops, *starts]


def _must_stop(plan: Plan, current: Live, wanted: frozenset[str], keeps: set[str]) -> bool:
    """Whether the unit has to go down: it may not go on, or it waits for another attempt that nobody wants."""
    name = current.unit.name
    if current.state in WAITING:
        return name not in wanted or _outdated(plan, current)
    if current.state is UnitState.STARTING and not current.unit.kind.is_interruptible:
        return False
    return current.state in UP and name not in keeps


def _outdated(plan: Plan, current: Live) -> bool:
    """Whether a unit of the plan has to go round."""
    return current.stale or not current.unit.same_process(plan.units[current.unit.name])


def _keepers(plan: Plan, live: Mapping[str, Live], intent: Intent, wanted: frozenset[str]) -> set[str]:
    """Units that are running or starting and may go on: wanted, unchanged, and everything below them is running."""
    keeps: set[str] = set()
    for name, unit in plan.units.items():
        if name not in wanted:
            continue
        needs = counted_needs(unit, intent.absent)
        grounded = all(need in keeps and (need not in live or live[need].state is UnitState.RUNNING) for need in needs)
        current = live.get(name)
        up = current is not None and current.state in UP and not _outdated(plan, current)
        if grounded and (up or unit.kind is Kind.CONDITION):
            keeps.add(name)
    return keeps


def _free(plan: Plan, live: Mapping[str, Live], intent: Intent, keeps: set[str]) -> Callable[[str], bool]:
    """The question whether nothing that is not yet down stands on a unit, even where what lies between is down already.

    A unit that may go on stands on what the plan says; one that has to go stands on what it lives by until it is down.
    Two units each of which stands on the other, since a reload turned them over, do not wait for each other.
    """
    going = {name: current.unit for name, current in live.items() if name not in keeps}
    needs = {name: counted_needs(unit, intent.absent) for name, unit in (dict(plan.units) | going).items()}
    # A reload that ends the pair takes the condition out of the plan; what was started on it still stands on VRRP.
    needs.setdefault(MASTER_CONDITION, tuple(name for name in live if live[name].unit.kind is Kind.KEEPALIVED))
    up = [name for name, current in live.items() if current.state not in DOWN]
    carrying = below(needs, [need for name in up for need in needs[name]])
    if all(name in plan.units and unit.needs == plan.units[name].needs for name, unit in going.items()):
        return lambda name: name not in carrying  # a plan has no loop
    under = {name: below(needs, needs[name]) for name in up}
    return lambda name: all(name not in lower or other in under.get(name, ()) for other, lower in under.items())
