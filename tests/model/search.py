"""Breadth first over all that can happen, in order of what it costs: a fault where the world is at rest costs one, a
fault in the middle of something two. Between two faults the world has one way to go, to its rest; all states are
remembered, each is looked at once."""

from __future__ import annotations

import time
from array import array
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.model.agent import Agents
from tests.model.faults import faults, power_off
from tests.model.rules import (
    LONGEST_TO_REST,
    NEVER_RESTS,
    NOT_TAKEN_OVER,
    after_tick,
    at_rest,
    healthy_standby,
)
from tests.model.state import Copy, Node, Setup, World
from tests.model.world import serves, tick

NOTHING = 0
"""The number of the event that only time passes."""


@dataclass
class Found:
    """A promise that was broken, or two primaries that are accepted, with the first way there."""

    kind: str
    setup: Setup
    events: tuple[tuple[int, str], ...]
    """Each with the ticks that had passed since the one before."""
    count: int = 1


TAKES_OVER_WITHIN = 30
"""Ticks; the death is noticed after seven, and the units start one after the other."""


class Parts:
    """Numbers for the parts of worlds, which have few different ones: a world is one whole number."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[object, ...], int] = {}
        self._parts: list[tuple[object, ...]] = []

    def key(self, world: World) -> int:
        """The number of this world, and of no other one."""
        nodes, copies = world.nodes, world.copies
        number = 0
        for part in (nodes[0], nodes[1], (*copies[0], 0), (*copies[1], 0), world[2:]):
            found = self._numbers.get(part)
            if found is None:
                found = self._numbers[part] = len(self._parts)
                self._parts.append(part)
            number = number << 24 | found
        return number

    def world(self, key: int) -> World:
        """The world that has this number."""
        parts: list[Any] = [self._parts[key >> shift & 0xFFFFFF] for shift in (96, 72, 48, 24, 0)]
        return World((parts[0], parts[1]), (Copy(*parts[2][:-1]), Copy(*parts[3][:-1])), *parts[4])


@dataclass
class Search:
    """One search; ``run`` goes on until so many states are known, or all are."""

    setup: Setup
    broken: dict[str, Found] = field(default_factory=dict)
    splits: dict[str, Found] = field(default_factory=dict)
    cost: int = 0
    seconds: float = 0.0
    is_complete: bool = False

    def __post_init__(self) -> None:
        self.agents = Agents(self.setup)
        self.events = list(faults(self.setup).items())
        self.names = ["", *(name for name, _ in self.events)]
        self._states: dict[int, int] = {}
        self._parts = Parts()
        self._parents = array("l")
        self._happened = array("B")
        self._to_rest = array("h")
        self._queues: list[deque[tuple[int, int]]] = [deque() for _ in range(64)]
        self.rests = 0

    @property
    def states(self) -> int:
        return len(self._parents)

    def run(self, states: int) -> None:
        """Look at so many states, in order of cost."""
        began = time.process_time()
        if not self._states:
            self._follow(World((Node(), Node())), -1, NOTHING, 0)
        while self.states < states and (queue := self._next()) is not None:
            key, number = queue.popleft()
            world, cost = self._parts.world(key), self.cost
            for index, (_, event) in enumerate(self.events, 1):
                after = event(world)
                if after is not None:
                    self._follow(after, number, index, cost)
        self.is_complete = self._next() is None
        self.seconds += time.process_time() - began

    def _next(self) -> deque[tuple[int, int]] | None:
        for cost in range(self.cost, len(self._queues)):
            if self._queues[cost]:
                self.cost = cost
                return self._queues[cost]
        return None

    # --- one way ---

    def _follow(self, world: World, parent: int, event: int, cost: int) -> None:
        """From here to rest, or to what is known already."""
        path: list[int] = []
        worlds: list[World] = []
        number = self._new(world, parent, event)
        while number is not None:
            path.append(number)
            worlds.append(world)
            following = after_tick(world, tick(world, self.agents), self.agents)
            if following.broke:
                self._broke(following.broke, number)
                self._to_rest[number] = 0
                worlds.pop()
                break
            if following.split and not world.split:
                self._note(self.splits, following.split, number)
            if following.split:
                worlds.pop()
                break
            if following == world:
                self._rests(world, number)
                break
            parent, world = number, following
            number = self._new(world, parent, NOTHING)
        left = 0
        if number is None:
            known = self._states[self._parts.key(world)]
            left = self._to_rest[known] if known not in path else 0
            if known in path and len(path) > path.index(known) + 1:
                self._broke(NEVER_RESTS, known)
        for each in reversed(path):
            self._to_rest[each] = left
            left += 1
        if left > LONGEST_TO_REST and path:
            self._broke(NEVER_RESTS, path[0])
        for here, at in zip(worlds, path, strict=False):
            is_rest = self._to_rest[at] == 0
            self._queues[cost + (1 if is_rest else 2)].append((self._parts.key(here), at))

    def _rests(self, world: World, number: int) -> None:
        self.rests += 1
        if broke := at_rest(world, self.agents) or self._not_taken_over(world):
            self._broke(broke, number)

    def _not_taken_over(self, world: World) -> str:
        """A standby that says that it is Healthy has to take over from a primary that dies now."""
        side = healthy_standby(world, self.agents)
        if side is None or world.split:
            return ""
        world = power_off(1 - side)(world) or world
        for _ in range(TAKES_OVER_WITHIN):
            world = after_tick(world, tick(world, self.agents), self.agents)
        return "" if serves(world, side) and not world.broke else NOT_TAKEN_OVER

    def _broke(self, kind: str, number: int) -> None:
        self._note(self.broken, kind, number)

    def _note(self, where: dict[str, Found], kind: str, number: int) -> None:
        if kind in where:
            where[kind].count += 1
        else:
            where[kind] = Found(kind, self.setup, tuple(self._way(number)))

    def _way(self, number: int) -> Iterator[tuple[int, str]]:
        events, ticks = [], 0
        while number >= 0:
            if self._happened[number] == NOTHING:
                ticks += 1
            else:
                events.append([self.names[self._happened[number]], ticks])
                ticks = 0
            number = self._parents[number]
        waits = [ticks - 1, *(int(str(each[1])) for each in reversed(events))]
        for wait, each in zip(waits, reversed(events), strict=False):
            yield wait, str(each[0])

    # --- states ---

    def _new(self, world: World, parent: int, event: int) -> int | None:
        """The number of a state that was not known; None for one that was."""
        key = self._parts.key(world)
        number = len(self._parents)
        if self._states.setdefault(key, number) != number:
            return None
        self._parents.append(parent)
        self._happened.append(event)
        self._to_rest.append(0)
        return number
