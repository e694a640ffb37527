"""Who says by ARP that the virtual address is theirs, as it is seen on the wire."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

SETTLE = 1.0
"""Seconds after which a claim has to be heard again: the address that has just left another machine is nobody's."""
LASTS = 25.0
"""Seconds for which a claim counts: the answer to one question may get lost, not to two in a row."""


@dataclass(frozen=True, slots=True)
class Claim:
    """When one machine was first heard to have the address, and when last."""

    since: float
    last: float

    @property
    def old_at(self) -> float:
        """From when on it says nothing any more."""
        return self.last + LASTS

    def counts(self, now: float) -> bool:
        """Whether it was heard again, and not too long ago."""
        return self.last - self.since >= SETTLE and now < self.old_at


Claims = Mapping[str, Claim]
"""By hardware address."""
