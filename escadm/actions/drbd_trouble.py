"""The volume as ``health`` looks at it: DRBD asked now, the kernel's log where it has refused the peer, both copies."""

from __future__ import annotations

from dataclasses import replace

from escadm.core.drbd.evidence import Evidence, evidence_of
from escadm.core.drbd.state import Replica
from escadm.core.drbd.trouble import MORE, WAY_OUT, degradation, is_split, last_refusal, side_by_side, unfitness
from escadm.core.problem import HostFacts
from escadm.core.status import Snapshot
from escadm.errors import EscadmError, Failed, NotPermitted
from escadm.system.drbd.commands import read_generation, read_kernel_log, read_replica
from escadm.system.host import Host


def check_replication(snapshot: Snapshot, facts: HostFacts, host: Host) -> str:
    """The state in DRBD's words. Failed with what is wrong with it, and with why DRBD has refused the peer."""
    replica = _volume(facts, host)
    if replica is None:
        raise Failed("the volume is not up")
    trouble = unfitness(replica, _peer(snapshot)) or degradation(replica, _peer(snapshot))
    if trouble is not None:
        told = trouble.sentence.removesuffix(MORE)
        explained = replica.is_connected or is_split(replica, _peer(snapshot))
        raise Failed(told if explained else f"{told}{_refusal(replica, host)}")
    return replica.words


def both_copies(snapshot: Snapshot, facts: HostFacts, host: Host) -> tuple[str, ...]:
    """Where DRBD has stopped on either side, what both copies are like; and if it may be a split brain, the way out."""
    peer = _peer(snapshot)
    try:
        replica = _volume(facts, host)
        if replica is None or replica.is_connected:
            return ()
        if "StandAlone" not in (replica.connection, peer.connection if peer else ""):
            return ()
        known = snapshot.replication.replica.last_write if snapshot.replication else None
        replica = replace(replica, generation=read_generation(host.run), last_write=known)
    except EscadmError:
        return ()  # the check has said so
    way_out = WAY_OUT if peer is None or is_split(replica, peer) else ()
    return (*side_by_side(evidence_of(replica, snapshot.role_since), peer), *way_out)


def _volume(facts: HostFacts, host: Host) -> Replica | None:
    if not facts.strict:
        raise NotPermitted("a tree beside the machine has no volume of its own")
    return read_replica(host.run)


def _peer(snapshot: Snapshot) -> Evidence | None:
    return snapshot.replication.peer if snapshot.replication else None


def _refusal(replica: Replica, host: Host) -> str:
    """What the kernel's log adds: nobody else is told why DRBD does not take a peer."""
    try:
        refused = last_refusal(read_kernel_log(host.run))
    except EscadmError:
        return "; dmesg may say why"
    if refused:
        return f"; DRBD has refused the peer (dmesg): {refused}"
    return "; dmesg may say why" if replica.has_stopped else ""
