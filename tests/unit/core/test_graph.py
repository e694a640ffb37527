"""The order of things."""

from graphlib import CycleError
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from escadm.core.graph import above, below, find_cycle, start_order, subgraph, waves

DIAMOND = {"top": ["left", "right"], "left": ["base"], "right": ["base"], "base": [], "alone": []}


def test_waves() -> None:
    assert waves(DIAMOND) == [["alone", "base"], ["left", "right"], ["top"]]
    assert waves({}) == []
    assert start_order(DIAMOND) == ["alone", "base", "left", "right", "top"]


def test_below_and_above() -> None:
    assert below(DIAMOND, ["left"]) == {"left", "base"}
    assert above(DIAMOND, ["left"]) == {"left", "top"}
    assert below(DIAMOND, []) == frozenset()
    assert above(DIAMOND, ["base", "alone"]) == {"base", "left", "right", "top", "alone"}


def test_subgraph_drops_the_edges_that_leave_it() -> None:
    assert subgraph(DIAMOND, ["top", "left"]) == {"top": ["left"], "left": []}


@pytest.mark.parametrize(
    ("needs", "loop"),
    [
        ({"a": ["a"]}, ["a", "a"]),
        ({"b": ["a"], "a": ["b"]}, ["a", "b", "a"]),
        ({"c": ["b"], "b": ["d"], "d": ["c"], "x": ["c"]}, ["b", "d", "c", "b"]),
    ],
)
def test_a_loop_is_told_from_what_needs_to_what_is_needed(needs: dict[str, list[str]], loop: list[str]) -> None:
    assert find_cycle(needs) == loop
    with pytest.raises(CycleError):
        waves(needs)


def test_no_loop() -> None:
    assert find_cycle(DIAMOND) is None


names = st.integers(0, 12).map(lambda number: f"n{number:02}")
graphs = st.dictionaries(names, st.sets(names, max_size=4), max_size=13)
acyclic = graphs.map(lambda needs: {name: {each for each in lower if each < name} for name, lower in needs.items()})


@given(acyclic)
def test_a_wave_stands_on_the_waves_before_it(needs: dict[str, set[str]]) -> None:
    reached: set[str] = set()
    last: list[str] = []
    for wave in waves(needs):
        assert wave == sorted(wave)
        for name in wave:
            assert needs.get(name, set()) <= reached
            assert name not in reached
            assert not reached or not needs.get(name, set()) <= reached - set(last), "it could start a wave earlier"
        reached |= set(wave)
        last = wave
    assert reached == needs.keys() | set().union(*needs.values())


@given(graphs)
def test_a_loop_that_is_told_is_there(needs: dict[str, set[str]]) -> None:
    loop = find_cycle(needs)

    if loop is None:
        assert start_order(needs)[: len(needs)] is not None
    else:
        assert loop[0] == loop[-1] == min(loop)
        assert all(lower in needs[upper] for upper, lower in pairwise(loop))


@given(graphs, names, names)
def test_above_is_below_seen_from_the_other_end(needs: dict[str, set[str]], first: str, second: str) -> None:
    assert (first in above(needs, [second])) == (second in below(needs, [first]))
