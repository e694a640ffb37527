"""What must hold in every state of the world, and where it comes to rest. A promise that is broken has a name."""

from __future__ import annotations

import re

from tests.model.agent import UNANSWERED, Agents
from tests.model.drbd import OLD
from tests.model.faults import is_whole
from tests.model.state import Setup, World
from tests.model.world import owns, serves, view

TWICE = 12
"""Ticks: for so long both may run the service once they hear each other again (HOLDS_AFTER, a word, a stop)."""
APART = 14
"""Ticks: for so long a primary that is cut off may go on (its silence is noticed after seven, then it stops)."""
CLOSE = 8
"""Ticks: who has heard the other one for so long knows what it does."""
NEITHER, ONE_WAY, OTHER_PATH, STOOD_STILL, CUT_OFF = 1, 2, 4, 8, 16
DOUBTS = {
    STOOD_STILL: "a machine or an agent stood still",
    NEITHER: "neither hears the other",
    ONE_WAY: "one hears the other",
    OTHER_PATH: "each hears the other on another path",
}
WENT_ON = "a node went on alone although it reaches nobody"
IGNORED = "a node went on alone although it hears the other one, whose copy counts"
LATE = "the standby was cut off from everybody meanwhile, and came back when the primary was gone"
LONGEST_TO_REST = 240

TWO_SETS = "both run the services although they hear each other"
SECOND_SET = "a second node took the role although the nodes hear each other"
OLD_COPY = "an old copy was served"
PARTED = "the data has parted"
BOTH_RUN = "both run the services"
NOT_TAKEN_OVER = "the standby was Healthy, the primary died, and nobody took over"
FALSE_ROLE = "a role was told that is not true"
NEVER_RESTS = "it does not come to rest"
NOT_WELL = "no fault is left, and it is not well"
WAITS = "writes wait for ever although the nodes hear each other"
FALSE_HEALTH = "Healthy is told and not true"


def after_tick(before: World, world: World, agents: Agents) -> World:
    """The world with what is counted, and with the name of a promise that has just been broken."""
    setup = agents.setup
    hear = _hear_each_other(world, setup)
    close = min(before.close + 1, CLOSE) if hear else 0
    doubt = (0 if close == CLOSE else before.doubt) | _doubt(world, setup, hears=hear)
    twice = 0
    if serves(world, 0) and serves(world, 1):
        twice = before.twice + 1 if (before.close > 0) is (close > 0) and before.twice else 1
    old = _old_reads(before, world)
    world = world._replace(close=close, doubt=doubt, twice=min(twice, APART + setup.slow + 1), old=old)
    if world.split:
        return world._replace(twice=0, old=0, doubt=0, broke="")
    if went_on := _went_on(before, world, agents, 0) or _went_on(before, world, agents, 1):
        return world._replace(broke=went_on)
    if how := _apart(world, setup):
        why = situation(world, setup)
        if why:
            return world._replace(split=f"{how}: {why}", broke="")
        late = world.doubt & CUT_OFF and _latest_is_back(before, world)
        return world._replace(broke=f"{how}: {LATE}" if late else how)
    return world if world.broke else world._replace(broke=_broken(before, world, agents))


def _hear_each_other(world: World, setup: Setup) -> bool:
    if not all(node.power and not node.frozen for node in world.nodes):
        return False
    return (True, True) in ((world.net.vrrp, world.net.repl) if setup.two_paths else (world.net.vrrp,))


def _old_reads(before: World, world: World) -> int:
    for side in (0, 1):
        works_over_the_peers = world.copies[side].disk == "Diskless" and world.copies[side].link == "Connected"
        lacks = world.only[1 - side] == 2 and not world.only[side]
        if serves(world, side) and lacks and not works_over_the_peers:
            return min(before.old + 1, APART + 8)
    return 0


def _doubt(world: World, setup: Setup, *, hears: bool) -> int:
    """What makes each node take the other one for dead just now."""
    found = 0
    nodes = world.nodes
    if any(node.frozen for node in nodes) or world.asleep != (None, None):
        found |= STOOD_STILL
    if hears or not (nodes[0].power and nodes[1].power):
        return found
    if setup.gateway and not (world.net.gateway and all(world.net.reach)):
        return found | CUT_OFF
    ways = [world.net.vrrp, world.net.repl] if setup.two_paths else [world.net.vrrp]
    to_b, to_a = any(way[0] for way in ways), any(way[1] for way in ways)
    return found | (OTHER_PATH if to_a and to_b else ONE_WAY if to_a or to_b else NEITHER)


def situation(world: World, setup: Setup) -> str:
    """Why the nodes could take each other for dead, in words; empty where they should know better."""
    cause = next((word for bit, word in DOUBTS.items() if world.doubt & bit), "")
    if not cause:
        return ""
    if world.doubt & STOOD_STILL:
        return cause
    return f"{cause}, {'both have reached the gateway' if setup.gateway else 'no gateway'}"


def _latest_is_back(before: World, world: World) -> bool:
    """Whether the copy that has just gone ahead, the second one, is that of a node that reaches the gateway."""
    news = [side for side in (0, 1) if world.ahead[side] and not before.ahead[side]]
    return bool(news) and all(world.net.gateway and world.net.reach[side] for side in news)


def _apart(world: World, setup: Setup) -> str:
    """How the nodes go on without knowing of each other; empty where they do not."""
    if setup.data and all(world.ahead):
        return PARTED
    if not world.close and world.twice > APART + setup.slow:
        return BOTH_RUN
    return OLD_COPY if world.old > APART + setup.slow else ""


def _broken(before: World, world: World, agents: Agents) -> str:
    slow = agents.setup.slow
    if world.close and world.twice > TWICE + slow:
        return TWO_SETS
    for side in (0, 1):
        roles = [agents.kept[each.nodes[side].kept].role for each in (before, world)]
        takes = roles[1] == "MASTER" and roles[0] != "MASTER"
        if takes and serves(before, 1 - side) and serves(world, 1 - side) and world.close == CLOSE:
            return SECOND_SET
        if _false_role(world, side, agents):
            return FALSE_ROLE
    return ""


def _went_on(before: World, world: World, agents: Agents, side: int) -> str:
    """A copy begins a generation of its own: nobody is reached that could say what the other one does, or that one is
    heard, and its copy is as good as before."""
    node, old, other = before.nodes[side], before.copies[side], world.copies[1 - side]
    if not world.ahead[side] or before.ahead[side] or old.peer_disk in OLD:
        return ""
    if world.copies[side].link == "Connected" or (world.nodes[1 - side].power and not other.up):
        return ""
    if any(link.word for link in node.links):
        if not any(link.word for link in world.nodes[side].links):
            return ""  # it has just fallen silent
        counts = world.nodes[1 - side].power and other.up and other.disk == "UpToDate"
        return IGNORED if counts else ""
    return WENT_ON if agents.setup.gateway and node.unanswered >= UNANSWERED else ""


def _false_role(world: World, side: int, agents: Agents) -> bool:
    """MASTER is told of a node that has nothing of the primary, or something else of one that serves."""
    node = world.nodes[side]
    role = agents.kept[node.kept].role
    if not node.power or node.frozen:
        return False
    if role == "MASTER":
        return not owns(node) and node.vrrp != "MASTER"
    return serves(world, side)


def at_rest(world: World, agents: Agents) -> str:
    """The promise that is broken where nothing moves any more; empty where none is."""
    if world.split:
        return ""
    nodes = world.nodes
    roles = [agents.kept[node.kept].role if node.power else None for node in nodes]
    serving = [serves(world, side) for side in (0, 1)]
    good = [node.power and not node.frozen and node.severity == 0 for node in nodes]
    if is_whole(world) and not (all(good) and sorted(map(str, roles)) == ["BACKUP", "MASTER"] and sum(serving) == 1):
        return f"{NOT_WELL}: {_what_is_told(world, agents)}"
    if world.close and any(copy.suspended for copy in world.copies):
        return WAITS
    for side in (0, 1):
        other = world.copies[1 - side]
        if not good[side]:
            continue
        true = nodes[side].vrrp == roles[side] and serving[side] is (roles[side] == "MASTER")
        if roles[side] == "BACKUP":
            true = true and nodes[1 - side].vrrp == "MASTER" and (serving[1 - side] or nodes[1 - side].severity > 1)
        if agents.setup.data:
            true = true and world.copies[side].disk == other.disk == "UpToDate"
        if not true or (roles[side] == "MASTER" and not nodes[1 - side].power):
            return FALSE_HEALTH
    return ""


def _what_is_told(world: World, agents: Agents) -> str:
    """What the nodes that are not well say."""
    turns = [agents.turn(side, world.nodes[side], view(world, side))[1] for side in (0, 1)]
    told = [turn.text for turn, node in zip(turns, world.nodes, strict=True) if node.severity]
    return "; ".join(sorted({re.sub(r"192\S+", "...", text) for text in told}))


def healthy_standby(world: World, agents: Agents) -> int | None:
    """The side that says it is a healthy standby, and not only because the primary is the one that fails."""
    for side in (0, 1):
        node = world.nodes[side]
        if node.power and not node.frozen and node.severity == 0 and agents.kept[node.kept].role == "BACKUP":
            return side if serves(world, 1 - side) and not node.broken else None
    return None
