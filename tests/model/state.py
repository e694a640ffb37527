"""The world as plain values: two machines, their copies of the data, the paths between them. All of it hashable.

Time goes in ticks of half a second; a time in a state is always a number of ticks from now, so that what is alike
looks alike. Words are plain strings here, as these are hashed millions of times.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import NamedTuple

from escadm.core.plan import Plan
from escadm.core.specs import DrbdSpec, KeepalivedSpec
from tests.unit.core.plans import make_plan

TICK = 0.5

UNITS = ("drbd", "keepalived", "drbd:master", "filesystem", "svc")
DRBD, KEEPALIVED, PROMOTION, FILESYSTEM, SERVICE = range(5)
PRIMARYS = (PROMOTION, FILESYSTEM, SERVICE)

LOW, HIGH = ip_address("192.0.2.8"), ip_address("192.0.2.9")
GATEWAY = ip_address("192.0.2.254")


class Unit(NamedTuple):
    """``left``: ticks until the present state ends, where it ends by itself. ``streak``: failures in a row."""

    state: str = "stopped"
    left: int = 0
    streak: int = 0


class Link(NamedTuple):
    """What the agent has heard on one path: the peer's last word (its number), how long ago, old by what DRBD saw."""

    word: int = 0
    age: int = 7
    stale: bool = False


class Node(NamedTuple):
    """One machine and its agent.

    ``vrrp``: keepalived's word. ``deaf``: ticks since it heard an advert. ``kept``: the number of what the last
    decision left. ``fit``: the fitness file. ``links`` and ``newest``: what was heard, and on which path last.
    ``unanswered``: ticks since the gateway answered, ``asked``: whether that is known yet, ``vouched``: it has answered
    since the peer was missed. ``sure``: ticks until a
    silence of the peer says something. ``switchover``: ticks that one still lasts. ``broken``: the service cannot be
    kept up. ``says``: the number of its own word to the peer. ``act``, ``answer``, ``gate``: what the last decision
    wants of DRBD. ``severity``: of its verdict. ``frozen``: its agent does not run. ``adverts``: ticks for which the
    peer's adverts have come without a break, as they are seen on the wire; below zero: ticks since the last one.
    """

    power: bool = True
    vrrp: str = "UNKNOWN"
    deaf: int = 0
    units: tuple[Unit, ...] = (Unit(),) * len(UNITS)
    stale: bool = False
    kept: int = 0
    fit: bool = True
    links: tuple[Link, Link] = (Link(), Link())
    newest: int = 0
    unanswered: int = 0
    asked: bool = False
    vouched: bool = False
    sure: int = 7
    switchover: int = 0
    broken: bool = False
    says: int = 0
    act: str = ""
    answer: str = ""
    gate: str = ""
    severity: int = 3
    frozen: bool = False
    adverts: int = 0

    def runs(self, index: int) -> bool:
        return self.units[index].state == "running"


class Copy(NamedTuple):
    """One node's copy in DRBD 8.4: ``link`` Connected, Connecting or StandAlone; ``silent``: ticks without an answer.

    ``peer_primary`` and ``peer_disk``: what this side has seen of the other. ``written``: the state of the disk as its
    meta-data have it. ``knows``: they also say that the peer's data is outdated.
    """

    up: bool = False
    primary: bool = False
    link: str = "Connecting"
    silent: int = 0
    disk: str = "Diskless"
    peer_disk: str = "DUnknown"
    peer_primary: bool = False
    suspended: bool = False
    written: str = "UpToDate"
    knows: bool = False


class Net(NamedTuple):
    """Which way packets go. ``vrrp``, ``repl``: from the first node to the second, and back. ``gateway``: it is up.
    ``reach``: whether the cable from each node to it is whole."""

    vrrp: tuple[bool, bool] = (True, True)
    repl: tuple[bool, bool] = (True, True)
    gateway: bool = True
    reach: tuple[bool, bool] = (True, True)


class World(NamedTuple):
    """Everything.

    ``ahead``: which copy has begun a generation of its own since they were alike. ``only``: what is on one copy alone:
    0 nothing, 2 writes that were acknowledged. ``sync``: ticks until a resync is done. ``twice``: ticks for which both
    run the service though a path between the agents works; ``old``: ticks for which a node has served an old copy.
    ``close``: ticks for which the agents have heard each other, both ways. ``doubt``: what makes each
    take the other one for dead since they do not, see rules.py. ``asleep``: a machine that was paused, as it was then;
    it has no power as far as anybody can see. ``split``: both are primary, or were, in a
    way that is accepted (its name): nothing that follows is judged. ``broke``: the promise that the last tick broke.
    """

    nodes: tuple[Node, Node]
    copies: tuple[Copy, Copy] = (Copy(), Copy())
    net: Net = Net()
    ahead: tuple[bool, bool] = (False, False)
    only: tuple[int, int] = (0, 0)
    sync: int = 0
    twice: int = 0
    old: int = 0
    close: int = 0
    doubt: int = 0
    asleep: tuple[tuple[Node, Copy] | None, tuple[Node, Copy] | None] = (None, None)
    split: str = ""
    broke: str = ""


@dataclass(frozen=True)
class Setup:
    """What the pair has. ``slow``: ticks that the service takes to stop."""

    name: str
    data: bool = True
    gateway: bool = True
    two_paths: bool = True
    slow: int = 1

    def plan(self, side: int) -> Plan:
        """The plan of the first (lower address) or the second node."""
        ladder: dict[str, tuple[str, ...]] = {"keepalived": (), "keepalived:master": ("keepalived",)}
        if self.data:
            ladder |= {
                "drbd": (),
                "drbd:master": ("drbd", "keepalived:master"),
                "filesystem": ("drbd:master",),
                "svc": ("filesystem",),
            }
        else:
            ladder |= {"filesystem": ("keepalived:master",), "svc": ("filesystem",)}
        plan = make_plan(ladder)
        own, peer = ((LOW, HIGH), (HIGH, LOW))[side]
        spec = KeepalivedSpec(
            ip_address("192.0.2.1"),
            "lo",
            "lo",
            51,
            gateway=(GATEWAY,) if self.gateway else (),
            peer_paths=((own, peer),) * (2 if self.two_paths else 1),
        )
        drbd = DrbdSpec((LOW, HIGH), "/dev/vdb", "/dev/drbd1", 7789) if self.data else None
        return Plan(plan.units, spec, drbd)


def put(pair: tuple, side: int, value: object) -> tuple:  # type: ignore[type-arg]
    """The pair with one of the two replaced."""
    return (value, pair[1]) if side == 0 else (pair[0], value)
