"""The search: nothing is found but what is listed, what is listed is found, and a rule that is broken is seen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from escadm.core import decide
from escadm.core.drbd import fencing
from escadm.core.rules import data, role, telling
from tests.model.__main__ import figures, story
from tests.model.faults import faults
from tests.model.known import SETUPS, not_found, unknown
from tests.model.rules import IGNORED, NEVER_RESTS, NOT_WELL, SECOND_SET, TWO_SETS, WAITS
from tests.model.search import Search
from tests.model.state import Node, Setup, World
from tests.model.story import world_at_rest
from tests.model.world import serves

STATES = {
    "full": 100_000,
    "slow-service": 120_000,
    "no-gateway": 260_000,
    "one-path": 60_000,
    "no-data": 40_000,
    "vrrp-alone": 30_000,
}


@pytest.mark.parametrize("name", SETUPS)
def test_only_what_is_known_is_found(name: str) -> None:
    search = Search(SETUPS[name])
    search.run(STATES[name])
    print(figures(search))
    found = {**search.broken, **search.splits}
    assert not (new := unknown(search)), "\n\n".join(story(found[kind]) for kind in new)
    assert not not_found(search), "known no longer: tests/model/known.py, docs/explanation/what-a-pair-can-promise.md"
    assert search.states >= STATES[name]


# --- the search would see it --------------------------------------------------------------------------------

SPLIT = "both run the services"


def _always(answer: object) -> Callable[..., Any]:
    return lambda *_, **__: answer


@pytest.mark.parametrize(
    ("setup", "rule", "instead", "broken"),
    [
        ("full", (decide, "answer"), fencing.Answer.DEAD, IGNORED),
        ("full", (data, "outdates_itself"), False, WAITS),
        ("no-data", (data, "loses"), "", SPLIT),
        ("full", (role, "hold"), None, NEVER_RESTS),
        ("full", (telling, "unfit_data"), "", NEVER_RESTS),
        ("full", (fencing, "apart"), None, WAITS),
        ("no-data", (role, "hold"), None, TWO_SETS),
        ("no-data", (decide, "waits_for_peer"), None, SECOND_SET),
        ("no-data", (decide, "fitness"), False, NOT_WELL),
    ],
)
def test_a_rule_that_is_broken_is_found(
    monkeypatch: pytest.MonkeyPatch, setup: str, rule: tuple[object, str], instead: object, broken: str
) -> None:
    monkeypatch.setattr(*rule, _always(instead))
    search = Search(SETUPS[setup])
    search.run(16_000)
    assert any(kind.startswith(broken) for kind in search.broken), list(search.broken)


# --- one fault ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SETUPS)
def test_after_one_fault_somebody_serves(name: str) -> None:
    search = Search(SETUPS[name])
    healthy = world_at_rest(search.agents, World((Node(), Node())))
    nobody = set()
    for fault, happens in faults(search.setup).items():
        world = happens(healthy)
        if world is not None:
            rest = world_at_rest(search.agents, world)
            if not serves(rest, 0) and not serves(rest, 1):
                nobody.add(fault)
    assert not nobody


def test_the_world_by_itself_becomes_a_healthy_pair() -> None:
    for setup in (*SETUPS.values(), Setup("slow and alone", data=False, slow=9)):
        rest = world_at_rest(Search(setup).agents, World((Node(), Node())))
        assert [node.severity for node in rest.nodes] == [0, 0]
        assert sorted(node.vrrp for node in rest.nodes) == ["BACKUP", "MASTER"]
