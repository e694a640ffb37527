"""The life of a unit: one table, ``(state, event) -> (state, effects)``, with time as a value.

A unit that fails is started again after a back-off of 0.5 s, doubled with each failure in a row up to 30 s. After
four failures in a row it *has failed*: a verdict that stays, while attempts go on, until a good run or a reset.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

from escadm.core.states import UnitState

FIRST_DELAY = 0.5
LONGEST_DELAY = 30.0
FAILURE_LIMIT = 4
GOOD_RUN = 60.0
KILL_TIMEOUT = 5.0
RETRY_STOP = 1.0


class Event(StrEnum):
    """What can happen to a unit."""

    START = "start"  # the reconciler asks
    STOP = "stop"  # the reconciler asks
    READY = "ready"  # it counts as running
    EXITED = "exited"  # its process ended, or it could not be started
    CHECK_FAILED = "check failed"  # its check failed too often
    GONE = "gone"  # nothing of it is left
    STOP_FAILED = "stop failed"  # the attempt to stop it came back with an error
    TIMEOUT = "timeout"  # the deadline of the present state has passed
    RESET = "reset"  # an administrator wants its failures forgotten


class Effect(StrEnum):
    """What the driver of the unit has to do."""

    SPAWN = "spawn"
    TERMINATE = "terminate"
    KILL = "kill"


@dataclass(frozen=True, slots=True)
class Limits:
    """What the unit's definition says about its life; seconds."""

    start_timeout: float
    stop_timeout: float
    run_forever: bool = False


@dataclass(frozen=True, slots=True)
class Life:
    """Where a unit stands. Times are readings of one monotonic clock, in seconds.

    ``deadline``: when TIMEOUT is due. ``streak``: failures in a row since ``first_failure``, without a good run
    between them. ``failed``: the verdict. ``again``: it is being stopped because it failed, and will be started again.
    """

    state: UnitState = UnitState.STOPPED
    since: float = 0.0
    deadline: float | None = None
    streak: int = 0
    first_failure: float = 0.0
    restarts: int = 0
    reason: str = ""
    failed: bool = False
    again: bool = False


Outcome = tuple[Life, tuple[Effect, ...]]


@dataclass(frozen=True, slots=True)
class _Moment:
    """Everything a cell of the table may look at."""

    life: Life
    now: float
    limits: Limits
    reason: str

    def go(self, state: UnitState, deadline: float | None = None, *effects: Effect, again: bool = False) -> Outcome:
        return replace(self.life, state=state, since=self.now, deadline=deadline, again=again), effects


def transition(life: Life, event: Event, now: float, limits: Limits, reason: str = "") -> Outcome:
    """The unit after ``event``, and what its driver has to do, in order. What the table lacks changes nothing."""
    cell = TABLE.get((life.state, event))
    return cell(_Moment(life, now, limits, reason)) if cell else (life, ())


def _spawn(at: _Moment) -> Outcome:
    return at.go(UnitState.STARTING, at.now + at.limits.start_timeout, Effect.SPAWN)


def _ready(at: _Moment) -> Outcome:
    return at.go(UnitState.RUNNING, at.now + GOOD_RUN)


def _good_run(at: _Moment) -> Outcome:
    return replace(at.life, deadline=None, streak=0, first_failure=0.0, failed=False, reason=""), ()


def _terminate(at: _Moment) -> Outcome:
    return at.go(UnitState.STOPPING, at.now + at.limits.stop_timeout, Effect.TERMINATE)


def _failure(at: _Moment, reason: str) -> _Moment:
    """The same moment with the failure counted and, from the limit on, the verdict."""
    life = at.life
    streak = life.streak + 1
    first = life.first_failure if life.streak else at.now
    failed = streak >= FAILURE_LIMIT and not at.limits.run_forever
    if streak > 1:
        reason = f"{reason} ({streak} times in {at.now - first:.0f} s)"
    counted = replace(
        life, streak=streak, first_failure=first, failed=failed, reason=reason, restarts=life.restarts + 1
    )
    return replace(at, life=counted)


def _exited(at: _Moment) -> Outcome:
    return _failure(at, at.reason).go(UnitState.KILLING, at.now + KILL_TIMEOUT, Effect.KILL, again=True)


def _check_failed(at: _Moment) -> Outcome:
    deadline = at.now + at.limits.stop_timeout
    return _failure(at, at.reason).go(UnitState.STOPPING, deadline, Effect.TERMINATE, again=True)


def _start_timeout(at: _Moment) -> Outcome:
    late = f"was not ready within {at.limits.start_timeout:g} s"
    return _check_failed(replace(at, reason=f"{late}: {at.reason}" if at.reason else late))


def _kill(at: _Moment) -> Outcome:
    return at.go(UnitState.KILLING, at.now + KILL_TIMEOUT, Effect.KILL, again=at.life.again)


def _kill_again(at: _Moment) -> Outcome:
    reason = at.reason or at.life.reason or "does not end, not even by SIGKILL"
    return replace(at.life, deadline=at.now + KILL_TIMEOUT, reason=reason), (Effect.KILL,)


def _gone(at: _Moment) -> Outcome:
    if not at.life.again:
        return at.go(UnitState.STOPPED)
    doublings = min(at.life.streak - 1, 10)  # days of failures would double it out of a float
    delay = min(FIRST_DELAY * 2**doublings, LONGEST_DELAY)
    return at.go(UnitState.FAILED if at.life.failed else UnitState.BACKOFF, at.now + delay)


def _stop_failed(at: _Moment) -> Outcome:
    return replace(at.life, reason=at.reason, deadline=at.now + RETRY_STOP), ()


def _stopped(at: _Moment) -> Outcome:
    return at.go(UnitState.STOPPED)


def _forget(at: _Moment) -> Outcome:
    return replace(at.life, streak=0, first_failure=0.0, failed=False, reason="", again=False), ()


def _forget_and_stop(at: _Moment) -> Outcome:
    return _forget(replace(at, life=at.go(UnitState.STOPPED)[0]))


TABLE: dict[tuple[UnitState, Event], Callable[[_Moment], Outcome]] = {
    (UnitState.STOPPED, Event.START): _spawn,
    (UnitState.STOPPED, Event.RESET): _forget,
    (UnitState.STARTING, Event.READY): _ready,
    (UnitState.STARTING, Event.EXITED): _exited,
    (UnitState.STARTING, Event.CHECK_FAILED): _check_failed,
    (UnitState.STARTING, Event.TIMEOUT): _start_timeout,
    (UnitState.STARTING, Event.STOP): _terminate,
    (UnitState.STARTING, Event.RESET): _forget,
    (UnitState.RUNNING, Event.EXITED): _exited,
    (UnitState.RUNNING, Event.CHECK_FAILED): _check_failed,
    (UnitState.RUNNING, Event.TIMEOUT): _good_run,
    (UnitState.RUNNING, Event.STOP): _terminate,
    (UnitState.RUNNING, Event.RESET): _forget,
    (UnitState.STOPPING, Event.GONE): _gone,
    (UnitState.STOPPING, Event.STOP_FAILED): _stop_failed,
    (UnitState.STOPPING, Event.TIMEOUT): _kill,
    (UnitState.STOPPING, Event.RESET): _forget,
    (UnitState.KILLING, Event.GONE): _gone,
    (UnitState.KILLING, Event.STOP_FAILED): _stop_failed,
    (UnitState.KILLING, Event.TIMEOUT): _kill_again,
    (UnitState.KILLING, Event.RESET): _forget,
    (UnitState.BACKOFF, Event.TIMEOUT): _stopped,
    (UnitState.BACKOFF, Event.STOP): _stopped,
    (UnitState.BACKOFF, Event.RESET): _forget_and_stop,
    (UnitState.FAILED, Event.TIMEOUT): _stopped,
    (UnitState.FAILED, Event.STOP): _stopped,
    (UnitState.FAILED, Event.RESET): _forget_and_stop,
}
