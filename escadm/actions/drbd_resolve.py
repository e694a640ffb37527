"""``drbd resolve``: two deliberate decisions about data. ``--discard-local``, on the node whose changes are given up
after a split brain; ``--keep-local``, on the node whose data are the ones to go on with."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

from escadm.actions.drbd_init import Teller
from escadm.config import read_plan
from escadm.core.drbd.state import Replica
from escadm.core.drbd.trouble import last_refusal, size
from escadm.core.problem import HostFacts
from escadm.errors import EscadmError, Failed
from escadm.paths import Paths
from escadm.system import disk
from escadm.system.drbd import commands, installation

ANSWERS_WITHIN = 10.0
POLL = 0.25
ON_THE_OTHER = "on the other node, whose data stays: escadm drbd resolve --keep-local"
CONNECTED = "the nodes are connected: there is nothing to decide"
HALF_A_COPY = "its data is Inconsistent, half a copy of the peer's: bring the peer back, or restore a backup"


# --- this node's changes go ---


def why_not_discard(replica: Replica | None) -> str:
    """Why this node's changes cannot be given up now, as a sentence; empty when they can."""
    if replica is None:
        return "the volume is not up here"
    if replica.is_connected:
        return CONNECTED
    if not replica.has_disk:
        return f"this node has no disk ({replica.disk}): nothing here can be given up"
    if replica.is_primary:
        return "this node is Primary: it is the one in use. Stop it first (escadm stop), or resolve on the other node"
    return ""


def discard_local(paths: Paths, facts: HostFacts, teller: Teller, *, copy: bool) -> str:
    """Give up what only this node has, and take the peer's data; what is next. The caller has asked for consent.

    With ``copy`` an image of this node's data is kept first, and where it does not fit nothing is given up.
    """
    replica = _refuse(why_not_discard)
    if copy:
        _keep_copy(paths, facts, replica, teller)
        _refuse(why_not_discard)
    commands.connect_discarding()
    return f"this node takes the peer's data as soon as that connects: {ON_THE_OTHER}"


def _refuse(why_not: Callable[[Replica | None], str]) -> Replica:
    replica = commands.read_replica()
    if (why := why_not(replica)) or replica is None:
        raise Failed(f"cannot resolve: {why}")
    return replica


def _keep_copy(paths: Paths, facts: HostFacts, replica: Replica, teller: Teller) -> None:
    drbd = read_plan(paths.config, facts).plan.drbd
    if drbd is None:
        raise Failed("cannot keep a copy: esc-config.yaml names no disk (drbd.nodes is missing)", "or with --no-copy")
    target = paths.copies / f"discarded-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.img"
    try:
        used = disk.copy_used(drbd.disk, replica.size, target, teller.meter(f"copying {drbd.disk}"))
    except disk.NoRoom as error:
        raise Failed(error.message, "make room there, or go on without a copy: --no-copy") from error
    teller.say(f"what this node had is kept in {target} ({size(used)})")
    teller.say(f"to look into it: mount -o loop {target} /mnt")


# --- this node's data stay ---


def why_not_keep(replica: Replica | None) -> str:
    """Why this node's data cannot be the ones to go on with, as a sentence; empty when they can, or already are."""
    if replica is None:
        return "the volume is not up here"
    if not replica.has_disk:
        return f"this node has no disk ({replica.disk})"
    if replica.disk == "Inconsistent" and not replica.is_connected:
        return HALF_A_COPY
    return ""


def must_be_declared(replica: Replica | None) -> bool:
    """Whether keeping this node's data takes a decision that may cost the peer's, rather than a new connection."""
    waits = replica is not None and replica.connection not in ("Connected", "StandAlone")
    return waits and replica is not None and replica.disk in ("Consistent", "Outdated")


def keep_local() -> str:
    """Go on with this node's data; what was done. Where they must be declared, the caller has asked for consent."""
    replica = _refuse(why_not_keep)
    if replica.is_connected:
        return f"already done: {CONNECTED}"
    if must_be_declared(replica):
        installation.declare_good()
        return "this node's data is UpToDate from now on; when the peer comes back, it takes them from here"
    if not replica.has_stopped:
        return "already done: this node's data is UpToDate, and it waits for the peer"
    commands.bring_up()
    return _outcome()


def _outcome() -> str:
    """What came of the new connection."""
    end = time.monotonic() + ANSWERS_WITHIN
    while (replica := commands.read_replica()) and not replica.is_connected and time.monotonic() < end:
        if replica.has_stopped:
            why = last_refusal(_kernel_log())
            raise Failed(
                f"cannot connect: DRBD has stopped the replication again{f': {why}' if why else ''}",
                "after a split brain first, on the node whose changes go: escadm drbd resolve --discard-local",
            )
        time.sleep(POLL)
    if replica is not None and replica.is_connected:
        return "the nodes are connected: the peer takes this node's data"
    return (
        "waiting for the peer; after a split brain it needs, there: escadm drbd resolve --discard-local. "
        "If the peer is lost for good: the same command here once more"
    )


def _kernel_log() -> str:
    try:
        return commands.read_kernel_log()
    except EscadmError:
        return ""
