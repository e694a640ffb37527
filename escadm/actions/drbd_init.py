"""``drbd init``: the first installation of the replicated volume, on both nodes, then ``--primary`` on one.

It refuses whatever might be somebody's data: a mounted or used disk, a signature on it, meta-data of an earlier
installation. Only the name of the disk, given with ``--erase``, opens that door.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from escadm.config import read_plan
from escadm.core.replication import Replica
from escadm.core.types import FilesystemSpec, HostFacts, Plan
from escadm.errors import Failed, Usage
from escadm.paths import Paths
from escadm.system import replication, volume
from escadm.system.host import Host

CONNECTS_WITHIN = 60.0
POLL = 0.25
DONE = "already done: the data is UpToDate; go on with: escadm restart"

Say = Callable[[str], None]


def drbd_init(paths: Paths, facts: HostFacts, host: Host, *, primary: bool, erase: str | None, say: Say) -> str:
    """Prepare this node's disk or, with ``primary``, make this node the source of the first copy; what is next.

    ``say`` hears of each step as it is done. Raises Failed, with nothing changed, for everything that is refused.
    """
    plan = read_plan(paths.config, facts).plan
    if plan.drbd is None:
        raise Usage(
            "there is nothing to replicate: esc-config.yaml has no drbd.nodes", "escadm ha set --ha_node_list=…"
        )
    if host.files.read(paths.drbd_res) is None:
        raise Failed(f"cannot begin: there is no {paths.drbd_res}", "write it with: escadm reload")
    return _become_source(plan, erase, say) if primary else _prepare_disk(plan.drbd.disk, erase, say)


def _prepare_disk(disk: str, erase: str | None, say: Say) -> str:
    if replication.read_replica() is not None:
        return "already done: the volume is up"
    if erase is not None and erase != disk:
        raise Usage(f"--erase names {erase}, but the disk of the volume is {disk}", f"--erase {disk}")
    found = volume.signature(disk)
    if user := volume.user_of(disk):
        raise Failed(f"cannot use {disk}: it is {user}", "free it first; drbd init never takes a disk that is in use")
    if volume.has_meta_data() and erase is None:
        return _up(disk, "the disk has DRBD's meta-data already", say)
    if found and erase is None:
        raise Failed(
            f"cannot use {disk}: there is {found} on it",
            f"if nobody needs what is on it: escadm drbd init --erase {disk}",
        )
    if found:
        volume.wipe(disk)
        say(f"{disk}: {found} removed")
    volume.create_meta_data()
    return _up(disk, "meta-data written", say)


def _up(disk: str, done: str, say: Say) -> str:
    say(f"{disk}: {done}")
    replication.bring_up()
    say("the volume is up")
    return "next: the same on the other node; then, on one of them: escadm drbd init --primary"


def _become_source(plan: Plan, erase: str | None, say: Say) -> str:
    if erase is not None:
        raise Usage("--erase goes with the first step, not with --primary")
    replica = _wait_for_peer(say)
    if replica.disk == "UpToDate":
        return _complete(plan, replica, say)
    if replica.peer_disk == "UpToDate":
        return DONE
    if (replica.disk, replica.peer_disk) != ("Inconsistent", "Inconsistent"):
        raise Failed(
            f"cannot begin the first copy: the disks are {replica.disk} here and {replica.peer_disk} on the peer",
            "both must be new (Inconsistent): run escadm drbd init on both first",
        )
    volume.make_primary_source()
    say("this node is the source; the first copy to the peer has begun")
    _make_file_system(plan, say)
    replication.demote()
    return "next, on both nodes: escadm restart (the copy goes on meanwhile: escadm status -v)"


def _complete(plan: Plan, replica: Replica, say: Say) -> str:
    """An earlier run may have ended, with the power cut, before there was a file system."""
    if "Primary" not in (replica.role, replica.peer_role):
        replication.promote()
        _make_file_system(plan, say)
        replication.demote()
    elif replica.is_primary:
        _make_file_system(plan, say)
    return DONE


def _wait_for_peer(say: Say) -> Replica:
    end = time.monotonic() + CONNECTS_WITHIN
    told = False
    while True:
        replica = replication.read_replica()
        if replica is None:
            raise Failed("cannot begin: the volume is not up here", "begin with: escadm drbd init")
        if replica.is_connected:
            return replica
        if not told:
            say("waiting for the peer to connect")
            told = True
        if time.monotonic() > end:
            raise Failed(
                f"cannot begin: the peer has not connected within {CONNECTS_WITHIN:g} s ({replica.connection})",
                "run escadm drbd init there, and look at the network between the nodes",
            )
        time.sleep(POLL)


def _make_file_system(plan: Plan, say: Say) -> None:
    spec = plan.units["filesystem"].spec
    device = plan.drbd.device if plan.drbd else ""
    if not isinstance(spec, FilesystemSpec) or spec.device is None or not _same(spec.device, device):
        return
    if found := volume.signature(device):
        say(f"{device}: keeps the {found} that is on it")
        return
    volume.make_file_system(device, spec.fstype)
    say(f"{device}: {spec.fstype} made")


def _same(first: str, second: str) -> bool:
    return Path(first).resolve() == Path(second).resolve()
