"""``drbd init --primary``: one node becomes the source of the first copy; and ``drbd init --wait`` on the other one."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from escadm.core.drbd.state import Replica
from escadm.core.plan import Plan
from escadm.core.specs import FilesystemSpec
from escadm.errors import Failed
from escadm.system import disk
from escadm.system.drbd import commands, installation

POLL = 0.25
MARKS_WITHIN = 5.0
RESTART = "next, on both nodes: escadm restart"
COPYING = f"{RESTART} (the copy goes on meanwhile: escadm status -v)"
WAITING = (
    "next, on the other node once more: escadm drbd init, with which the copy begins. Then, on both: escadm restart"
)
DONE = "already done: the data is UpToDate; go on with: escadm restart"

Say = Callable[[str], None]


def become_source(plan: Plan, say: Say, wait: float) -> str:
    """Wait ``wait`` seconds for the peer, and begin the first copy, if there is something to copy; what is next."""
    replica = _wait_for_peer(say, wait)
    if replica.disk == "UpToDate":
        commands.allow_syncs()
        return _complete(plan, replica, say)
    if replica.peer_disk == "UpToDate":
        commands.allow_syncs()
        return DONE
    if (replica.disk, replica.peer_disk) != ("Inconsistent", "Inconsistent"):
        raise Failed(
            f"cannot begin the first copy: the disks are {replica.disk} here and {replica.peer_disk} on the peer",
            "both must be new (Inconsistent): run escadm drbd init on both first",
        )
    here, there = _blank_disks()
    if here and there:
        installation.skip_first_copy()
        say("both disks are blank: there is nothing to copy")
        commands.promote()
    else:
        installation.make_primary_source()
        say("this node is the source; the first copy to the peer has begun")
    commands.allow_syncs()
    _make_file_system(plan, say)
    commands.demote()
    if here and there:
        return RESTART
    return WAITING if there else COPYING


def wait_for_source(say: Say, wait: float) -> str:
    """Wait ``wait`` seconds until the other node is the source, or this one is it, and let the copy begin."""
    end = time.monotonic() + wait
    told = False
    while True:
        replica = commands.read_replica()
        if replica is not None and "UpToDate" in (replica.disk, replica.peer_disk):
            commands.allow_syncs()
            return RESTART if replica.disk == "UpToDate" else COPYING
        if time.monotonic() > end:
            raise Failed(
                f"the disk is prepared, and the other node has not become the source within {wait:g} s",
                "run escadm drbd init --primary there",
            )
        if not told:
            say("waiting for the other node to become the source: escadm drbd init --primary")
            told = True
        time.sleep(POLL)


def knows_peer(replica: Replica) -> bool:
    """Whether the connection is there and the peer has told of its disk, which it does right after it."""
    return replica.is_connected and replica.peer_disk not in ("DUnknown", "Unknown")


def _complete(plan: Plan, replica: Replica, say: Say) -> str:
    """An earlier run may have ended, with the power cut, before there was a file system."""
    if "Primary" not in (replica.role, replica.peer_role):
        commands.promote()
        _make_file_system(plan, say)
        commands.demote()
    elif replica.is_primary:
        _make_file_system(plan, say)
    return DONE


def _wait_for_peer(say: Say, wait: float) -> Replica:
    end = time.monotonic() + wait
    told = False
    while True:
        replica = commands.read_replica()
        if replica is None or replica.disk == "Diskless":
            raise Failed("cannot begin: the volume is not up here", "begin with: escadm drbd init")
        if knows_peer(replica):
            return replica
        if not told:
            say("waiting for the peer to connect")
            told = True
        if time.monotonic() > end:
            raise Failed(
                f"cannot begin: the peer has not connected within {wait:g} s ({replica.connection})",
                "run escadm drbd init there, and look at the network between the nodes",
            )
        time.sleep(POLL)


def _blank_disks() -> tuple[bool, bool]:
    """Whether this disk is blank, and whether the peer's is; the peer connects first and says so right after it."""
    end = time.monotonic() + MARKS_WITHIN
    while (marks := installation.blank_marks()) == (True, False) and time.monotonic() < end:
        time.sleep(POLL)
    return marks


def _make_file_system(plan: Plan, say: Say) -> None:
    spec = plan.units["filesystem"].spec
    device = plan.drbd.device if plan.drbd else ""
    if not isinstance(spec, FilesystemSpec) or spec.device is None or not _same(spec.device, device):
        return
    if found := disk.signature(device):
        say(f"{device}: keeps the {found} that is on it")
        return
    installation.make_file_system(device, spec.fstype)
    say(f"{device}: {spec.fstype} made")


def _same(first: str, second: str) -> bool:
    return Path(first).resolve() == Path(second).resolve()
