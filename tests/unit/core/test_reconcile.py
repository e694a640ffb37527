"""What runs, what should run, and the steps between them: small cases, each turn written out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from escadm.core.lifecycle import Life
from escadm.core.plan import Plan, Start, Stop, Unit
from escadm.core.reconcile import Intent, Live, counted_needs, goal, reconcile
from escadm.core.specs import Kind
from escadm.core.states import UnitState
from tests.unit.core.plans import make_plan, make_unit
from tests.unit.core.simulator import Machine, Standing

CASES: list[dict[str, Any]] = yaml.safe_load(Path(__file__).with_name("reconcile.yaml").read_text())


def machine_of(case: dict[str, Any]) -> Machine:
    """The machine that the case describes, its units as they were started."""
    kinds = {name: Kind(kind) for name, kind in case.get("kinds", {}).items()}
    plan = make_plan(case["plan"], kinds, case.get("versions"), case.get("disabled", ()))
    needs = case.get("started", case["plan"])
    sets: dict[str, Any] = {
        key: value if isinstance(value, bool) else frozenset(value) for key, value in case.get("intent", {}).items()
    }
    machine = Machine(plan, Intent(**sets))
    for name, state in case.get("live", {}).items():
        unit = make_unit(name, needs[name], kinds.get(name))
        life = Life(UnitState(state), again=state == "killing")
        machine.units[name] = Standing(unit, life, name in case.get("stale", ()))
    machine.reload(plan)
    return machine


def show(steps: list[Any]) -> list[str]:
    return sorted(("+" if isinstance(step, Start) else "-") + step.name for step in steps)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["case"])
def test_case(case: dict[str, Any]) -> None:
    machine, stuck = machine_of(case), case.get("stuck", ())
    for expected in case["turns"]:
        assert show(machine.turn()) == sorted(expected)
        machine.complete([name for name in machine.units if name not in stuck])
    assert show(machine.turn()) == []
    if not stuck:
        machine.check_rest()


def test_names_of_the_cases_are_different() -> None:
    names = [case["case"] for case in CASES]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["case"])
def test_a_cut_changes_nothing_about_the_end(case: dict[str, Any]) -> None:
    """Only one step of each turn is performed, the last one first."""
    machine = machine_of(case)
    whole = machine_of(case)
    while steps := machine.steps():
        machine.perform(steps[-1])
        machine.complete(list(machine.units))
    machine.settle()
    whole.settle()
    assert machine.live() == whole.live()
    machine.check_rest()


# --- definitions that are older than the plan, when nobody has told the units of the new one ---------------


def running(*units: Unit) -> dict[str, Live]:
    return {unit.name: Live(unit, UnitState.RUNNING) for unit in units}


def test_what_goes_on_in_another_order_is_not_restarted() -> None:
    older = running(make_unit("a"), make_unit("b", ["a"]), make_unit("c", ["b"]))
    assert reconcile(make_plan({"a": [], "b": [], "c": ["a", "b"]}), older, Intent()) == []


def test_what_goes_on_lets_go_of_what_it_does_not_need_any_more() -> None:
    older = running(make_unit("a", ["b", "old"]), make_unit("old"))
    assert reconcile(make_plan({"a": [], "b": []}), older, Intent()) == [Stop("old"), Start("b")]


def test_what_is_stopping_holds_what_it_was_started_on() -> None:
    older = running(make_unit("old")) | {"a": Live(make_unit("a", ["old"]), UnitState.STOPPING)}
    assert reconcile(make_plan({"a": []}), older, Intent()) == []


def test_what_has_to_go_holds_what_it_was_started_on() -> None:
    older = running(make_unit("a", ["old"]), make_unit("old"))
    assert reconcile(make_plan({"a": []}, versions={"a": "2"}), older, Intent()) == [Stop("a")]


# --- the goal ---------------------------------------------------------------------------------------------

LADDER = make_plan(
    {"keepalived": [], "keepalived:master": ["keepalived"], "filesystem": ["keepalived:master"], "monitor": []}
)


@pytest.mark.parametrize(
    ("intent", "expected"),
    [
        (Intent(), {"keepalived", "monitor"}),
        (Intent(master=True), {"keepalived", "keepalived:master", "filesystem", "monitor"}),
        (Intent(active=False, master=True), set()),
        (Intent(master=True, down=frozenset({"keepalived"})), {"monitor"}),
        (Intent(master=True, absent=frozenset({"filesystem"})), {"keepalived", "keepalived:master", "monitor"}),
    ],
)
def test_goal(intent: Intent, expected: set[str]) -> None:
    assert goal(LADDER, intent) == expected


def test_only_a_group_overlooks_what_is_not_installed() -> None:
    absent = frozenset({"a"})
    assert counted_needs(make_unit("g", ["a", "b"], Kind.GROUP), absent) == ("b",)
    assert counted_needs(make_unit("p", ["a", "b"]), absent) == ("a", "b")


def test_an_empty_plan_and_an_empty_machine() -> None:
    assert reconcile(Plan({}), {}, Intent()) == []
