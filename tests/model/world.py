"""One tick of the world: packets, keepalived, DRBD, what is starting and stopping, and a turn of each agent.

What an agent says in one tick is heard in the next.
"""

from __future__ import annotations

from tests.model import drbd
from tests.model.agent import AGAIN, GONE, SILENT, Agents, View, is_up
from tests.model.state import (
    DRBD,
    FILESYSTEM,
    KEEPALIVED,
    PRIMARYS,
    PROMOTION,
    SERVICE,
    Link,
    Node,
    Unit,
    World,
    put,
)

DEAD = 6
"""Ticks without an advert, three intervals, after which a BACKUP takes the role."""
BACKOFF = (1, 2, 4, 8)
GOOD_RUN = 6
UP, DOWN = frozenset({"starting", "running"}), frozenset({"stopped", "backoff", "failed"})


def tick(world: World, agents: Agents) -> World:
    """Half a second later."""
    world = world._replace(broke="")
    before = world
    world = drbd.connections(elections(hear(world, agents)))
    world = _age(before, world)
    for side in (0, 1):
        if world.nodes[side].power and not world.nodes[side].frozen:
            world = drbd.answered(_units(world, side), side)
    turns = [_turn(world, side, agents) for side in (0, 1)]
    world = world._replace(nodes=(turns[0], turns[1]))
    for side in (0, 1):
        if world.nodes[side].power and not world.nodes[side].frozen:
            world = _carry_out(world, side)
    return drbd.write(world)


def view(world: World, side: int) -> View | None:
    """What the agent sees of the volume; None while it is not up."""
    node, copy = world.nodes[side], world.copies[side]
    if not is_up(node) or not copy.up:
        return None
    connected = copy.link == "Connected"
    sync = ""
    if world.sync and connected:
        sync = "SyncSource" if world.ahead[side] else "SyncTarget"
    dirty = bool(world.sync) if connected else world.only[side] > 0
    return View(copy.primary, copy.link, copy.peer_primary, copy.disk, copy.peer_disk, sync, copy.suspended, dirty)


# --- packets ----------------------------------------------------------------------------------------------


def hear(world: World, agents: Agents) -> World:
    """Datagrams between the agents, the gateway's answers, and time for all that waits for them."""
    nodes = []
    for side in (0, 1):
        node, other = world.nodes[side], world.nodes[1 - side]
        if not node.power:
            nodes.append(node)
            continue
        speaks = other.power and not other.frozen and other.says
        paths = (world.net.vrrp, world.net.repl) if agents.setup.two_paths else (world.net.vrrp,)
        links, newest = list(node.links), node.newest
        for index, path in enumerate(paths):
            link = links[index]
            if speaks and path[1 - side]:
                if link.word != other.says or link.stale or link.age >= SILENT:
                    newest = index
                links[index] = Link(other.says, 0, False)
            elif link.age < SILENT:
                links[index] = link._replace(age=link.age + 1) if link.age < SILENT - 1 else Link()
        asked = _ask_gateway(world, side, agents)
        missed = min(links[0].age, links[1].age) >= SILENT
        nodes.append(
            asked._replace(
                links=(links[0], links[1]),
                vouched=missed and (node.vouched or (asked.asked and not asked.unanswered)),
                newest=newest,
                sure=max(node.sure - 1, 0),
                kept=agents.later(node.kept),
                adverts=_adverts(node.adverts, comes=other.power and other.vrrp == "MASTER" and paths[0][1 - side]),
            )
        )
    return world._replace(nodes=(nodes[0], nodes[1]))


def _adverts(before: int, *, comes: bool) -> int:
    if comes:
        return min(max(before, 0) + 1, AGAIN)
    return max(min(before, 0) - 1, -SILENT)


def _ask_gateway(world: World, side: int, agents: Agents) -> Node:
    node = world.nodes[side]
    if not agents.setup.gateway:
        return node
    if world.net.gateway and world.net.reach[side]:
        return node._replace(unanswered=0, asked=True)
    unanswered = min(node.unanswered + 1, GONE)
    return node._replace(unanswered=unanswered, asked=node.asked or unanswered >= 5)


def _age(before: World, world: World) -> World:
    """What DRBD has just seen of the peer is newer than the peer's last word (core.fencing.sees_more)."""
    for side in (0, 1):
        node, old, new = world.nodes[side], before.copies[side], world.copies[side]
        seen = (new.link, new.peer_primary, new.peer_disk)
        if not is_up(node) or new.link != "Connected" or seen == (old.link, old.peer_primary, old.peer_disk):
            continue
        one, two = (link._replace(stale=True) if link.age < SILENT else link for link in node.links)
        world = with_node(world, side, links=(one, two))
    return world


def with_node(world: World, side: int, **news: object) -> World:
    return world._replace(nodes=put(world.nodes, side, world.nodes[side]._replace(**news)))  # type: ignore[arg-type]


# --- keepalived -------------------------------------------------------------------------------------------


def elections(world: World) -> World:
    """VRRP with nopreempt: a BACKUP that hears nobody takes the role, of two MASTERs the higher address keeps it."""
    before = world
    for side in (0, 1):
        node, other = before.nodes[side], before.nodes[1 - side]
        if not node.power or not node.runs(KEEPALIVED):
            continue
        hears = other.power and other.vrrp == "MASTER" and before.net.vrrp[1 - side]
        if not node.fit:
            if node.vrrp != "FAULT":
                world = leave(world, side, "FAULT")
        elif node.vrrp == "FAULT":
            world = with_node(world, side, vrrp="BACKUP", deaf=0)
        elif node.vrrp == "MASTER":
            if hears and side == 0:
                world = with_node(world, side, vrrp="BACKUP", deaf=0)
        elif hears:
            world = with_node(world, side, deaf=0)
        else:
            deaf = world.nodes[side].deaf + 1
            news = {"vrrp": "MASTER", "deaf": 0} if deaf >= DEAD else {"deaf": deaf}
            world = with_node(world, side, **news)
    return world


def leave(world: World, side: int, word: str) -> World:
    """keepalived lets the role go and says goodbye: who hears that need not wait."""
    was = world.nodes[side].vrrp
    world = with_node(world, side, vrrp=word, deaf=0)
    other = world.nodes[1 - side]
    if was == "MASTER" and world.net.vrrp[side] and other.power and other.vrrp == "BACKUP":
        world = with_node(world, 1 - side, deaf=DEAD)
    return world


# --- units ------------------------------------------------------------------------------------------------


def _units(world: World, side: int) -> World:
    """What starts and stops comes a tick nearer to its end."""
    for index in range(len(world.nodes[side].units)):
        unit = world.nodes[side].units[index]
        if unit.state == "stopped" or (unit.state == "running" and not unit.streak):
            continue
        stuck = world.copies[side].suspended and index in PRIMARYS and unit.state in ("starting", "stopping")
        if stuck or (index == PROMOTION and unit.state == "starting"):
            continue
        if unit.left > 1:
            world = with_unit(world, side, index, unit._replace(left=unit.left - 1))
        else:
            world = _ends(world, side, index, unit)
    return world


def with_unit(world: World, side: int, index: int, unit: Unit) -> World:
    units = world.nodes[side].units
    return with_node(world, side, units=(*units[:index], unit, *units[index + 1 :]))


def fails(world: World, side: int, index: int) -> World:
    """The unit has come to an end that nobody wanted."""
    streak = min(world.nodes[side].units[index].streak + 1, 4)
    state = "failed" if streak == 4 else "backoff"
    return with_unit(world, side, index, Unit(state, BACKOFF[streak - 1], streak))


def _ends(world: World, side: int, index: int, unit: Unit) -> World:
    node = world.nodes[side]
    if unit.state in ("backoff", "failed"):
        hopeless = unit.state == "failed" and index == SERVICE and node.broken
        return world if hopeless else with_unit(world, side, index, Unit("stopped", 0, unit.streak))
    if unit.state == "running":
        return with_unit(world, side, index, Unit("running"))
    if unit.state == "starting":
        if index == SERVICE and node.broken:
            return fails(world, side, index)
        if index == DRBD:
            world = drbd.bring_up(world, side)
        if index == KEEPALIVED:
            world = with_node(world, side, vrrp="BACKUP" if node.fit else "FAULT", deaf=0)
        return with_unit(world, side, index, Unit("running", GOOD_RUN if unit.streak else 0, unit.streak))
    if index == DRBD:
        world = drbd.take_down(world, side)
    if index == PROMOTION:
        world = drbd.with_copy(world, side, primary=False)
    return with_unit(world, side, index, Unit("stopped", 0, unit.streak))


# --- the agents -------------------------------------------------------------------------------------------


def _turn(world: World, side: int, agents: Agents) -> Node:
    node = world.nodes[side]
    if not node.power or node.frozen:
        return node
    return agents.turn(side, node, view(world, side))[0]


def _carry_out(world: World, side: int) -> World:
    node = world.nodes[side]
    if node.act == "outdate":
        world = drbd.outdate(world, side)
    elif node.act == "abandon":
        world = drbd.abandon(world, side)
    elif node.gate == "refuse":
        world = fails(world, side, PROMOTION)
    elif node.gate == "go":
        world, is_primary = drbd.promote(world, side)
        if is_primary:
            world = with_unit(world, side, PROMOTION, Unit("running"))
    return with_node(world, side, act="", gate="") if node.act or node.gate else world


def serves(world: World, side: int) -> bool:
    """Whether the primary's service runs there."""
    node = world.nodes[side]
    return node.power and node.units[SERVICE].state == "running"


def owns(node: Node) -> bool:
    """Whether anything of the primary is left there."""
    return any(node.units[index].state not in DOWN for index in (PROMOTION, FILESYSTEM, SERVICE))
