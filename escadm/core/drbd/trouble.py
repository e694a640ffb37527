"""What is wrong with the replication although the node works: sentences, and both sides beside each other."""

from __future__ import annotations

import re

from escadm.core.drbd.evidence import Evidence
from escadm.core.drbd.state import Replica, why_unfit
from escadm.core.reason import Reason

SUBJECT = "drbd"
UNFIT = "data-unfit"
MORE = ": escadm health says more"
CUT = Reason("drbd-not-connected", SUBJECT, "replication is not connected to the peer")
STOPPED = Reason("drbd-stopped", SUBJECT, f"replication has stopped (StandAlone){MORE}")
STOPPED_THERE = Reason("drbd-stopped", SUBJECT, f"the peer has stopped the replication (StandAlone){MORE}")
SPLIT = Reason(
    "split-brain",
    SUBJECT,
    "split brain: both nodes have written without each other: escadm health shows both sides",
)

SUSPENDED = {
    "fencing": "writes wait until it is known what the peer does",
    "user": "writes wait because somebody has suspended them: drbdadm resume-io esc",
    "no-data": "writes wait because neither node offers UpToDate data",
    "quorum": "writes wait for a quorum",
}

WITHOUT_DISK = (
    "it has no disk ({disk}) and works over the peer's: move the role with escadm switchover, then see to the disk"
)

SYNCS = {
    "SyncSource": "the peer is being brought up to date{progress}",
    "SyncTarget": "{state}being brought up to date from the peer{progress}",
    "PausedSyncS": "bringing the peer up to date is paused{progress}",
    "PausedSyncT": "being brought up to date from the peer is paused{progress}",
    "Ahead": "the link cannot keep up: the peer is behind, and will be brought up to date{progress}",
    "Behind": "the link cannot keep up: behind the primary{progress}",
}

VERIFIES = frozenset({"VerifyS", "VerifyT"})

PEERS_DISK = {
    "Outdated": "the peer's data is Outdated",
    "Diskless": "the peer has no disk (Diskless): what is written is on this node alone",
    "Failed": "the peer's disk has failed: what is written is on this node alone",
}


LOST_PEER = "start the peer, or, if it is lost for good: escadm drbd resolve --keep-local"


def unfitness(replica: Replica, peer: Evidence | None) -> Reason | None:
    """Why the data here must not be served, with the way out; None where it may, and where somebody is at work on it.

    ``peer``: what the peer tells of its copy, None while it is not heard.
    """
    if replica.uses_peers_disk or replica.replication == "SyncTarget":
        return None
    why = why_unfit(replica)
    alone = why and not replica.is_connected and replica.has_disk
    if alone and is_split(replica, peer):
        return SPLIT
    if alone and replica.has_stopped:
        why = f"{why}{MORE}"
    elif alone and peer is None and replica.disk in ("Consistent", "Outdated"):
        why = f"{why}: {LOST_PEER}"
    return Reason(UNFIT, SUBJECT, why) if why else None


def is_split(replica: Replica, peer: Evidence | None) -> bool:
    """Whether both nodes have changes that the other one lacks, and DRBD will not choose between them."""
    stopped = peer is not None and "StandAlone" in (replica.connection, peer.connection)
    return stopped and peer is not None and bool(replica.out_of_sync and peer.out_of_sync) and not replica.is_connected


def degradation(replica: Replica | None, peer: Evidence | None = None) -> Reason | None:
    """What is wrong with the replication although the node works; None when nothing is.

    ``peer``: what the peer tells of its copy.
    """
    if replica is None:
        return None
    waits = [SUSPENDED.get(each, f"writes wait ({each})") for each in replica.suspended.split(",") if each]
    if waits:
        return Reason("writes-wait", SUBJECT, f"{waits[0]} (suspended:{replica.suspended})")
    if replica.uses_peers_disk:
        return Reason("no-disk", SUBJECT, WITHOUT_DISK.format(disk=replica.disk))
    return _together(replica) if replica.is_connected else _apart(replica, peer)


def _apart(replica: Replica, peer: Evidence | None) -> Reason:
    if is_split(replica, peer):
        return SPLIT
    if replica.has_stopped:
        return STOPPED
    if peer is not None and peer.connection == "StandAlone":
        return STOPPED_THERE
    return CUT


def _together(replica: Replica) -> Reason | None:
    code, told = "", ""
    if replica.replication in SYNCS:
        state = "" if replica.disk == "UpToDate" else f"its data is {replica.disk}: "
        code, told = "resync", SYNCS[replica.replication].format(progress=progress(replica), state=state)
    elif replica.peer_disk not in ("UpToDate", "Unknown", "DUnknown"):
        code, told = "peer-disk", PEERS_DISK.get(replica.peer_disk, f"the peer's disk is {replica.peer_disk}")
    elif replica.replication in VERIFIES:
        if replica.out_of_sync:
            told = f"{replica.out_of_sync} bytes differ between the nodes: an online verify has found them"
            code = "out-of-sync"
    elif replica.replication not in ("Established", "Off"):
        code, told = "resync", f"the nodes agree on a resync ({replica.replication})"
    elif replica.out_of_sync and replica.has_disk:
        code = "out-of-sync"
        told = f"{replica.out_of_sync} bytes are out of sync although nothing is being copied"
    return Reason(code, SUBJECT, told) if code else None


def progress(replica: Replica) -> str:
    """Where a sync stands, in brackets and with a blank before them; it says 100% only of what is done."""
    if replica.done is None:
        return ""
    to_go = replica.seconds_to_go
    parts = [f"{int(replica.done * 100)}%", f"{size(replica.out_of_sync)} to go", "" if to_go is None else clock(to_go)]
    return f" ({', '.join(part for part in parts if part)})"


def size(count: int) -> str:
    """Bytes for people: ``36 KiB``."""
    for unit, name in ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB")):
        if count >= unit:
            return f"{count / unit:.{0 if count >= 10 * unit else 1}f} {name}"
    return f"{count / 1024:.0f} KiB" if count else "nothing"


def clock(seconds: float) -> str:
    """Seconds for people: ``0:12``, ``1:02:03``."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"


def side_by_side(own: Evidence, peer: Evidence | None) -> list[str]:
    """Both copies as lines of a table, for whoever has to choose between them."""
    rows = [("", "this node", "the peer"), *zip(ROWS, _column(own), _column(peer), strict=True)]
    widths = [max(len(row[index]) for row in rows) for index in range(2)]
    return [f"{name:{widths[0]}}  {one:{widths[1]}}  {other}".rstrip() for name, one, other in rows]


ROWS = ("role", "role since", "connection", "disk", "generation", "last write", "out of sync")


def _column(copy: Evidence | None) -> tuple[str, ...]:
    if copy is None:
        return ("not known",) * len(ROWS)
    return (
        copy.role,
        copy.role_since or "not known",
        copy.connection,
        copy.disk,
        copy.generation or "not known",
        copy.last_write or "not known",
        size(copy.out_of_sync),
    )


WAY_OUT = (
    "On the node whose changes are to go:  sudo escadm drbd resolve --discard-local",
    "On the other node, whose data stays:  sudo escadm drbd resolve --keep-local",
)


# --- what DRBD has written to the kernel's log ----------------------------------------------------------------

KERNEL = {
    "Split-Brain detected but unresolved": "split brain: both nodes have written without each other",
    "The peer's disk size is too small": "the peer's disk is smaller than what is in use here",
    "Unrelated data, aborting": "the two disks do not come from one first installation",
    "Authentication of peer failed": "the shared secrets of the nodes differ",
    "expected AuthChallenge packet": "the peer has no shared secret, and this node has one",
    "incompatible DRBD dialects": "the peer's version of DRBD is too different",
    "I shall become SyncTarget, but I am primary": "the peer has newer data, and this node is Primary",
    "I shall become SyncSource, but I am inconsistent": "this node would have to be copied from, and is Inconsistent",
}


OURS = "drbd esc"
UNPROVEN, PROVEN = ("Authentication of peer failed", "expected AuthChallenge packet"), "Peer authenticated using"
AGAIN = "trying again"
"""DRBD says so of an authentication that the network has broken off."""
BEGINS = "StandAlone -> Unconnected )"
CONNECTED = re.compile(r"conn\( \S+ -> (Connected|WFBitMap[ST]|SyncSource|SyncTarget) \)")


def last_refusal(log: str) -> str:
    """Why DRBD has refused the peer, by the kernel's log since the last connection; empty where it says nothing."""
    line = _refusal_in(log)
    if line.endswith(" settings"):
        option = line.removesuffix(" settings").rpartition("incompatible ")[2]
        return f"the peer has another setting of {option}: compare /etc/drbd.d/esc.res of both nodes"
    return next((meaning for words, meaning in KERNEL.items() if words in line), "")


def has_refused_for_its_secret(log: str) -> bool:
    """Whether DRBD's last attempt to connect has ended because the peer did not prove to have the shared secret."""
    for line in reversed(log.splitlines()):
        if OURS not in line or AGAIN in line:
            continue
        if any(words in line for words in UNPROVEN):
            return True
        if PROVEN in line or BEGINS in line or CONNECTED.search(line):
            return False
    return False


def _refusal_in(log: str) -> str:
    """The last line about a refusal, if no connection came after it."""
    for line in reversed(log.splitlines()):
        if "drbd" not in line:
            continue
        if CONNECTED.search(line):
            return ""
        if ("incompatible " in line and line.endswith(" settings")) or any(words in line for words in KERNEL):
            return line
    return ""
