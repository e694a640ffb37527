"""What the search finds and everybody knows: two primaries that are accepted. A promise that is broken never is.

The test compares: nothing else may be found, and what stands here must be found. docs/explanation/what-a-pair-can-
promise.md says the same in words.
"""

from __future__ import annotations

from tests.model.rules import (
    BOTH_RUN,
    DOUBTS,
    NEITHER,
    OLD_COPY,
    ONE_WAY,
    PARTED,
    STOOD_STILL,
)
from tests.model.search import Search
from tests.model.state import Setup

SETUPS = {
    setup.name: setup
    for setup in (
        Setup("full"),
        Setup("slow-service", slow=6),
        Setup("no-gateway", gateway=False),
        Setup("one-path", two_paths=False),
        Setup("no-data", data=False),
        Setup("vrrp-alone", data=False, gateway=False, two_paths=False),
    )
}

GATEWAY, NO_GATEWAY = "both have reached the gateway", "no gateway"
STOOD = DOUBTS[STOOD_STILL]
ONCE_STOOD = frozenset(f"{how}: {STOOD}" for how in (PARTED, BOTH_RUN, OLD_COPY))


def _deaf(how: str, third: str) -> frozenset[str]:
    return frozenset(f"{how}: {DOUBTS[doubt]}, {third}" for doubt in (NEITHER, ONE_WAY))


ACCEPTED: dict[str, frozenset[str]] = {
    "full": _deaf(PARTED, GATEWAY) | ONCE_STOOD,
    "slow-service": _deaf(PARTED, GATEWAY) | ONCE_STOOD,
    "no-gateway": _deaf(PARTED, NO_GATEWAY) | ONCE_STOOD,
    "one-path": _deaf(PARTED, GATEWAY) | ONCE_STOOD,
    "no-data": frozenset({f"{BOTH_RUN}: {DOUBTS[NEITHER]}, {GATEWAY}", f"{BOTH_RUN}: {STOOD}"}),
    "vrrp-alone": frozenset({f"{BOTH_RUN}: {DOUBTS[NEITHER]}, {NO_GATEWAY}", f"{BOTH_RUN}: {STOOD}"}),
}
ONE_WAY_PARTED = frozenset({f"{PARTED}: {DOUBTS[ONE_WAY]}, {GATEWAY}"})
RARE: dict[str, frozenset[str]] = {"full": ONE_WAY_PARTED, "slow-service": ONE_WAY_PARTED}
"""Accepted too, and so far from a healthy pair that only the long search comes to it."""


def unknown(search: Search) -> list[str]:
    """What was found that is listed nowhere."""
    name = search.setup.name
    return sorted({*search.splits} - ACCEPTED[name]) + sorted(search.broken)


def not_found(search: Search) -> list[str]:
    """What is listed, and should have been found by now."""
    name = search.setup.name
    return sorted(ACCEPTED[name] - RARE.get(name, frozenset()) - {*search.splits})
