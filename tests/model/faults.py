"""What can happen to a pair: each a name and what it makes of the world; None where it cannot happen now."""

from __future__ import annotations

from collections.abc import Callable

from tests.model import drbd
from tests.model.agent import HANDS_OVER
from tests.model.state import KEEPALIVED, SERVICE, Net, Node, Setup, Unit, World, put
from tests.model.world import fails, leave, owns, serves, with_node, with_unit

Fault = Callable[[World], World | None]

NAMES = ("A", "B")
CUT, WHOLE = (False, False), (True, True)
TO_B, TO_A = (True, False), (False, True)


def faults(setup: Setup) -> dict[str, Fault]:
    """All that can happen to a pair like this."""
    found: dict[str, Fault] = {"everything is mended": mend}
    for side, name in enumerate(NAMES):
        found[f"{name} loses its power"] = power_off(side)
        found[f"{name} has its power again"] = _power_on(side)
        found[f"{name}'s keepalived is killed"] = _kill_keepalived(side)
        found[f"{name}'s service cannot be kept up"] = _break(side)
        found[f"{name}'s service can run again"] = _repair(side)
        found[f"{name} is told to switch over"] = _switch_over(side)
        found[f"{name}'s agent stands still"] = _freeze(side)
        found[f"{name}'s agent goes on"] = _thaw(side)
        found[f"{name} is paused"] = _pause(side)
        found[f"{name} goes on"] = _wake(side)
        if setup.data:
            found[f"{name}'s disk fails"] = _fail_disk(side)
            found[f"{name} gets a new disk"] = _new_disk(side)
        found[f"all cables of {name} are cut"] = _isolate(side, setup)
        if setup.two_paths:
            found[f"the clients' network of {name} is cut"] = _cut_clients(side, setup)
        if setup.gateway:
            found[f"{name} does not reach the gateway"] = _net(
                lambda net, side=side: net._replace(reach=put(net.reach, side, False))  # type: ignore[misc]
            )
    paths = {"vrrp": "VRRP's path"} | ({"repl": "the replication's path"} if setup.two_paths else {})
    for field, name in paths.items():
        for way, told in ((CUT, "is cut"), (TO_B, "loses what B sends"), (TO_A, "loses what A sends")):
            found[f"{name} {told}"] = _net(lambda net, field=field, way=way: net._replace(**{field: way}))  # type: ignore[misc]
        found[f"{name} is whole again"] = _net(lambda net, field=field: net._replace(**{field: WHOLE}))  # type: ignore[misc]
    if setup.gateway:
        found["the gateway dies"] = _net(lambda net: net._replace(gateway=False))
        found["the gateway is back"] = _net(lambda net: net._replace(gateway=True, reach=WHOLE))
    if not setup.two_paths:
        found = {name: _on_one_path(fault) for name, fault in found.items()}
    return found


def is_whole(world: World) -> bool:
    """Whether no fault is left."""
    return (
        world.net == Net()
        and all(node.power and not (node.broken or node.frozen or node.switchover) for node in world.nodes)
        and not any(copy.disk == "Diskless" and copy.written == "Inconsistent" for copy in world.copies)
    )


def mend(world: World) -> World | None:
    if is_whole(world):
        return None
    for side in (0, 1):
        for way_out in (_wake, _power_on, _repair, _thaw, _new_disk):
            world = way_out(side)(world) or world
    return world._replace(net=Net())


def _on_one_path(fault: Fault) -> Fault:
    """With one path the replication goes where VRRP goes."""

    def both(world: World) -> World | None:
        after = fault(world)
        return None if after is None else after._replace(net=after.net._replace(repl=after.net.vrrp))

    return both


def _net(change: Callable[[Net], Net]) -> Fault:
    def fault(world: World) -> World | None:
        net = change(world.net)
        return None if net == world.net else world._replace(net=net)

    return fault


def _isolate(side: int, setup: Setup) -> Fault:
    return _net(
        lambda net: net._replace(vrrp=CUT, repl=CUT, reach=put(net.reach, side, False) if setup.gateway else net.reach)
    )


def _cut_clients(side: int, setup: Setup) -> Fault:
    return _net(lambda net: net._replace(vrrp=CUT, reach=put(net.reach, side, False) if setup.gateway else net.reach))


def power_off(side: int) -> Fault:
    def fault(world: World) -> World | None:
        node = world.nodes[side]
        if not node.power and world.asleep[side] is None:
            return None
        world = world._replace(asleep=put(world.asleep, side, None))
        off = Node(power=False, broken=node.broken)
        return drbd.power_lost(world, side)._replace(nodes=put(world.nodes, side, off))

    return fault


def _power_on(side: int) -> Fault:
    def fault(world: World) -> World | None:
        node = world.nodes[side]
        if node.power or world.asleep[side] is not None:
            return None
        return world._replace(nodes=put(world.nodes, side, Node(broken=node.broken)))

    return fault


def _pause(side: int) -> Fault:
    """The machine stands still, its memory stays: a virtual machine that is saved or moved."""

    def fault(world: World) -> World | None:
        node = world.nodes[side]
        if not node.power:
            return None
        after = power_off(side)(world)
        return after and after._replace(asleep=put(world.asleep, side, (node, world.copies[side])))

    return fault


def _wake(side: int) -> Fault:
    def fault(world: World) -> World | None:
        saved = world.asleep[side]
        if saved is None:
            return None
        return world._replace(
            asleep=put(world.asleep, side, None),
            nodes=put(world.nodes, side, saved[0]),
            copies=put(world.copies, side, saved[1]),
        )

    return fault


def _fail_disk(side: int) -> Fault:
    """While the other copy is complete; what is on one disk alone is lost with it, whatever anybody decides."""

    def fault(world: World) -> World | None:
        copy = world.copies[side]
        whole = drbd.are_connected(world) and copy.disk == world.copies[1 - side].disk == "UpToDate"
        if not whole or not drbd.carries(world) or world.only[side]:
            return None
        world = drbd.with_copy(world, side, disk="Diskless", written="Inconsistent")
        return world._replace(ahead=put(world.ahead, 1 - side, True))

    return fault


def _new_disk(side: int) -> Fault:
    """And ``escadm restart`` where nothing of the primary runs: the volume goes round."""

    def fault(world: World) -> World | None:
        node, copy = world.nodes[side], world.copies[side]
        lost = copy.up and copy.disk == "Diskless" and copy.written == "Inconsistent"
        return with_node(world, side, stale=True) if lost and not owns(node) and not node.stale else None

    return fault


def _kill_keepalived(side: int) -> Fault:
    def fault(world: World) -> World | None:
        node = world.nodes[side]
        if not node.power or not node.runs(KEEPALIVED) or node.units[KEEPALIVED].streak:
            return None
        return fails(leave(world, side, "STOP"), side, KEEPALIVED)

    return fault


def _break(side: int) -> Fault:
    def fault(world: World) -> World | None:
        node = world.nodes[side]
        if not node.power or node.broken:
            return None
        world = with_node(world, side, broken=True)
        return fails(world, side, SERVICE) if serves(world, side) else world

    return fault


def _repair(side: int) -> Fault:
    """Mended, and ``escadm start``: its failures are forgotten."""

    def fault(world: World) -> World | None:
        node = world.nodes[side]
        if not node.power or not node.broken:
            return None
        world = with_node(world, side, broken=False)
        unit = node.units[SERVICE]
        waiting = unit.state in ("backoff", "failed")
        return with_unit(world, side, SERVICE, Unit() if waiting else unit._replace(streak=0))

    return fault


def _switch_over(side: int) -> Fault:
    """As the agent allows it: to a peer that could take over and has all the data (judged by who calls)."""

    def fault(world: World) -> World | None:
        node = world.nodes[side]
        healthy = node.power and not node.frozen and serves(world, side) and node.severity == 0
        return with_node(world, side, switchover=HANDS_OVER) if healthy and not node.switchover else None

    return fault


def _freeze(side: int) -> Fault:
    def fault(world: World) -> World | None:
        node = world.nodes[side]
        return with_node(world, side, frozen=True) if node.power and not node.frozen else None

    return fault


def _thaw(side: int) -> Fault:
    def fault(world: World) -> World | None:
        # it looks again first: what it had decided before counts no more
        return with_node(world, side, frozen=False, act="", answer="", gate="") if world.nodes[side].frozen else None

    return fault
