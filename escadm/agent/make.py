"""Which driver starts and stops a unit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from escadm.agent.driver import Driver, Filesystem, Mark, Post, Unsupported
from escadm.agent.replication import Drbd, Promotion
from escadm.agent.service import Service
from escadm.agent.systemd_unit import SystemdUnit
from escadm.agent.vrrp import Keepalived
from escadm.core.types import FilesystemSpec, KeepalivedSpec, Kind, ProcessSpec, SystemdSpec, Unit
from escadm.system.systemd import is_booted

if TYPE_CHECKING:
    from escadm.agent.node import Node


def make_driver(node: Node, unit: Unit, post: Post) -> Driver:
    """The driver for one incarnation of the unit on this node."""
    match unit.spec, unit.kind:
        case KeepalivedSpec() as spec, _:
            driver: Driver = Keepalived(unit, spec, post, node.paths, node.feed)
        case ProcessSpec() as spec, _:
            driver = Service(unit, spec, post, node.paths)
        case FilesystemSpec() as spec, _:
            driver = Filesystem(unit, spec, post, node.paths)
        case _, Kind.GROUP:
            driver = Mark(post)
        case _, Kind.DRBD:
            driver = Drbd(unit, post, node.replicas, node.paths.fence_peer)
        case _, Kind.PROMOTION:
            driver = Promotion(unit, post, node.replicas, node.fence.gate)
        case SystemdSpec() as spec, _ if is_booted(node.paths):
            driver = SystemdUnit(unit, spec, post, node.paths, node.wake)
        case _:
            driver = Unsupported(post, "is a systemd unit, and systemd does not run here: give it a command")
    return driver
