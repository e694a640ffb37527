"""What is published of a node: its verdict, its resources, its changes of role, all of it as one value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from escadm.core.drbd.evidence import Replication
from escadm.core.reason import Reason
from escadm.core.states import Role, Vrrp
from escadm.core.trust import Acquaintance


class Health(StrEnum):
    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Verdict:
    """``severity`` 0 OK, 1 warning, 2 critical, 3 unknown; ``text`` is the tail of the status line; ``findings``: all
    that speaks against healthy, the gravest first."""

    severity: int
    health: Health
    text: str
    findings: tuple[Reason, ...] = ()

    @property
    def reasons(self) -> tuple[str, ...]:
        """The findings as sentences."""
        return tuple(each.sentence for each in self.findings)


@dataclass(frozen=True, slots=True)
class ResourceStatus:
    """A resource as people see it. ``state``: a UnitState, or master, backup, disabled, not installed."""

    name: str
    state: str
    pgid: int = 0
    since: str | None = None
    detail: str = ""
    restarts: int = 0


@dataclass(frozen=True, slots=True)
class RoleChange:
    """One change of role that this node went through; ``at`` ISO 8601 UTC, ``phases`` name -> seconds."""

    before: str
    after: str
    cause: str
    at: str
    phases: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the agent publishes and ``status`` prints. ``replication`` None = there is no volume, or it is not up.
    ``peer`` None = its address is not known. ``vrrp``: keepalived's last word; None on a standalone node.
    ``rule``: the rule of the role that applies, None where that is not known.
    """

    verdict: Verdict
    role: Role | None = None
    role_since: str | None = None
    mode: str = "OPERATION"
    resources: tuple[ResourceStatus, ...] = ()
    history: tuple[RoleChange, ...] = ()
    replication: Replication | None = None
    peer: Acquaintance | None = None
    vrrp: Vrrp | None = None
    rule: Reason | None = None
