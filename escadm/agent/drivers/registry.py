"""Which driver a unit gets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from escadm.agent.drivers.drbd import Drbd, MayPromote, Promotion
from escadm.agent.drivers.driver import Driver, Filesystem, Mark, Post, Unsupported
from escadm.agent.drivers.keepalived import Keepalived, RoleFeed
from escadm.agent.drivers.process import Service
from escadm.agent.drivers.systemd import SystemdUnit
from escadm.agent.inputs.drbd_events import ReplicaFeed
from escadm.agent.inputs.looks import Looks
from escadm.core.types import FilesystemSpec, KeepalivedSpec, Kind, Plan, ProcessSpec, SystemdSpec, Unit
from escadm.paths import Paths
from escadm.system.systemd import is_booted, unit_exists


@dataclass(frozen=True, slots=True)
class DriverMaker:
    """What the drivers of a node work with; called with a unit, it gives the driver for one incarnation of that."""

    paths: Paths
    looks: Looks
    feed: RoleFeed
    replicas: ReplicaFeed
    gate: MayPromote
    wake: Callable[[], None]

    def __call__(self, unit: Unit, post: Post) -> Driver:
        match unit.spec, unit.kind:
            case KeepalivedSpec() as spec, _:
                driver: Driver = Keepalived(unit, spec, post, self.paths, self.looks, feed=self.feed)
            case ProcessSpec() as spec, _:
                driver = Service(unit, spec, post, self.paths, self.looks)
            case FilesystemSpec() as spec, _:
                driver = Filesystem(unit, spec, post, self.paths)
            case _, Kind.GROUP:
                driver = Mark(post)
            case _, Kind.DRBD:
                driver = Drbd(unit, post, self.replicas, self.paths.fence_peer)
            case _, Kind.PROMOTION:
                driver = Promotion(unit, post, self.replicas, self.gate)
            case SystemdSpec() as spec, _ if is_booted(self.paths):
                driver = SystemdUnit(unit, spec, post, self.paths, self.looks, wake=self.wake)
            case _:
                driver = Unsupported(post, "is a systemd unit, and systemd does not run here: give it a command")
        return driver


def absent_units(plan: Plan, paths: Paths) -> frozenset[str]:
    """Resources that are systemd units, and that this machine does not have."""
    specs = {name: unit.spec for name, unit in plan.units.items()}
    return frozenset(
        name
        for name, spec in specs.items()
        if isinstance(spec, SystemdSpec)
        and (not unit_exists(spec.unit, paths) or (spec.implied and not plan.units[name].mentioned))
    )
