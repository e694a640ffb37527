"""Which driver a kind of unit has: the one place that goes by the kind."""

from __future__ import annotations

from collections.abc import Mapping

from escadm.agent.drivers.drbd import Drbd, Promotion
from escadm.agent.drivers.driver import Driver, Post, Tools
from escadm.agent.drivers.filesystem import Filesystem
from escadm.agent.drivers.group import Mark
from escadm.agent.drivers.keepalived import Keepalived
from escadm.agent.drivers.process import Service
from escadm.agent.drivers.systemd import SystemdUnit
from escadm.core.lifecycle import Event
from escadm.core.plan import Plan, Unit
from escadm.core.specs import Kind
from escadm.paths import Paths

KINDS: Mapping[Kind, type[Driver]] = {
    Kind.GROUP: Mark,
    Kind.PROCESS: Service,
    Kind.UNIT: SystemdUnit,
    Kind.DRBD: Drbd,
    Kind.FILESYSTEM: Filesystem,
    Kind.KEEPALIVED: Keepalived,
    Kind.PROMOTION: Promotion,
}
"""Every kind but the condition, which nobody starts: VRRP makes it true."""


class Unsupported(Mark):
    """A unit that cannot be started here; it says so instead of pretending."""

    def __init__(self, unit: Unit, post: Post, tools: Tools, why: str) -> None:
        super().__init__(unit, post, tools)
        self._why = why

    def start(self) -> None:
        self._post(Event.EXITED, self._why)


def make(unit: Unit, post: Post, tools: Tools) -> Driver:
    """The driver for one incarnation of the unit."""
    kind = KINDS[unit.kind]
    why = kind.unsupported(unit, tools.paths)
    return Unsupported(unit, post, tools, why) if why else kind(unit, post, tools)


def absent_units(plan: Plan, paths: Paths) -> frozenset[str]:
    """Resources that this machine does not have."""
    return frozenset(name for name, unit, kind in started(plan) if kind.is_absent(unit, paths))


def started(plan: Plan) -> list[tuple[str, Unit, type[Driver]]]:
    """All units of the plan that somebody has to start, each with its kind."""
    return [(name, unit, KINDS[unit.kind]) for name, unit in plan.units.items() if unit.kind in KINDS]
