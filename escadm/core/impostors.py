"""Impostors, who speak with the peer's address: noticed, told once, forgotten after a while."""

from __future__ import annotations

from dataclasses import dataclass, field

from escadm.core.session import FORGED, NO_KEY, OTHER_KEY, OWN_KEY, ROUTED, STRANGE, fingerprint

LASTS = 30.0  # seconds; what a stranger does meanwhile is told once
MOST_KEYS = 4

HINTS = {
    OTHER_KEY: "if the peer was replaced: escadm ha trust",
    OWN_KEY: "both nodes have the same node.key: remove it on one of them, and restart esc_service there",
    NO_KEY: "if the peer went back to an older version: escadm ha trust --forget",
    FORGED: "",
    ROUTED: "",
    STRANGE: "",
}
"""What can be strange about a datagram, the most telling first, and what to do about it."""


@dataclass(slots=True)
class Impostors:
    """What was heard with the peer's ``address`` that was not the peer's. ``keys``: those offered, the latest last."""

    address: str
    keys: dict[bytes, float] = field(default_factory=dict)
    _until: dict[str, float] = field(default_factory=dict)

    def note(self, doubt: str, key: bytes | None, now: float) -> bool:
        """Take note of a datagram; whether it is the first of its kind in a while."""
        self.expire(now)
        is_new = doubt not in self._until
        self._until[doubt] = now + LASTS
        if key is not None:
            self.keys.pop(key, None)
            self.keys[key] = now + LASTS
            while len(self.keys) > MOST_KEYS:
                self.keys.pop(next(iter(self.keys)))
        return is_new

    def expire(self, now: float) -> None:
        """Forget what has not been heard for a while."""
        self._until = {doubt: until for doubt, until in self._until.items() if until > now}
        self.keys = {key: until for key, until in self.keys.items() if until > now}

    def sentence(self) -> str:
        """The most telling of them, with the way out; empty where nobody was heard."""
        return next((self.describe(each) for each in HINTS if each in self._until), "")

    def describe(self, doubt: str) -> str:
        """One kind of them, with the way out."""
        told = f"somebody else speaks with the peer's address {self.address}, {doubt}"
        if doubt == OTHER_KEY and len(self.keys) == 1:
            told += f" {fingerprint(next(iter(self.keys)))}"
        return f"{told}: {HINTS[doubt]}" if HINTS[doubt] else told
