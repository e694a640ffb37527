"""VRRP's adverts as this node sees them on its wire: its own that leave, and those of others that come in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from escadm.core.specs import Address

SILENT_AFTER = 3.5
"""Intervals; VRRP itself gives a router up after three and the skew, which is less than one."""
LEAVES = 0
"""The priority of a router that gives its role up."""


@dataclass(frozen=True, slots=True)
class Advert:
    """One advert (RFC 5798, 5.1). ``router``: the VRID. ``interval``: seconds, as its sender tells them."""

    source: Address
    target: Address
    router: int
    priority: int
    interval: float
    addresses: tuple[Address, ...] = ()
    version: int = 3
    hops: int = 255


@dataclass(frozen=True, slots=True)
class Sighting:
    """The adverts of one source: the last one, when it was seen, and since when they have come without a break.

    Times are readings of one monotonic clock, in seconds.
    """

    advert: Advert
    since: float
    last: float

    @property
    def silent_at(self) -> float:
        """When its silence begins to count, if nothing more is seen of it."""
        return self.last if self.advert.priority == LEAVES else self.last + SILENT_AFTER * self.advert.interval

    def goes_on(self, now: float) -> bool:
        """Whether its source speaks still."""
        return now < self.silent_at


@dataclass(frozen=True, slots=True)
class Adverts:
    """What is seen of this node's virtual router. ``since``: from when on, None = it cannot be seen.

    ``own``: what leaves this node. ``others``: what comes in, by its source.
    """

    since: float | None = None
    own: Sighting | None = None
    others: Mapping[Address, Sighting] = field(default_factory=dict)
