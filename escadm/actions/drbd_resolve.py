"""``drbd resolve --discard-local``: the deliberate end of a split brain, on the node whose changes are given up."""

from __future__ import annotations

from escadm.core.replication import Replica
from escadm.errors import Failed
from escadm.system import replication


def why_not_resolve(replica: Replica | None) -> str:
    """Why this node's changes cannot be given up now, as a sentence; empty when they can."""
    if replica is None:
        return "the volume is not up here"
    if replica.is_connected:
        return "the nodes are connected: there is no split brain"
    if replica.is_primary:
        return "this node is Primary: it is the one in use. Stop it first (escadm stop), or resolve on the other node"
    return ""


def drbd_resolve() -> str:
    """Give up what only this node has, and take the peer's data; what is next. The caller has asked for consent."""
    if why := why_not_resolve(replication.read_replica()):
        raise Failed(f"cannot resolve: {why}")
    replication.connect_discarding()
    return "this node takes the peer's data; if the peer says StandAlone, run there: drbdadm connect esc"
