"""A way through the world told in words: what happened, and what each node decided."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tests.model.agent import Agents
from tests.model.faults import NAMES, faults
from tests.model.rules import after_tick, at_rest
from tests.model.state import TICK, UNITS, Node, Setup, World
from tests.model.world import tick, view

LONGEST = 240


def world_at_rest(agents: Agents, world: World, limit: int = LONGEST) -> World:
    """Where it comes to rest by itself."""
    for _ in range(limit):
        following = after_tick(world, tick(world, agents), agents)
        if following == world or following.broke:
            return following
        world = following
    return world


def tell(setup: Setup, events: Sequence[tuple[int, str]]) -> Iterator[str]:
    """The story of these events, each after so many ticks, line by line, until it ends."""
    agents = Agents(setup)
    known = faults(setup)
    world, now = World((Node(), Node())), 0
    said = ["", ""]
    for wait, name in [*events, (LONGEST, "")]:
        for _ in range(wait):
            following = after_tick(world, tick(world, agents), agents)
            now += 1
            yield from _news(world, following, agents, now, said)
            if following == world or following.broke:
                world = following
                break
            world = following
        if name:
            after = known[name](world)
            yield f"{now * TICK:6.1f} s  {name.upper()}"
            world = world if after is None else after
    if broke := world.broke or at_rest(world, agents):
        yield f"{now * TICK:6.1f} s  BROKEN: {broke}"


def _news(before: World, world: World, agents: Agents, now: int, said: list[str]) -> Iterator[str]:
    for side in (0, 1):
        node = world.nodes[side]
        text = _line(world, side, agents)
        if text != said[side]:
            yield f"{now * TICK:6.1f} s  {NAMES[side]}: {text}"
            said[side] = text
        if node.power and not node.frozen and (node.act or before.nodes[side].act):
            yield f"{now * TICK:6.1f} s  {NAMES[side]}: does: {node.act or before.nodes[side].act}"
    if world.split != before.split:
        yield f"{now * TICK:6.1f} s  SPLIT: {world.split}"


def _line(world: World, side: int, agents: Agents) -> str:
    node, copy = world.nodes[side], world.copies[side]
    if not node.power:
        return "off"
    kept = agents.kept[node.kept]
    units = " ".join(
        f"{name}={unit.state}" for name, unit in zip(UNITS, node.units, strict=True) if unit.state != "stopped"
    )
    words = [f"vrrp {node.vrrp}", f"role {kept.role}", units]
    if copy.up:
        waits = " suspended" if copy.suspended else ""
        words.append(
            f"drbd {'Primary' if copy.primary else 'Secondary'} {copy.link} {copy.disk}/{copy.peer_disk}{waits}"
        )
    if not node.frozen:
        words.append(f"[{agents.turn(side, node, view(world, side))[1].text}]")
    words += [f"release: {kept.release}"] if kept.release else []
    words += [f"hold: {kept.hold.reason}"] if kept.hold else []
    words += ["waits for the peer"] if kept.waits_since is not None else []
    words += ["unfit"] if not node.fit else []
    words += ["frozen"] if node.frozen else []
    return ", ".join(words)
