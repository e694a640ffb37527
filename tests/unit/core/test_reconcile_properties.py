"""Whatever happens, in whatever order, and wherever the executor is cut off: the order holds, and the goal is reached.

What may never happen is checked by the simulator at every step; see simulator.py.
"""

from hypothesis import given, settings
from hypothesis import strategies as st

from escadm.core.graph import waves
from escadm.core.plan import MASTER_CONDITION, Plan, Start, Stop
from escadm.core.reconcile import Intent, goal
from escadm.core.specs import Kind
from tests.unit.core.histories import HISTORIES, MOVES, RELOADS, SERVICES, families, graphs, plans
from tests.unit.core.plans import make_plan
from tests.unit.core.simulator import Machine

DURATIONS = st.lists(st.integers(1, 50), min_size=11, max_size=11)


@settings(max_examples=400)
@given(plans(), st.booleans(), HISTORIES)
def test_any_history_is_safe_and_ends_in_the_goal(plan: Plan, master: bool, history: list[tuple[str, int]]) -> None:
    machine = Machine(plan, Intent(master=master))
    machine.settle()
    for move, bits in history:
        MOVES[move](machine, bits)
    check_end(machine)


@settings(max_examples=600)
@given(families(), st.booleans(), RELOADS)
def test_so_does_any_history_with_reloads(family: list[Plan], master: bool, history: list[tuple[str, int]]) -> None:
    machine = Machine(family[0], Intent(master=master))
    machine.settle()
    for move, bits in history:
        if move == "reload":
            machine.reload(family[bits % len(family)])
        else:
            MOVES[move](machine, bits)
    check_end(machine)


def check_end(machine: Machine) -> None:
    """With no more events the goal is reached, be it what the history left or all that there is, or nothing."""
    machine.settle()
    machine.check_rest()
    machine.want(active=True, master=True, down=frozenset(), absent=frozenset())
    machine.settle()
    machine.check_rest()
    machine.want(active=False)
    machine.settle()
    assert not machine.units


@settings(max_examples=150)
@given(graphs(ladder=False))
def test_a_start_takes_as_many_turns_as_the_critical_path_is_long(needs: dict[str, list[str]]) -> None:
    machine = Machine(make_plan(needs))
    seen = []
    while steps := machine.turn():
        machine.complete(list(machine.units))
        seen.append(sorted(step.name for step in steps))
    assert seen == waves(needs)
    machine.want(active=False)
    down = 0
    while machine.turn():
        machine.complete(list(machine.units))
        down += 1
    assert down == len(seen)
    machine.check_rest()


@settings(max_examples=150)
@given(graphs(), DURATIONS)
def test_time_of_start_and_stop_is_that_of_the_critical_path(needs: dict[str, list[str]], drawn: list[int]) -> None:
    plan = make_plan(needs)
    duration = dict(zip(needs, drawn, strict=False)) | {MASTER_CONDITION: 0}
    machine = Machine(plan, Intent(master=True))
    assert time_to_rest(machine, duration) == critical_path(needs, duration)
    assert goal(plan, machine.intent) == set(needs)
    machine.check_rest()
    machine.want(active=False)
    assert time_to_rest(machine, duration) == critical_path(needs, duration)
    assert not machine.units


def time_to_rest(machine: Machine, duration: dict[str, int]) -> int:
    """The time at which nothing is under way any more, each unit taking its own time to start or to stop."""
    now = 0
    due: dict[str, int] = {}
    while True:
        due |= {step.name: now + duration[step.name] for step in machine.turn()}
        if not due:
            return now
        now = min(due.values())
        finished = [name for name, time in due.items() if time == now]
        machine.complete(finished)
        for name in finished:
            del due[name]


def critical_path(needs: dict[str, list[str]], duration: dict[str, int]) -> int:
    longest: dict[str, int] = {}
    for wave in waves(needs):
        for name in wave:
            longest[name] = duration[name] + max((longest[need] for need in needs[name]), default=0)
    return max(longest.values())


@settings(max_examples=150)
@given(graphs())
def test_stop_is_the_exact_reverse_of_start(needs: dict[str, list[str]]) -> None:
    """One at a time, taking always the first of the steps to start and the last of those to stop."""
    machine = Machine(make_plan(needs), Intent(master=True))
    one_by_one(machine, first=True)
    started = [step.name for step in machine.trace]
    assert set(started) == set(needs) - {MASTER_CONDITION}
    assert all(isinstance(step, Start) for step in machine.trace)
    machine.trace.clear()
    machine.want(active=False)
    one_by_one(machine, first=False)
    assert all(isinstance(step, Stop) for step in machine.trace)
    assert_topological([step.name for step in machine.trace][::-1], needs)
    assert_topological(started, needs)


def one_by_one(machine: Machine, *, first: bool) -> None:
    while steps := machine.steps():
        machine.perform(steps[0 if first else -1])
        machine.complete(list(machine.units))


def assert_topological(order: list[str], needs: dict[str, list[str]]) -> None:
    for name in order:
        for need in needs[name]:
            if need != MASTER_CONDITION:
                assert order.index(need) < order.index(name)


@settings(max_examples=150)
@given(graphs(ladder=True), st.lists(st.tuples(st.booleans(), st.integers(0, 2**12 - 1)), max_size=30))
def test_flaps_end_as_the_last_word_says(needs: dict[str, list[str]], flaps: list[tuple[bool, int]]) -> None:
    """Any sequence of roles, each followed by a part of the work only: the last one decides."""
    plan = make_plan(needs)
    machine = Machine(plan)
    for master, bits in flaps:
        machine.want(master=master)
        MOVES["turn"](machine, bits)
    machine.settle()
    machine.check_rest()
    assert ("filesystem" in machine.units) == bool(flaps and flaps[-1][0])


@settings(max_examples=100)
@given(plans(), st.sampled_from(SERVICES))
def test_a_restart_disturbs_nothing_but_what_stands_on_it(plan: Plan, name: str) -> None:
    machine = Machine(plan, Intent(master=True))
    machine.settle()
    machine.trace.clear()
    machine.restart(name)
    machine.settle()
    touched = {step.name for step in machine.trace}
    if name in machine.units:
        expected = {each for each in machine.units if name in reachable(plan, each)}
        assert touched == expected
    else:
        assert not touched


def reachable(plan: Plan, name: str) -> set[str]:
    lower = {need for each in plan.units[name].needs for need in reachable(plan, each)}
    return {name} | lower


@settings(max_examples=100)
@given(plans(), HISTORIES)
def test_the_answer_depends_on_nothing_but_the_question(plan: Plan, history: list[tuple[str, int]]) -> None:
    """Asked twice: the same steps. Asked of a machine at rest: none."""
    machine = Machine(plan)
    for move, bits in history:
        MOVES[move](machine, bits)
        assert machine.steps() == machine.steps()
    machine.settle()
    assert machine.steps() == []


def test_kinds_of_the_ladder() -> None:
    """The drawn plans have the ladder's kinds, or the properties above would say nothing about it."""
    plan = make_plan({"keepalived": [], MASTER_CONDITION: ["keepalived"]})
    assert plan.units[MASTER_CONDITION].kind is Kind.CONDITION
