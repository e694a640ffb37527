"""The nouns of escadm: frozen values that are parsed once and compared with ``==``.

Standard library only, no I/O. Durations are seconds as floats unless a name says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address
from typing import TypeVar

from escadm.core.drbd.evidence import Replication
from escadm.core.reason import Reason
from escadm.core.trust import Acquaintance

Address = IPv4Address | IPv6Address

MASTER_CONDITION = "keepalived:master"
PROMOTION = "drbd:master"
VRRP_INSTANCE = "ESC"


class Role(StrEnum):
    """The role that a node has *reached*, in the words of ``keepalived_state``."""

    MASTER = "MASTER"
    BACKUP = "BACKUP"
    FAULT = "FAULT"
    STANDALONE = "STANDALONE"


class Vrrp(StrEnum):
    """The last word of keepalived about this node: a proposal, not a role that was reached."""

    UNKNOWN = "UNKNOWN"
    MASTER = "MASTER"
    BACKUP = "BACKUP"
    FAULT = "FAULT"
    STOP = "STOP"


class Kind(StrEnum):
    """What a unit is, and so which driver starts and stops it."""

    GROUP = "group"
    PROCESS = "process"
    UNIT = "unit"
    DRBD = "drbd"
    FILESYSTEM = "filesystem"
    KEEPALIVED = "keepalived"
    PROMOTION = "promotion"  # the implied unit ``drbd:master``: start = promote, stop = demote
    CONDITION = "condition"  # the implied unit ``keepalived:master``: VRRP makes it true, we only watch

    @property
    def is_implied(self) -> bool:
        """Whether a pair brings it along, so that no resource of the file is it."""
        return self in (Kind.PROMOTION, Kind.CONDITION)

    @property
    def takes_the_role(self) -> bool:
        """Whether the role of the primary is not reached before it is up."""
        return self in (Kind.PROMOTION, Kind.FILESYSTEM)

    @property
    def is_interruptible(self) -> bool:
        """Whether its start may be broken off by a stop."""
        return self not in (Kind.FILESYSTEM, Kind.DRBD)


class UnitState(StrEnum):
    """Where a unit stands in its life; see core/lifecycle.py for the table."""

    STOPPED = "stopped"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    KILLING = "killing"
    BACKOFF = "backoff"
    FAILED = "failed"


class Secret(str):
    """A string that never shows itself: repr and str are masked; ``reveal()`` gives the text."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Secret('***')"

    def __str__(self) -> str:
        return "***"

    def __format__(self, spec: str) -> str:
        return format("***", spec)

    def reveal(self) -> str:
        """The text itself, for the one file that needs it."""
        return "".join(self)


# --- how a unit is known to be up -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Alive:
    """Up when the process has lived for ``seconds``."""

    seconds: float = 0.1


@dataclass(frozen=True, slots=True)
class Tcp:
    """Up when a TCP connection to ``host``:``port`` is accepted."""

    port: int
    host: str = "127.0.0.1"
    timeout: float = 2.0


@dataclass(frozen=True, slots=True)
class Http:
    """Up when a GET of ``url`` is answered with a status below 400."""

    url: str
    timeout: float = 2.0


@dataclass(frozen=True, slots=True)
class Exec:
    """Up when ``argv`` (run as the service's user, in its environment) exits with 0."""

    argv: tuple[str, ...]
    timeout: float = 10.0


@dataclass(frozen=True, slots=True)
class Notify:
    """Up when the service sends ``READY=1`` to ``NOTIFY_SOCKET`` (sd_notify(3))."""


Probe = Alive | Tcp | Http | Exec | Notify


@dataclass(frozen=True, slots=True)
class Check:
    """A probe that is repeated while the unit runs: ``failures`` bad answers in a row = the unit failed."""

    probe: Tcp | Http | Exec
    interval: float = 5.0
    failures: int = 3


# --- what a unit is made of -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """A command in a process group of its own. ``argv`` already ends with ``option`` where there is one."""

    argv: tuple[str, ...]
    user: str | None = None
    environment: tuple[tuple[str, str], ...] = ()
    working_directory: str | None = None
    stop_signal: str = "SIGTERM"


@dataclass(frozen=True, slots=True)
class SystemdSpec:
    """A systemd unit. ``implied``: a guess, NAME.service, for a resource without a command; it is the same unit."""

    unit: str
    implied: bool = field(default=False, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class FilesystemSpec:
    """A mount; ``device`` None = the directory is local and nothing is mounted."""

    mount_point: str
    device: str | None = None
    fstype: str = "ext4"
    options: str = "noatime"


@dataclass(frozen=True, slots=True)
class DrbdSpec:
    """The replicated volume: resource ``esc`` between two nodes. Option maps keep the file's order.

    ``major``: 8 or 9, the kernel's DRBD; the two do not have all their words in the same places.
    """

    nodes: tuple[Address, Address]
    disk: str
    device: str
    port: int
    net_options: tuple[tuple[str, str], ...] = ()
    disk_options: tuple[tuple[str, str], ...] = ()
    shared_secret: Secret | None = None
    major: int = 9


@dataclass(frozen=True, slots=True)
class KeepalivedSpec:
    """The VRRP instance of this node. ``vip_prefix`` None = a host address (/32, /128).

    ``peer_paths``: own and peer's address of each path over which the agents talk, VRRP's first.
    """

    vip: Address
    interface: str
    vip_interface: str
    virtual_router_id: int
    vip_prefix: int | None = None
    advert_interval: float = 1.0
    priority: int = 250
    unicast_source: Address | None = None
    unicast_peers: tuple[Address, ...] = ()
    gateway: tuple[Address, ...] = ()
    peer_paths: tuple[tuple[Address, Address], ...] = ()


Spec = ProcessSpec | SystemdSpec | FilesystemSpec | DrbdSpec | KeepalivedSpec
AnySpec = TypeVar("AnySpec", bound=Spec)


# --- the plan ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Unit:
    """One rung of the ladder: something that is started, reached, and stopped.

    ``needs`` are names of units that must be reached first, sorted. ``startup`` False = not started on its
    own. ``mentioned``: the administrator's file names it (a catalogue entry nobody mentions and that is not
    installed is nobody's concern). ``==`` over everything but ``needs`` decides whether a running unit must be
    restarted after a reload, see :meth:`same_process`.
    """

    name: str
    kind: Kind
    needs: tuple[str, ...] = ()
    spec: Spec | None = None
    group: str | None = None
    startup: bool = True
    run_forever: bool = False
    mentioned: bool = False
    ready: Probe = Alive()
    check: Check | None = None
    start_timeout: float = 90.0
    stop_timeout: float = 30.0

    def same_process(self, other: Unit) -> bool:
        """Whether ``other`` may go on as this unit without a restart (its place in the order may differ)."""
        return (self.kind, self.spec) == (other.kind, other.spec)


def spec_of(unit: Unit, wanted: type[AnySpec]) -> AnySpec:
    """What the unit is made of, as its kind has it; TypeError where that is another one."""
    if not isinstance(unit.spec, wanted):
        raise TypeError(f"{unit.name}: a {unit.kind} has a {wanted.__name__}, this one a {type(unit.spec).__name__}")
    return unit.spec


@dataclass(frozen=True, slots=True)
class Plan:
    """All units of a node by name, in start order, and the engines' specs. Replaced as a whole, never edited."""

    units: Mapping[str, Unit]
    keepalived: KeepalivedSpec | None = None
    drbd: DrbdSpec | None = None

    def with_members(self, names: Iterable[str]) -> frozenset[str]:
        """``names``, and for each group among them its members: who names a group means all of it.

        Members that are switched off at startup are meant only by their own names.
        """
        named = frozenset(names)
        return named | {unit.name for unit in self.units.values() if unit.group in named and unit.startup}

    @property
    def is_pair(self) -> bool:
        """Whether VRRP decides about the role of this node."""
        return self.keepalived is not None


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What a configuration is held against: the machine's interfaces, by name, with their addresses.

    ``strict`` False (a tree below ``--root``) turns what does not fit this machine from an error to a warning.
    ``drbd_major``: 8 or 9, the kernel's DRBD. ``enabled``: what systemd starts with the machine, each with the unit to
    disable against that. ``masked``: units that systemd must not start.
    """

    interfaces: Mapping[str, tuple[Address, ...]]
    strict: bool = True
    drbd_major: int = 9
    enabled: Mapping[str, str] = field(default_factory=dict)
    masked: frozenset[str] = frozenset()

    @property
    def addresses(self) -> frozenset[Address]:
        return frozenset(address for each in self.interfaces.values() for address in each)


# --- steps ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Start:
    """Start the unit: everything it needs has been reached."""

    name: str


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop the unit: nothing above it runs."""

    name: str


Step = Start | Stop


# --- findings and files -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, order=True)
class Where:
    """A place in a file, lines and columns from 1; line 0 = the file as a whole."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding: ``FILE:LINE:COLUMN: PATH: what is wrong: what to do``.

    ``of_machine``: the file is sound, it is this machine that does not have, or not yet, what the file names.
    """

    where: Where
    path: str
    message: str
    hint: str = ""
    warning: bool = False
    of_machine: bool = field(default=False, compare=False)

    def __str__(self) -> str:
        parts = [str(self.where), "warning" if self.warning else "", self.path, self.message, self.hint]
        return ": ".join(part for part in parts if part)


@dataclass(frozen=True, slots=True)
class RenderedFile:
    """A file as it should be: absolute path (root included), text, permission bits."""

    path: str
    text: str
    mode: int = 0o644


class ChangeClass(StrEnum):
    """How a change of the configuration can be taken up; see docs/explanation/reload.md."""

    LOCAL = "local"
    PAIRED = "paired"
    RESTART = "restart"


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between two plans: ``what`` went from ``old`` to ``new`` (both for people)."""

    what: str
    old: str
    new: str
    kind: ChangeClass


# --- truth ------------------------------------------------------------------------------------------------


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
