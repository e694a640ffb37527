"""How the two nodes know each other, as people see it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Acquaintance:
    """The peer's ``address`` and whether it is ``heard``; the fingerprints of this node's key and of the peer's pinned
    one, empty where there is none (yet); ``stranger``: who else speaks with the address, a sentence."""

    address: str
    heard: bool
    node_key: str = ""
    peer_key: str = ""
    stranger: str = ""

    def lines(self) -> list[str]:
        """For ``status -v``."""
        state = "is connected" if self.heard else "is not connected"
        key = f"its key is {self.peer_key}" if self.peer_key else "its key is not known yet"
        found = [f"peer {self.address} {state}: {key}"]
        found += [f"this node's key is {self.node_key}"] if self.node_key else []
        return found + ([self.stranger] if self.stranger else [])


def encode(known: Acquaintance) -> dict[str, object]:
    """Ready for ``json.dumps``."""
    return {
        "address": known.address,
        "heard": known.heard,
        "node_key": known.node_key or None,
        "peer_key": known.peer_key or None,
        "stranger": known.stranger or None,
    }


def decode(data: object) -> Acquaintance | None:
    """What :func:`encode` made of it; None where there is none."""
    if not isinstance(data, Mapping):
        return None
    texts = {key: str(data.get(key) or "") for key in ("address", "node_key", "peer_key", "stranger")}
    return Acquaintance(heard=data.get("heard") is True, **texts)
