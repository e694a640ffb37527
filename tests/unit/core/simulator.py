"""A machine without time that obeys the reconciler, and objects when it is asked for something unsafe.

Its units live by the real table of core/lifecycle.py. Whoever drives it decides which of the returned steps are
performed and which transitions complete between two calls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from escadm.core.graph import below
from escadm.core.lifecycle import Event, Life, Limits, transition
from escadm.core.plan import MASTER_CONDITION, Plan, Start, Step, Stop, Unit
from escadm.core.reconcile import Intent, Live, counted_needs, goal, reconcile
from escadm.core.specs import Kind
from escadm.core.states import UnitState

DOWN = (UnitState.STOPPED, UnitState.BACKOFF, UnitState.FAILED)
UNCUT = (Kind.DRBD, Kind.FILESYSTEM)
LIMITS = Limits(start_timeout=90.0, stop_timeout=30.0)


def everything(_: str) -> bool:
    return True


@dataclass
class Standing:
    """A unit that is not plainly stopped."""

    unit: Unit
    life: Life
    stale: bool = False


@dataclass
class Machine:
    """``trace``: every step performed, in order."""

    plan: Plan
    intent: Intent = field(default_factory=Intent)
    units: dict[str, Standing] = field(default_factory=dict)
    trace: list[Step] = field(default_factory=list)

    # --- what the reconciler sees ---

    def live(self) -> dict[str, Live]:
        return {name: Live(each.unit, each.life.state, each.stale) for name, each in self.units.items()}

    def state(self, name: str) -> UnitState:
        return self.units[name].life.state if name in self.units else UnitState.STOPPED

    def in_state(self, *states: UnitState) -> list[str]:
        return [name for name in self.units if self.state(name) in states]

    def reached(self, name: str) -> bool:
        """Whether a unit may stand on ``name``: it runs, or it is a condition that is true."""
        unit = self.plan.units.get(name)
        if unit is not None and unit.kind is Kind.CONDITION:
            return self.intent.master and all(self.reached(need) for need in unit.needs)
        return self.state(name) is UnitState.RUNNING

    # --- one turn ---

    def steps(self) -> list[Step]:
        """What the reconciler wants now, after a look at whether it may be wanted."""
        steps = reconcile(self.plan, self.live(), self.intent)
        names = [step.name for step in steps]
        assert len(names) == len(set(names)), f"two steps for one unit: {steps}"
        for step in steps:
            if isinstance(step, Start):
                self._check_start(step.name)
            else:
                self._check_stop(step.name)
        self._check_footing(steps)
        return steps

    def turn(self, chosen: Callable[[str], bool] = everything) -> list[Step]:
        """Ask, and perform the steps for the names that are ``chosen``; the rest is cut off."""
        steps = [step for step in self.steps() if chosen(step.name)]
        for step in steps:
            self.perform(step)
        return steps

    def perform(self, step: Step) -> None:
        self.trace.append(step)
        if isinstance(step, Start):
            self.units[step.name] = Standing(self.plan.units[step.name], Life())
            self.event(step.name, Event.START)
        else:
            self.event(step.name, Event.STOP)

    def complete(self, names: Iterable[str]) -> None:
        """What is under way in each of the units comes to its good end; a back-off ends."""
        ends = {
            UnitState.STARTING: Event.READY,
            UnitState.STOPPING: Event.GONE,
            UnitState.KILLING: Event.GONE,
            UnitState.BACKOFF: Event.TIMEOUT,
            UnitState.FAILED: Event.TIMEOUT,
        }
        for name in list(names):
            if self.state(name) in ends:
                self.event(name, ends[self.state(name)])

    def crash(self, name: str) -> None:
        """The unit ends by itself, or does not come up."""
        if name in self.units:
            self.event(name, Event.EXITED)

    def event(self, name: str, event: Event) -> None:
        standing = self.units[name]
        standing.life, _ = transition(standing.life, event, 0.0, LIMITS, "exited")
        if standing.life.state is UnitState.STOPPED:
            del self.units[name]

    # --- events from outside ---

    def reload(self, plan: Plan) -> None:
        """What goes on as the same process has the new definition from now on."""
        self.plan = plan
        for name, standing in self.units.items():
            planned = plan.units.get(name)
            if planned is not None and standing.unit.same_process(planned):
                standing.unit = planned

    def restart(self, name: str) -> None:
        if name in self.units:
            self.units[name].stale = True

    def want(self, **changes: object) -> None:
        self.intent = replace(self.intent, **changes)  # type: ignore[arg-type]

    # --- the end ---

    def settle(self) -> int:
        """Turns until nothing is left to do when every step succeeds; fails when that takes too long."""
        limit = 6 * (len(self.plan.units) + len(self.units)) + 6
        for turn in range(limit):
            before = (self.live(), len(self.trace))
            self.turn()
            self.complete(list(self.units))
            if before == (self.live(), len(self.trace)):
                return turn
        raise AssertionError(f"not at rest after {limit} turns: {self.live()}")

    def check_rest(self) -> None:
        """Exactly the goal runs, by its present definition, and nothing else is left."""
        conditions = {name for name, unit in self.plan.units.items() if unit.kind is Kind.CONDITION}
        running = {name for name in self.units if self.state(name) is UnitState.RUNNING}
        assert running == set(self.units), f"left over: {self.live()}"
        assert running == goal(self.plan, self.intent) - conditions
        for name, standing in self.units.items():
            assert not standing.stale
            assert standing.unit.same_process(self.plan.units[name])

    # --- what is never allowed ---

    def _check_start(self, name: str) -> None:
        unit = self.plan.units[name]
        assert self.state(name) is UnitState.STOPPED, f"{name} is started while it is {self.state(name)}"
        for need in counted_needs(unit, self.intent.absent):
            assert self.reached(need), f"{name} is started before {need}"
        assert not self.standing_on(name), f"{name} is started below {self.standing_on(name)}"

    def _check_stop(self, name: str) -> None:
        unit, state = self.units[name].unit, self.state(name)
        assert state in (UnitState.STARTING, UnitState.RUNNING, UnitState.BACKOFF, UnitState.FAILED)
        assert not (state is UnitState.STARTING and unit.kind in UNCUT), f"the start of {name} is cut off"
        assert not self.standing_on(name), f"{name} is stopped below {self.standing_on(name)}"

    def _check_footing(self, steps: list[Step]) -> None:
        """Whatever has lost what it stands on is told to stop at once, or as soon as it can be."""
        for name in self.in_state(UnitState.STARTING, UnitState.RUNNING):
            unit = self.plan.units.get(name)
            lost = unit is None or not all(self.reached(need) for need in counted_needs(unit, self.intent.absent))
            uncut = self.state(name) is UnitState.STARTING and self.units[name].unit.kind in UNCUT
            if lost and not uncut:
                assert Stop(name) in steps or self.blocked(name), f"{name} goes on without what it needs"

    def standing_on(self, name: str) -> list[str]:
        """What is not down and stands on ``name``, directly or not.

        Two units each of which is above the other, since a reload turned them over, do not count.
        """
        foundations = self._foundations()
        return [
            other
            for other in self.units
            if self.state(other) not in DOWN
            and name in below(foundations, foundations[other])
            and other not in below(foundations, foundations.get(name, ()))
        ]

    def blocked(self, name: str) -> bool:
        """Whether anything that is not down is above ``name``, by its start or by the plan."""
        needs = {each: set(lower) for each, lower in self._foundations().items()}
        for each, unit in self.plan.units.items():
            needs.setdefault(each, set()).update(unit.needs)
        return any(self.state(each) not in DOWN and name in below(needs, needs[each]) for each in self.units)

    def _foundations(self) -> dict[str, tuple[str, ...]]:
        """What each unit stands on by the definition that it lives by, by the plan where it does not stand."""
        units = dict(self.plan.units) | {name: standing.unit for name, standing in self.units.items()}
        needs = {name: counted_needs(unit, self.intent.absent) for name, unit in units.items()}
        return {MASTER_CONDITION: ("keepalived",)} | needs
