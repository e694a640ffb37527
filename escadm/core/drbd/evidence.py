"""What a node tells of its copy of the data, for its peer and for whoever has to choose between the two copies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from escadm.core.drbd.state import Replica

LONGEST_WORD = 40
MOST_BYTES = 1 << 63


@dataclass(frozen=True, slots=True)
class Evidence:
    """One node's copy, in DRBD's words. ``generation`` is empty and the times are None where they are not known.

    ``role_since``: since when the node has had its role; ``last_write``: when its data was last seen to change. UTC.
    ``peer_disk``: what its DRBD knows of the other node's copy.
    """

    role: str = "Unknown"
    connection: str = "Unknown"
    disk: str = "Unknown"
    replication: str = "Off"
    out_of_sync: int = 0
    generation: str = ""
    last_write: str | None = None
    role_since: str | None = None
    peer_disk: str = "Unknown"


@dataclass(frozen=True, slots=True)
class Replication:
    """The volume as this node sees it, and what the peer tells of its own copy; None while the peer is not heard."""

    replica: Replica
    peer: Evidence | None = None


def evidence_of(replica: Replica, role_since: str | None) -> Evidence:
    """What is to be told of the copy that ``replica`` is."""
    return Evidence(
        role=replica.role,
        connection=replica.connection,
        disk=replica.disk,
        replication=replica.replication,
        out_of_sync=replica.out_of_sync,
        generation=replica.generation,
        last_write=replica.last_write,
        role_since=role_since,
        peer_disk=replica.peer_disk,
    )


def encode(evidence: Evidence) -> dict[str, object]:
    """Ready for ``json.dumps``."""
    document = asdict(evidence)
    document["out_of_sync_bytes"] = document.pop("out_of_sync")
    return document


def decode(data: object) -> Evidence | None:
    """The evidence in what came from the network; None where that is no mapping.

    Whatever is missing or strange in it is not known; texts are short and printable.
    """
    if not isinstance(data, Mapping):
        return None
    return Evidence(
        role=_word(data, "role") or "Unknown",
        connection=_word(data, "connection") or "Unknown",
        disk=_word(data, "disk") or "Unknown",
        replication=_word(data, "replication") or "Off",
        out_of_sync=_bytes(data.get("out_of_sync_bytes")),
        generation=_word(data, "generation"),
        last_write=_word(data, "last_write") or None,
        role_since=_word(data, "role_since") or None,
        peer_disk=_word(data, "peer_disk") or "Unknown",
    )


def _word(data: Mapping[object, object], key: str) -> str:
    value = data.get(key)
    if not isinstance(value, str):
        return ""
    return "".join(each for each in value[:LONGEST_WORD] if each.isprintable())


def _bytes(value: object) -> int:
    return min(max(value, 0), MOST_BYTES) if isinstance(value, int) and not isinstance(value, bool) else 0
