"""What kinds of unit there are, and what each is made of.

Durations are seconds as floats unless a name says otherwise.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address
from typing import TypeVar

Address = IPv4Address | IPv6Address
VRRP_INSTANCE = "ESC"


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


_IN_WORDS = re.compile(r"""(shared-secret(?:=|\s+))("[^"\n]*"|'[^'\n]*'|(?<==)\S+|[^\s;]+)""")


def masked(text: str) -> str:
    """What a tool of DRBD's says, or was told, without the secret in it."""
    return _IN_WORDS.sub(r"\1***", text)


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
