"""The peer: until when it lives for certain."""

from __future__ import annotations

from escadm.core.situation import Situation

FRESH = 1.9
"""Intervals between adverts: a peer that was heard within them lives. One that has just died is not waited for: VRRP
gives its role away three intervals after its last advert, and so two after its last datagram at the earliest."""


def heard_until(seen: Situation) -> float:
    """Until when the peer's last datagram says that it lives; now, where there is none."""
    spec = seen.plan.keepalived
    if spec is None or seen.heard_at is None:
        return seen.now
    return seen.heard_at + FRESH * spec.advert_interval
