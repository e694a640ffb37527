"""What DRBD says about the replicated volume, and what follows from it.

DRBD 8.4 and 9 tell the same in the same words, ``drbdsetup events2 --now --statistics RESOURCE`` (drbdsetup(8)); the
differences are in names that nobody here looks at. All of it pure: text in, values and sentences out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from escadm.core.specs import masked

KIB = 1024

STAND_ALONE = "StandAlone"
SYNCS = frozenset({"SyncSource", "SyncTarget"})
CONNECTING = frozenset({"Connecting", "WFConnection", "Unconnected", "Timeout", "BrokenPipe", "NetworkFailure"})


@dataclass(frozen=True, slots=True)
class Replica:
    """This node's view of the volume, in DRBD's own words; ``Unknown`` where it says nothing.

    ``connection``: Connected, Connecting (8.4: WFConnection), StandAlone, … ``replication``: Established, SyncSource,
    SyncTarget, … or Off. ``out_of_sync`` and ``size`` in bytes. ``suspended``: why writes wait (``fencing``, ``user``,
    ``no-data`` or several by comma), empty where they do not. ``written``: bytes since the disk was attached.

    What one look cannot tell, whoever goes on looking adds (core/drbd/pace.py): ``generation`` of the data, empty = not
    asked for; ``last_write``, when the data was last seen to change, None while connected; ``bytes_per_second``, how
    fast a sync goes.
    """

    role: str = "Unknown"
    connection: str = "Unknown"
    peer_role: str = "Unknown"
    disk: str = "Unknown"
    peer_disk: str = "Unknown"
    replication: str = "Off"
    out_of_sync: int = 0
    size: int = 0
    suspended: str = ""
    written: int = 0
    generation: str = ""
    last_write: str | None = None
    bytes_per_second: float | None = None

    @property
    def words(self) -> str:
        """The state in DRBD's words, without the figures that change all the time."""
        waits = f" suspended:{self.suspended}" if self.suspended else ""
        return f"{self.connection} {self.role}/{self.peer_role} {self.disk}/{self.peer_disk} {self.replication}{waits}"

    @property
    def is_primary(self) -> bool:
        return self.role == "Primary"

    @property
    def is_connected(self) -> bool:
        return self.connection == "Connected"

    @property
    def has_stopped(self) -> bool:
        """Whether DRBD does not even try to connect (StandAlone)."""
        return self.connection == STAND_ALONE

    @property
    def is_syncing(self) -> bool:
        """Whether one node is being copied to the other right now; a sync that is paused is not."""
        return self.replication in SYNCS

    @property
    def is_quiet(self) -> bool:
        """Whether nothing changes here without an event of DRBD."""
        return self.is_connected and self.replication in ("Established", "Off") and not self.out_of_sync

    @property
    def has_disk(self) -> bool:
        return self.disk not in ("Diskless", "Failed", "Detaching")

    @property
    def uses_peers_disk(self) -> bool:
        """Whether it is Primary without a disk of its own, and the peer's serves it."""
        return self.is_primary and not self.has_disk and self.is_connected and self.peer_disk == "UpToDate"

    @property
    def done(self) -> float | None:
        """The part of the volume that is in sync, 0 to 1; None where nothing is known of it."""
        if not self.size:
            return None
        return max(0.0, 1.0 - self.out_of_sync / self.size)

    @property
    def seconds_to_go(self) -> float | None:
        """How long a sync will take at its present speed; None where that is not known."""
        speed = self.bytes_per_second or 0.0
        return self.out_of_sync / speed if speed >= 1 else None


def parse_events2(text: str) -> Replica | None:
    """The state that the lines of ``events2 --now --statistics`` for one resource describe; None without one."""
    resource: dict[str, str] | None = None
    parts: dict[str, dict[str, str]] = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) < 3 or words[0] not in ("exists", "create", "change"):
            continue
        fields = dict(word.split(":", 1) for word in words[2:] if ":" in word)
        if words[1] == "resource":
            resource = fields
        else:
            parts[words[1]] = fields
    if resource is None:
        return None
    connection, device = parts.get("connection", {}), parts.get("device", {})
    peer = parts.get("peer-device", {})
    told, waits = connection.get("connection", "StandAlone"), resource.get("suspended", "no")
    return Replica(
        role=resource.get("role", "Unknown"),
        connection="Connecting" if told in CONNECTING else told,
        peer_role=connection.get("role", "Unknown"),
        disk=device.get("disk", "Unknown"),
        peer_disk=peer.get("peer-disk", "Unknown"),
        replication=peer.get("replication", "Off"),
        out_of_sync=_number(peer.get("out-of-sync")) * KIB,
        size=_number(device.get("size")) * KIB,
        suspended="" if waits == "no" else waits,
        written=_number(device.get("written")) * KIB,
    )


def _number(text: str | None) -> int:
    return int(text) if text and text.isdigit() else 0


def parse_generation(text: str) -> str:
    """The current data generation in what ``get-gi`` says; empty where there is none.

    DRBD marks a Primary's with the lowest bit: it is left out, so that equal generations look equal.
    """
    found = re.search(r"^([0-9A-F]{16}):", text, re.MULTILINE)
    return f"{int(found[1], 16) & ~1:016X}" if found else ""


class Gate(StrEnum):
    """Whether a promotion may be tried."""

    GO = "go"
    WAIT = "wait"
    REFUSE = "refuse"


CONSISTENT = "the data is consistent, but whether it is the newest only the peer knows"

UNFIT = {
    "UpToDate": "",
    "Consistent": "",
    "Attaching": "",
    "Negotiating": "",
    "Inconsistent": "its data is Inconsistent: a sync from the peer has not been completed",
    "Outdated": "its data is Outdated: the peer has newer data, or may have",
    "Diskless": "it has no disk (Diskless): the disk was lost or never attached",
    "Failed": "its disk has failed",
    "DUnknown": "the state of its disk is not known",
}


def may_promote(replica: Replica | None) -> tuple[Gate, str]:
    """Whether this node may become Primary now, with the reason as a sentence where it may not.

    WAIT: it may be able to within seconds. REFUSE: only an administrator or a resync changes it.
    """
    if replica is None:
        return Gate.REFUSE, "DRBD does not have the volume up"
    if replica.disk in ("Attaching", "Negotiating"):
        return Gate.WAIT, f"the disk is {replica.disk}"
    if replica.disk == "Consistent" and not replica.has_stopped:
        return Gate.WAIT, f"{CONSISTENT}: waiting for it"
    why = why_unfit(replica)  # whether the peer is Primary still DRBD finds out best, by trying
    return (Gate.REFUSE, why) if why else (Gate.GO, "")


def why_unfit(replica: Replica | None) -> str:
    """Why the data of this node must not be served, empty where it may; said before an election needs it."""
    if replica is None:
        return "DRBD does not have the volume up"
    why = UNFIT.get(replica.disk, f"the state of its disk is {replica.disk}")
    if why or replica.is_primary or replica.is_connected:
        return why
    if replica.disk == "Consistent":
        return CONSISTENT
    if replica.disk == "UpToDate" and replica.has_stopped:
        return "replication has stopped (StandAlone), and the peer may have newer data"
    return ""


NO_MODULE = "this kernel has no DRBD (module drbd)"

REFUSALS = {
    "Multiple primaries": "the peer is Primary, or DRBD has not noticed yet that it is gone",
    "Need access to UpToDate data": "neither this node nor the peer offers UpToDate data",
    "peer is not outdated": "it is not known what the peer does, which DRBD has no connection to",
    "Device is held open": "something holds the device open",
    "Can not start": "DRBD cannot start the operation in its present state",
    "Concurrent state changes": "another change of DRBD's state is under way",
    "In transient state": "another change of DRBD's state is under way",
    "Timeout in operation": "the peer did not answer in time",
    "refused by peer": "the peer refused it",
    "Peer may not become primary": "the peer holds the device open",
    "modprobe drbd": NO_MODULE,
    "Could not stat /proc/drbd": NO_MODULE,
}

RETRIED = (
    "Multiple primaries",
    "peer is not outdated",
    "Concurrent state changes",
    "In transient state",
    "Timeout in operation",
)


def explain_refusal(text: str) -> tuple[str, bool]:
    """What DRBD's refusal means, in plain words, and whether it makes sense to try again within seconds."""
    for words, meaning in REFUSALS.items():
        if words.lower() in text.lower():
            return meaning, words in RETRIED
    return last_words(text) or "DRBD gave no reason", False


def last_words(text: str) -> str:
    """The last line of a command's complaint that says something; drbdadm ends its own with how a command ended."""
    lines = [line.strip() for line in masked(text).splitlines() if line.strip()]
    telling = [line for line in lines if not line.startswith("Command '")]
    return (telling or lines or [""])[-1]
