"""What only several looks at the volume can tell: the speed of a sync, and when the data was last written."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp

from escadm.core.drbd.state import Replica

SHORTEST = 0.5  # seconds: over less than that a speed says little
SMOOTHED = 5.0  # seconds that the speed is smoothed over


@dataclass(frozen=True, slots=True)
class Pace:
    """How a sync goes: ``left`` bytes to go at the time ``at``, and the smoothed speed, None while it is not known."""

    at: float
    left: int
    bytes_per_second: float | None = None


def pace(before: Pace | None, left: int, now: float) -> Pace:
    """The pace after one more look. More left than ``before``: there is more to do, and it begins anew."""
    if before is None or left > before.left:
        return Pace(now, left)
    seconds = now - before.at
    if seconds < SHORTEST:
        return before
    speed = (before.left - left) / seconds
    if before.bytes_per_second is not None:
        speed = before.bytes_per_second + (1 - exp(-seconds / SMOOTHED)) * (speed - before.bytes_per_second)
    return Pace(now, left, speed)


def last_write(before: Replica | None, seen: Replica, known: str | None, now: str) -> str | None:
    """When the data was last seen to change: ``now`` if it has since ``before``, else what was ``known``."""
    return now if before is not None and seen.written > before.written else known


def needs_generation(before: Replica | None, seen: Replica) -> bool:
    """Whether the data's generation may have changed: with the state, and with a write that the peer does not have."""
    if before is None or seen.words != before.words:
        return True
    return not seen.is_connected and seen.written != before.written
