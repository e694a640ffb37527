"""DRBD 8.4 with ``fencing resource-and-stonith`` and protocol C, as far as a role can depend on it.

From drbd.conf(5), drbdsetup(8) and what the real pair in tests/vm does: a Primary that loses its peer suspends writes
and asks; a generation begins with a promotion or with writes without the peer; on connecting the copy that lacks a
generation is brought up to date, and where each has one of its own both stop (StandAlone).
"""

from __future__ import annotations

from tests.model.state import DRBD, SERVICE, Copy, World, put

NOTICES = 6
"""Ticks until a silent peer is given up: ping-int and ping-timeout."""
NOTICES_WRITING = 3
"""The same where writes wait for it: timeout."""
SYNC_TAKES = 4
OLD = frozenset({"Outdated", "Inconsistent"})


def with_copy(world: World, side: int, **news: object) -> World:
    return world._replace(copies=put(world.copies, side, world.copies[side]._replace(**news)))  # type: ignore[arg-type]


def carries(world: World) -> bool:
    """Whether packets of the replication go both ways between two machines that run."""
    return world.net.repl == (True, True) and world.nodes[0].power and world.nodes[1].power


def are_connected(world: World) -> bool:
    """Whether both ends hold the same connection."""
    one, two = world.copies
    return one.up and two.up and one.link == two.link == "Connected"


def connections(world: World) -> World:
    """One tick of the connection: lost, noticed, made again, a resync gone on with."""
    before = world
    together = are_connected(before)
    carrying = carries(before)
    for side in (0, 1):
        copy = before.copies[side]
        if not copy.up or copy.link != "Connected":
            continue
        other_is_there = before.nodes[1 - side].power and before.net.repl == (True, True)
        if together and carrying:
            if copy.silent:
                world = with_copy(world, side, silent=0)
        elif not together and other_is_there:
            world = drop(world, side)
        else:
            limit = NOTICES_WRITING if copy.primary and before.nodes[side].runs(SERVICE) else NOTICES
            silent = copy.silent + 1
            world = drop(world, side) if silent >= limit else with_copy(world, side, silent=silent)
    if carrying and all(copy.up and copy.link == "Connecting" for copy in world.copies):
        world = handshake(world)
    elif world.sync and carrying and are_connected(world):
        world = _sync_on(world)
    return _see_each_other(world) if carrying and are_connected(world) else world


def drop(world: World, side: int) -> World:
    """This end of the connection is gone."""
    copy = world.copies[side]
    peer_disk = copy.peer_disk if copy.peer_disk in OLD else "DUnknown"
    waits = copy.primary and peer_disk == "DUnknown"
    world = with_copy(
        world,
        side,
        link="Connecting",
        silent=0,
        peer_disk=peer_disk,
        peer_primary=False,
        suspended=copy.suspended or waits,
    )
    return world._replace(sync=0)


def _see_each_other(world: World) -> World:
    for side in (0, 1):
        copy, other = world.copies[side], world.copies[1 - side]
        if (copy.peer_primary, copy.peer_disk) != (other.primary, other.disk):
            world = with_copy(world, side, peer_primary=other.primary, peer_disk=other.disk)
    return world


def handshake(world: World) -> World:
    """Both look for each other and find each other: whose data is newer?"""
    ahead, copies = list(world.ahead), world.copies
    if all(ahead):
        if any(copy.primary for copy in copies) or all(world.only):
            return with_copy(with_copy(world, 0, link="StandAlone"), 1, link="StandAlone")
        ahead[1 if world.only[0] or not world.only[1] else 0] = False  # after-sb-0pri discard-zero-changes
    if not any(ahead):
        return _together(world)
    source = ahead.index(True)
    target = 1 - source
    if copies[target].disk == "Diskless":
        return _together(world)
    if copies[target].primary:  # it would have to be overwritten
        return with_copy(world, target, link="StandAlone")
    broke = "an acknowledged write was overwritten" if world.only[target] == 2 and not world.split else world.broke
    world = _together(world)._replace(ahead=(ahead[0], ahead[1]), sync=SYNC_TAKES, broke=broke)
    world = world._replace(only=put(world.only, target, 0))
    return with_copy(world, target, disk="Inconsistent", written="Inconsistent")


def _together(world: World) -> World:
    for side in (0, 1):
        copy = world.copies[side]
        disk = copy.disk if copy.disk in ("Diskless", "Inconsistent") else "UpToDate"
        written = copy.written if disk == "Diskless" else disk
        world = with_copy(
            world, side, link="Connected", silent=0, disk=disk, written=written, knows=False, suspended=False
        )
    return world


def _sync_on(world: World) -> World:
    if world.sync > 1:
        return world._replace(sync=world.sync - 1)
    for side in (0, 1):
        world = with_copy(world, side, disk="UpToDate", written="UpToDate")
    return world._replace(sync=0, ahead=(False, False), only=(0, 0))


def answered(world: World, side: int) -> World:
    """What the handler answers to a Primary that has asked."""
    copy = world.copies[side]
    if not copy.suspended or copy.link == "Connected" or world.nodes[side].answer not in ("peer outdated", "peer dead"):
        return world
    world = with_copy(world, side, suspended=False, peer_disk="Outdated", knows=True)
    return world._replace(ahead=put(world.ahead, side, True))


def bring_up(world: World, side: int) -> World:
    copy = world.copies[side]
    disk = copy.written
    if disk == "UpToDate" and not copy.knows:
        disk = "Consistent"
    peer_disk = "Outdated" if copy.knows else "DUnknown"
    return with_copy(
        world, side, up=True, link="Connecting", disk=disk, peer_disk=peer_disk, silent=0, peer_primary=False
    )


def take_down(world: World, side: int) -> World:
    """In good order: a Secondary that leaves a Primary declares itself outdated, and the Primary knows."""
    copy, other = world.copies[side], world.copies[1 - side]
    if not copy.up:
        return world
    if are_connected(world) and carries(world):
        if other.primary and copy.disk != "Diskless":
            written = "Inconsistent" if copy.written == "Inconsistent" else "Outdated"
            world = with_copy(world, side, written=written)
            world = with_copy(world, 1 - side, peer_disk=written, knows=written == "Outdated")
            world = world._replace(ahead=put(world.ahead, 1 - side, True))
        world = drop(world, 1 - side)
    kept = world.copies[side]
    world = world._replace(copies=put(world.copies, side, Copy(written=kept.written, knows=kept.knows)))
    return world._replace(sync=0)


def power_lost(world: World, side: int) -> World:
    copy = world.copies[side]
    return world._replace(copies=put(world.copies, side, Copy(written=copy.written, knows=copy.knows)))


def promote(world: World, side: int) -> tuple[World, bool]:
    """One attempt; whether it is Primary now."""
    copy = world.copies[side]
    if copy.link == "Connected":
        if are_connected(world) and carries(world):
            good = not world.copies[1 - side].primary and "UpToDate" in (copy.disk, copy.peer_disk)
            return (with_copy(world, side, primary=True), True) if good else (world, False)
        return with_copy(world, side, silent=max(copy.silent, NOTICES - 2)), False  # it asks for a sign of life
    known = copy.peer_disk in OLD or world.nodes[side].answer in ("peer outdated", "peer dead")
    if copy.disk != "UpToDate" or not known:
        return world, False
    peer_disk = copy.peer_disk if copy.peer_disk in OLD else "Outdated"
    world = with_copy(world, side, primary=True, peer_disk=peer_disk, knows=True)
    return world._replace(ahead=put(world.ahead, side, True)), True


def outdate(world: World, side: int) -> World:
    copy = world.copies[side]
    if copy.link == "Connected" or copy.primary or copy.disk not in ("UpToDate", "Consistent"):
        return world
    return with_copy(world, side, disk="Outdated", written="Outdated")


def abandon(world: World, side: int) -> World:
    return with_copy(world, side, disk="Diskless", suspended=False)


def write(world: World) -> World:
    """Each service writes if it can; what it is told to be done is on both copies or on one alone."""
    for side in (0, 1):
        copy = world.copies[side]
        node = world.nodes[side]
        if not (node.power and node.runs(SERVICE) and node.runs(DRBD) and copy.primary) or copy.suspended:
            continue
        if copy.link == "Connected":
            if not are_connected(world) or not carries(world):
                continue
            if copy.disk == "Diskless":
                world = _written_on(world, 1 - side)
            elif (world.sync and world.ahead[side]) or copy.peer_disk == "Diskless":
                world = _written_on(world, side)
        elif copy.disk == "UpToDate":
            if world.only[1 - side] == 2 and not world.split and not world.only[side]:
                world = world._replace(broke="a write was acknowledged on a copy that lacks an acknowledged one")
            world = _written_on(world, side)
    return world


def _written_on(world: World, side: int) -> World:
    if world.only[side] == 2 and world.ahead[side]:
        return world
    return world._replace(only=put(world.only, side, 2), ahead=put(world.ahead, side, True))
