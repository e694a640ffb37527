"""The peer: until when it lives for certain."""

from __future__ import annotations

from math import inf

from escadm.core.situation import Situation

SOONEST, LATEST = 0.2, 1.0

FRESH = 1.9
"""Intervals between adverts: a peer that was heard within them lives. One that has just died is not waited for: VRRP
gives its role away three intervals after its last advert, and so two after its last datagram at the earliest."""


def heartbeat_interval(advert_interval: float, longest: float = LATEST) -> float:
    """Seconds between two datagrams: as often as VRRP speaks, but between SOONEST and ``longest``."""
    return min(max(advert_interval, SOONEST), longest)


def heard_until(seen: Situation, longest: float = inf) -> float:
    """Until when the peer's last datagram says that it lives; now, where there is none.

    ``longest``: the interval that counts where adverts are rarer than that.
    """
    spec = seen.plan.keepalived
    if spec is None or seen.heard_at is None:
        return seen.now
    return seen.heard_at + FRESH * heartbeat_interval(spec.advert_interval, longest)


def is_in_touch(seen: Situation) -> bool:
    """Whether the peer is heard just now: DRBD is connected, or its next datagram is not late yet."""
    connected = seen.replica is not None and seen.replica.is_connected
    return connected or seen.now < heard_until(seen, LATEST)
