"""The data: what DRBD is told of a lost peer, what is done about the data, whose copy may be served."""

from __future__ import annotations

from enum import StrEnum

from escadm.core.drbd.fencing import ISOLATED, UNSERVABLE, is_left_alone, loses, may_take, outdates_itself, waits
from escadm.core.drbd.state import Gate, Replica
from escadm.core.plan import PROMOTION
from escadm.core.role import why_peer_lacks_data
from escadm.core.rules.peer import LATEST, heartbeat_interval, is_in_touch
from escadm.core.situation import Situation
from escadm.core.states import UnitState

SILENT = 3.5
"""Intervals after which the peer is silent (peer_link.LOST_AFTER), and from when on the gateway's answer counts: a node
may have heard its peer an interval before its cables were cut, and misses the gateway for 2.5 more until it knows."""

CUT_OFF = "this node was cut off from everybody, and does not hear the peer yet"


class Act(StrEnum):
    """What is done about the data because of the peer; each may be tried again until its effect is seen."""

    OUTDATE = "outdate"
    ABANDON = "abandon"


def peer_lacks(seen: Situation) -> str:
    """Why the role must not be moved to the peer on purpose for the data's sake; empty when it may."""
    return why_peer_lacks_data(seen.replica, replicates=seen.plan.drbd is not None)


def why_lost(seen: Situation) -> str:
    """Why the role has to go although nobody may be there to take it; to the end, once writes were given up."""
    if seen.kept.abandoned:
        return seen.kept.abandoned
    silent = seen.peer is not None and not seen.peer.heard
    if seen.kept.cut_off and silent and waits(seen.replica):
        return ISOLATED if seen.gateway.reached is False else CUT_OFF
    return loses(seen.replica, seen.peer, seen.gateway.reached)


def is_cut_off(seen: Situation) -> bool:
    """Whether this node has reached nobody at one time since it was last in touch with the peer.

    A gateway that answers again then says nothing of the peer: it was this node whose silence somebody else has judged.
    Nobody could have been heard yet while the agent has only begun to listen.
    """
    if is_in_touch(seen):
        return False
    return seen.kept.cut_off or (seen.gateway.reached is False and seen.now >= seen.sure_at)


def is_declared(seen: Situation) -> bool:
    """Whether somebody has said that the data here is the one to go on with: it counts, and did not before."""
    replica, kept = seen.replica, seen.kept
    if replica is None:
        return kept.declared
    if replica.is_connected or replica.disk != "UpToDate":
        return False
    return kept.declared or kept.disk in ("Outdated", "Consistent")


def awaits_gateway(seen: Situation) -> bool:
    """Whether a gateway that is reached has still to answer once more before it says anything of a silent peer.

    Its last answer may be of before this node lost its own cables: the one that counts comes when the peer is silent.
    A peer that was cut off meanwhile has missed the gateway for long enough to know.
    """
    if seen.peer is None or seen.peer.heard or not seen.gateway.reached:
        return False
    spec, answered_at = seen.plan.keepalived, seen.gateway.answered_at
    interval = heartbeat_interval(spec.advert_interval) if spec else LATEST
    since = seen.sure_at - interval if seen.heard_at is None else seen.heard_at + SILENT * interval
    return answered_at is None or answered_at < since


def gateway_for_sure(seen: Situation) -> bool | None:
    """The gateway's word about a silent peer; none has answered while nobody could have been heard yet.

    Nor after this node was cut off, unless DRBD knows that the peer's copy does not count, or somebody has said so.
    """
    unsure = seen.now < seen.sure_at or (seen.gateway.is_asked and seen.gateway.reached is None)
    known = seen.kept.declared or (seen.replica is not None and seen.replica.peer_disk in UNSERVABLE)
    doubtful = seen.kept.cut_off or awaits_gateway(seen)
    return False if unsure or (doubtful and not known) else seen.gateway.reached


def asks_for_peer(seen: Situation) -> bool:
    """Whether this node is about to go on without its peer's copy; not while its own is being outdated, or both would
    be in the end."""
    if seen.acting:
        return False
    alone = seen.replica is not None and not seen.replica.is_connected
    return seen.asked or (alone and (waits(seen.replica) or seen.state(PROMOTION) is UnitState.STARTING))


def data_act(seen: Situation, *, asks: bool) -> tuple[Act | None, str]:
    """What is done about the data because of the peer, and why."""
    if seen.acting:
        return None, ""
    if outdates_itself(seen.replica, seen.peer, asks=asks, declared=seen.kept.declared):
        return Act.OUTDATE, "the peer goes on without this node"
    if is_left_alone(seen.replica, seen.peer, cut_off=seen.kept.cut_off, behind=seen.kept.behind):
        return Act.OUTDATE, "it was cut off from everybody, and the peer may have gone on without it"
    if (why := why_lost(seen)) and waits(seen.replica):
        return Act.ABANDON, why
    return None, ""


def promotion_gate(seen: Situation, replica: Replica | None) -> tuple[Gate, str]:
    """Whether a promotion may be tried now, with ``replica`` looked at just before."""
    return may_take(replica, seen.peer, gateway_for_sure(seen))
