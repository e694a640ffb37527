"""The order of things: cycles, waves, and who stands above whom."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter

Needs = Mapping[str, Iterable[str]]


def find_cycle(needs: Needs) -> list[str] | None:
    """A loop as the names along it, the first one repeated at the end, or None."""
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        loop: list[str] = list(error.args[1])
        loop.reverse()
        turn = loop.index(min(loop[:-1]))
        return loop[turn:-1] + loop[: turn + 1]
    return None


def waves(needs: Needs) -> list[list[str]]:
    """The names in waves: wave n may start when all of wave n - 1 has been reached. Sorted within a wave.

    Raises graphlib.CycleError when there is a loop; find_cycle first.
    """
    sorter = TopologicalSorter(needs)
    sorter.prepare()
    result = []
    while sorter.is_active():
        wave = sorted(sorter.get_ready())
        result.append(wave)
        sorter.done(*wave)
    return result


def start_order(needs: Needs) -> list[str]:
    """All names, each after everything it needs; by wave, then by name."""
    return [name for wave in waves(needs) for name in wave]


def below(needs: Needs, names: Iterable[str]) -> frozenset[str]:
    """``names`` and everything that they need, directly or not."""
    found: set[str] = set()
    queue = list(names)
    while queue:
        name = queue.pop()
        if name not in found:
            found.add(name)
            queue.extend(needs.get(name, ()))
    return frozenset(found)


def above(needs: Needs, names: Iterable[str]) -> frozenset[str]:
    """``names`` and everything that needs them, directly or not."""
    dependants: dict[str, list[str]] = {}
    for name, lower in needs.items():
        for need in lower:
            dependants.setdefault(need, []).append(name)
    return below(dependants, names)


def subgraph(needs: Needs, names: Iterable[str]) -> dict[str, list[str]]:
    """The part of the graph that lies between ``names`` (edges that leave it are dropped)."""
    kept = frozenset(names)
    return {name: sorted(set(needs.get(name, ())) & kept) for name in kept}
