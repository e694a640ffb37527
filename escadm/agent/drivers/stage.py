"""The units as they live: events go in, the life table decides, drivers act, timers fire."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Iterable, Sequence

from escadm.agent.drivers.driver import Driver, Post
from escadm.agent.drivers.registry import KINDS
from escadm.core.lifecycle import Effect, Event, Life, Limits, transition
from escadm.core.plan import Plan, Step, Stop, Unit
from escadm.core.reconcile import DOWN, UP, Live
from escadm.core.states import UnitState
from escadm.log import get

WHILE = 0.02
LONGEST_WHILE = 0.1
"""Seconds of the loop's own work, and seconds by the clock. A start is a millisecond of work, and where others have the
processor ten of waiting until the program has begun. The loop has to hear the peer meanwhile.
"""

log = get(__name__)

MakeDriver = Callable[[Unit, Post], Driver]
Watcher = Callable[[str, Life, Life], None]


class Stage:
    """All units that ever lived in this agent, by name.

    ``make`` gives a driver for one incarnation of a unit; each of ``watchers`` hears of every change of a life: its
    name, before, after. Errors of a driver become the state of its unit.
    """

    def __init__(self, make: MakeDriver) -> None:
        self._make = make
        self.watchers: list[Watcher] = []
        self._loop = asyncio.get_running_loop()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self.lives: dict[str, Life] = {}
        self.units: dict[str, Unit] = {}
        self.drivers: dict[str, Driver] = {}
        self.stale: set[str] = set()

    def state(self, name: str) -> UnitState:
        """The state of a unit; one that never lived is stopped."""
        life = self.lives.get(name)
        return life.state if life else UnitState.STOPPED

    def is_down(self) -> bool:
        """Whether nothing runs."""
        return all(life.state in DOWN for life in self.lives.values())

    def live(self) -> dict[str, Live]:
        """What the reconciler looks at."""
        return {
            name: Live(self.units[name], life.state, name in self.stale)
            for name, life in self.lives.items()
            if life.state is not UnitState.STOPPED
        }

    def take_all(self, steps: Sequence[Step], plan: Plan) -> bool:
        """Carry out steps for a while, one at least; whether these were all."""
        end, worked = self._loop.time() + LONGEST_WHILE, time.thread_time() + WHILE
        for number, step in enumerate(steps, 1):
            self.take(step, plan)
            if time.thread_time() > worked or self._loop.time() > end:
                return number == len(steps)
        return True

    def take(self, step: Step, plan: Plan) -> None:
        """Carry out one step of the reconciler."""
        if isinstance(step, Stop):
            self.apply(step.name, Event.STOP)
        else:
            self.stale.discard(step.name)
            self.units[step.name] = plan.units[step.name]
            self.apply(step.name, Event.START)

    def redefine(self, plan: Plan) -> None:
        """Let running units go on by the new plan, unless the change asks for a restart.

        The failures of what has changed are forgotten: they were another definition's.
        """
        mended: list[str] = []
        for name, unit in self.units.items():
            planned = plan.units.get(name)
            if planned is None:
                continue
            if unit.same_process(planned) or KINDS[planned.kind].takes_changes_up:
                self.units[name] = planned
            else:
                mended.append(name)
        self.reset(mended)

    async def reload(self, written: Collection[str]) -> None:
        """Have what runs take up what has changed in the files ``written``; raises EscadmError where that fails."""
        for name, driver in list(self.drivers.items()):
            if self.lives[name].state in UP:
                await driver.reload(written)

    def apply(self, name: str, event: Event, reason: str = "") -> None:
        """Feed one event to the unit, and have its driver do what the table says; the reason becomes one line."""
        unit = self.units[name]
        before = self.lives.get(name, Life())
        limits = Limits(unit.start_timeout, unit.stop_timeout, unit.run_forever)
        after, effects = transition(before, event, self._loop.time(), limits, " ".join(reason.split()))
        self._set(name, after)
        for effect in effects:
            self._act(name, unit, effect)
        if after != before:
            for watch in self.watchers:
                watch(name, before, after)

    def adopt(self, unit: Unit, life: Life, driver: Driver | None, *, stale: bool) -> None:
        """Put a unit on the stage as an earlier agent left it."""
        self.units[unit.name] = unit
        if driver is not None:
            self.drivers[unit.name] = driver
        if stale:
            self.stale.add(unit.name)
        self._set(unit.name, life)

    def poster(self, name: str) -> tuple[Post, Callable[[Driver], None]]:
        """A Post for one incarnation, and what binds it to its driver: late words of earlier ones are ignored."""
        owner: list[Driver] = []

        def deliver(event: Event, reason: str) -> None:
            if owner and self.drivers.get(name) is owner[0]:
                self.apply(name, event, reason)

        def post(event: Event, reason: str) -> None:
            self._loop.call_soon(deliver, event, reason)

        return post, owner.append

    def reset(self, names: Iterable[str]) -> None:
        """Forget the failures of these units."""
        for name in names:
            if name in self.lives:
                self.apply(name, Event.RESET)

    def _set(self, name: str, life: Life) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()
        if life.deadline is not None:
            self._timers[name] = self._loop.call_at(life.deadline, self._time_is_up, name)
        self.lives[name] = life

    def _time_is_up(self, name: str) -> None:
        driver = self.drivers.get(name)
        starting = self.lives[name].state is UnitState.STARTING
        self.apply(name, Event.TIMEOUT, driver.doubt if driver and starting else "")

    def _act(self, name: str, unit: Unit, effect: Effect) -> None:
        if effect is Effect.SPAWN:
            self._guard(name, lambda: self._spawn(name, unit))
            return
        acting = self.drivers.get(name)
        if acting is None:
            self._loop.call_soon(self.apply, name, Event.GONE)
        else:
            self._guard(name, acting.terminate if effect is Effect.TERMINATE else acting.kill)

    def _spawn(self, name: str, unit: Unit) -> None:
        post, bind = self.poster(name)
        driver = self._make(unit, post)
        bind(driver)
        self.drivers[name] = driver
        driver.start()

    def _guard(self, name: str, act: Callable[[], None]) -> None:
        """A defect in a driver is a failure of its unit, never the end of the agent."""
        try:
            act()
        except Exception as error:
            log.exception("%s: a defect of ours", name)
            state = self.lives[name].state
            event = Event.EXITED if state is UnitState.STARTING else Event.STOP_FAILED
            self._loop.call_soon(self.apply, name, event, f"met a defect of escadm: {error}")
