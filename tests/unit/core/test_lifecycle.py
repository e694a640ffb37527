"""The life of a unit, cell by cell, over long times, and under any sequence of events."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from escadm.core.lifecycle import TABLE, Effect, Event, Life, Limits, transition
from escadm.core.states import UnitState

CELLS: list[dict[str, Any]] = yaml.safe_load(Path(__file__).with_name("lifecycle.yaml").read_text())
LISTED = {(UnitState(cell["state"]), Event(cell["event"])) for cell in CELLS}
UNLISTED = [(state, event) for state in UnitState for event in Event if (state, event) not in LISTED]

BEFORE = Life(since=100.0, deadline=107.0, streak=2, first_failure=90.0, restarts=5, reason="was bad")
LIMITS = Limits(start_timeout=20.0, stop_timeout=10.0)
FOREVER = replace(LIMITS, run_forever=True)
CODE_3 = "exited with code 3"


def life(fields: dict[str, Any], before: Life) -> Life:
    state = {"state": UnitState(fields["state"])} if "state" in fields else {}
    return replace(before, **(fields | state))


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: f"{cell['state']}, {cell['event']}, {cell.get('given', '')}")
def test_cell(cell: dict[str, Any]) -> None:
    before = replace(life(cell.get("given", {}), BEFORE), state=UnitState(cell["state"]))
    after, effects = transition(before, Event(cell["event"]), 110.0, LIMITS, CODE_3)
    assert after == life(cell["then"], before)
    assert effects == tuple(Effect(effect) for effect in cell.get("effects", []))


@pytest.mark.parametrize(("state", "event"), UNLISTED)
def test_every_other_cell_changes_nothing(state: UnitState, event: Event) -> None:
    before = replace(BEFORE, state=state)
    assert transition(before, event, 110.0, LIMITS, CODE_3) == (before, ())


def test_the_table_has_no_other_cells() -> None:
    assert set(TABLE) == LISTED


def test_a_start_that_takes_too_long_without_a_reason() -> None:
    starting = Life(UnitState.STARTING, deadline=20.0)
    assert transition(starting, Event.TIMEOUT, 20.0, LIMITS)[0].reason == "was not ready within 20 s"


def test_what_cannot_be_killed_says_so() -> None:
    killing = Life(UnitState.KILLING, deadline=5.0)
    after, effects = transition(killing, Event.TIMEOUT, 5.0, LIMITS)
    assert after.reason == "does not end, not even by SIGKILL"
    assert effects == (Effect.KILL,)
    named = transition(replace(killing, reason="the device is busy"), Event.TIMEOUT, 5.0, LIMITS)[0]
    assert named.reason == "the device is busy"


# --- over time --------------------------------------------------------------------------------------------


def fail_once(unit: Life, now: float, limits: Limits = LIMITS, after: float = 0.0) -> tuple[Life, float, float]:
    """Start, exit ``after`` some time, wait for the back-off. The life, the time, and how long the wait was."""
    unit, _ = transition(unit, Event.START, now, limits)
    unit, _ = transition(unit, Event.READY, now, limits)
    now += after
    if unit.deadline is not None and now >= unit.deadline:
        unit, _ = transition(unit, Event.TIMEOUT, unit.deadline, limits)
    unit, _ = transition(unit, Event.EXITED, now, limits, CODE_3)
    unit, _ = transition(unit, Event.GONE, now, limits)
    assert unit.deadline is not None
    delay = unit.deadline - now
    unit, _ = transition(unit, Event.TIMEOUT, unit.deadline, limits)
    assert unit.state is UnitState.STOPPED
    return unit, now + delay, delay


def test_back_off_doubles_up_to_half_a_minute() -> None:
    unit, now, delays = Life(), 1000.0, []
    for _ in range(9):
        unit, now, delay = fail_once(unit, now)
        delays.append(delay)
    assert delays == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]
    assert unit.restarts == 9


@pytest.mark.parametrize("limits", [LIMITS, FOREVER])
def test_back_off_stays_half_a_minute_for_days(limits: Limits) -> None:
    unit, _ = transition(Life(UnitState.RUNNING, streak=20_000), Event.EXITED, 9e5, limits, CODE_3)
    unit, _ = transition(unit, Event.GONE, 9e5, limits)
    assert unit.deadline == 9e5 + 30.0


def test_the_verdict_comes_with_the_fourth_failure_in_a_row() -> None:
    unit, now = Life(), 1000.0
    for _ in range(3):
        unit, now, _ = fail_once(unit, now, after=2.0)
        assert not unit.failed
    unit, now, _ = fail_once(unit, now, after=2.0)
    assert unit.failed
    assert unit.reason == "exited with code 3 (4 times in 10 s)"


def test_the_verdict_stays_while_attempts_go_on() -> None:
    unit = Life(UnitState.RUNNING, streak=3, first_failure=0.0)
    unit, _ = transition(unit, Event.EXITED, 60.0, LIMITS, CODE_3)
    assert unit.reason == "exited with code 3 (4 times in 60 s)"
    assert transition(unit, Event.GONE, 60.0, LIMITS)[0].state is UnitState.FAILED
    for event in (Event.GONE, Event.TIMEOUT, Event.START, Event.READY):
        unit, _ = transition(unit, event, 61.0, LIMITS)
        assert unit.failed, event
    assert unit.state is UnitState.RUNNING


def test_what_runs_forever_never_gets_the_verdict() -> None:
    unit, now = Life(), 1000.0
    for _ in range(20):
        unit, now, _ = fail_once(unit, now, FOREVER)
        assert not unit.failed
    assert unit.reason.startswith("exited with code 3 (20 times in ")


def test_the_verdict_goes_when_it_is_to_run_forever_from_now_on() -> None:
    failed = Life(UnitState.RUNNING, streak=7, failed=True)
    assert not transition(failed, Event.EXITED, 60.0, FOREVER, CODE_3)[0].failed


def test_a_good_run_forgets_the_failures() -> None:
    unit, now = Life(), 1000.0
    for _ in range(5):
        unit, now, _ = fail_once(unit, now)
    assert unit.failed
    unit, now, delay = fail_once(unit, now, after=60.0)
    assert (unit.failed, unit.streak, unit.reason, delay) == (False, 1, CODE_3, 0.5)


def test_a_run_that_is_almost_good_forgets_nothing() -> None:
    unit, now, _ = fail_once(Life(), 1000.0)
    unit, now, delay = fail_once(unit, now, after=59.9)
    assert (unit.streak, delay) == (2, 1.0)


def test_a_reset_starts_at_once_and_from_nothing() -> None:
    unit = Life(UnitState.FAILED, deadline=130.0, streak=9, failed=True, reason=CODE_3)
    unit, _ = transition(unit, Event.RESET, 110.0, LIMITS)
    assert unit == Life(since=110.0)
    unit, effects = transition(unit, Event.START, 110.0, LIMITS)
    assert (unit.state, effects) == (UnitState.STARTING, (Effect.SPAWN,))
    assert (unit.failed, unit.streak, unit.reason) == (False, 0, "")


# --- any history ------------------------------------------------------------------------------------------

HISTORIES = st.lists(
    st.tuples(
        st.sampled_from([*Event, *[Event.START, Event.EXITED, Event.GONE, Event.TIMEOUT] * 3]), st.integers(0, 9)
    ),
    min_size=5,
    max_size=60,
)


@settings(max_examples=500)
@given(HISTORIES, st.booleans())
def test_any_history_keeps_the_invariants(history: list[tuple[Event, int]], forever: bool) -> None:
    limits = replace(LIMITS, run_forever=forever)
    unit, now, alive = Life(), 0.0, False
    for event, wait in history:
        now += wait
        if event is Event.TIMEOUT:
            if unit.deadline is None:
                continue
            now = max(now, unit.deadline)
        after, effects = transition(unit, event, now, limits, CODE_3)
        check_step(unit, event, after, effects)
        check_life(after, now, limits)
        assert not (Effect.SPAWN in effects and alive), "started beside itself"
        gone = event is Event.GONE and unit.state in (UnitState.STOPPING, UnitState.KILLING)
        alive = (alive or Effect.SPAWN in effects) and not gone
        unit = after
    assert alive == (unit.state not in (UnitState.STOPPED, UnitState.BACKOFF, UnitState.FAILED))


def check_step(before: Life, event: Event, after: Life, effects: tuple[Effect, ...]) -> None:
    entered = after.state if after.state is not before.state else None
    assert (Effect.SPAWN in effects) == (entered is UnitState.STARTING)
    assert (Effect.TERMINATE in effects) == (entered is UnitState.STOPPING)
    assert (Effect.KILL in effects) == (
        after.state is UnitState.KILLING and (entered is not None or event is Event.TIMEOUT)
    )
    if before.state in (UnitState.STOPPING, UnitState.KILLING):
        assert entered in (None, UnitState.KILLING) or event is Event.GONE
    if before.state is UnitState.KILLING:
        assert entered is None or event is Event.GONE
    if entered is UnitState.STARTING:
        assert before.state is UnitState.STOPPED
    assert after.restarts - before.restarts in (0, 1)


def check_life(unit: Life, now: float, limits: Limits) -> None:
    timeless = unit.state is UnitState.STOPPED or (unit.state is UnitState.RUNNING and unit.streak == 0)
    if unit.deadline is None:
        assert timeless, f"nothing will ever move {unit}"
    elif unit.state in (UnitState.BACKOFF, UnitState.FAILED):
        assert unit.since + 0.5 <= unit.deadline <= unit.since + 30.0
    assert unit.state is not UnitState.STOPPED or unit.deadline is None
    assert unit.since <= now
    assert not unit.failed or (unit.streak >= 4 and not limits.run_forever)
    assert (unit.state is UnitState.FAILED) <= unit.failed
    assert not unit.again or unit.state in (UnitState.STOPPING, UnitState.KILLING)
