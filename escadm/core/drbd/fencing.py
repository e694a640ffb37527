"""The third opinion: what a node may do about the role while it cannot hear its peer, or DRBD cannot.

A pair has no majority. What keeps two nodes from writing apart is that neither goes on without knowing one of two
things: that the other one's data no longer counts, or that the other one is silent while a third machine, the gateway,
is not. All of it pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from escadm.core.drbd.evidence import Evidence
from escadm.core.drbd.state import Gate, Replica, may_promote
from escadm.core.role import Peer
from escadm.core.states import Role, Vrrp

UNSERVABLE = frozenset({"Outdated", "Inconsistent", "Diskless", "Failed"})

UNCERTAIN = "it is not known yet what the peer does: DRBD has no connection to it"
ISOLATED = "neither the peer nor the gateway can be reached"
NO_GATEWAY = "the gateway cannot be reached"


class Answer(StrEnum):
    """What DRBD learns of the peer when it asks its ``fence-peer`` handler (drbd.conf(5))."""

    OUTDATED = "peer outdated"
    DEAD = "peer dead"
    ACTIVE = "peer active"


def sees_more(before: Replica | None, now: Replica | None) -> bool:
    """Whether DRBD, connected, has seen something of the peer, next to which the peer's last word is an old one.

    That the connection is lost says nothing of the peer, and a peer that says so too may have noticed it first.
    """
    if now is None or not now.is_connected:
        return False
    seen = (now.connection, now.peer_role, now.peer_disk)
    return before is None or seen != (before.connection, before.peer_role, before.peer_disk)


def apart(peer: Peer) -> Evidence | None:
    """What the peer tells of its copy since its DRBD, too, has no connection any more; None where it tells nothing.

    What it said while it was connected may be different by now, and its machine may be gone as well.
    """
    if not peer.heard or peer.stale or peer.replica is None:
        return None
    return peer.replica if peer.replica.connection != "Connected" else None


def _was_alone(told: Evidence) -> bool:
    """Whether the peer has been Primary without this node: it has good data, and knows that the copy here is not."""
    return told.peer_disk in UNSERVABLE and told.disk not in UNSERVABLE


def answer(replica: Replica | None, peer: Peer | None, gateway: bool | None) -> Answer | None:
    """What is known of a peer that DRBD has lost; None while nothing is: ask again when anything has changed.

    ``gateway``: whether it can be reached; None = none is configured, or that is not known yet.
    """
    if peer is None or not peer.heard:
        return None if gateway is False else Answer.DEAD
    if not peer.has_volume and not peer.stale:
        return Answer.DEAD
    told = apart(peer)
    if replica is None or told is None:
        return None
    if told.disk in UNSERVABLE:
        return Answer.OUTDATED
    return Answer.ACTIVE if told.role == "Primary" and not replica.is_primary else None


def may_take(replica: Replica | None, peer: Peer | None, gateway: bool | None) -> tuple[Gate, str]:
    """Whether this node may become Primary now, with the reason as a sentence where it may not."""
    gate, why = may_promote(replica)
    if replica is None or replica.is_connected or gate is not Gate.GO:
        return gate, why
    known = answer(replica, peer, gateway)
    if known is Answer.ACTIVE:
        return Gate.WAIT, "the peer is Primary, and DRBD has no connection to it"
    return (Gate.WAIT, UNCERTAIN) if known is None else (gate, why)


def outdates_itself(replica: Replica | None, peer: Peer | None, *, asks: bool, declared: bool = False) -> bool:
    """Whether this node's data has to be declared outdated: the peer goes on without it, or is about to.

    ``asks``: this node itself is about to; then only a peer that has gone on already counts for more. A node that has
    stopped replicating (StandAlone) does so only for a peer whose writes wait for it. One whose DRBD knows that the
    other copy does not count was Primary alone: the other one outdates its data then, Primary or not, and this one not
    for a peer that only asks. Where both were, the data has parted already. ``declared``: somebody has said that this
    node's data is the one to go on with, which counts as much.
    """
    if replica is None or peer is None or replica.is_primary or replica.is_connected:
        return False
    if replica.has_stopped and not peer.asks:
        return False
    told = apart(peer)
    if replica.disk not in ("UpToDate", "Consistent") or told is None or told.disk in UNSERVABLE:
        return False
    goes_on = told.role == "Primary"
    counts, peer_was_alone = declared or replica.peer_disk in UNSERVABLE, _was_alone(told)
    if counts is not peer_was_alone:
        return peer_was_alone or (goes_on and not peer.asks)
    return goes_on or (peer.asks and not asks)


def is_behind(before: bool, replica: Replica | None) -> bool:
    """Whether the peer may have written what is not here, as far as DRBD tells; ``before``: the last answer.

    It was Primary when the connection was lost. A copy that does not count, or did not until somebody said that it
    does, needs no such doubt.
    """
    if replica is None:
        return before
    if replica.is_primary or replica.disk != "UpToDate":
        return False
    return replica.peer_role == "Primary" if replica.is_connected else before


def is_left_alone(replica: Replica | None, peer: Peer | None, *, cut_off: bool, behind: bool) -> bool:
    """Whether a standby was cut off from everybody: the primary goes on without it, and nobody can say so.

    Its copy has to be outdated then. Once it is back, the primary may have died, with all that it has acknowledged. Not
    one whose peer is known to have an older one, nor one that has stopped replicating: that waits for somebody's word.
    """
    if not (cut_off and behind) or replica is None or replica.is_connected or replica.has_stopped:
        return False
    if replica.peer_disk in UNSERVABLE:
        return False
    return peer is not None and not peer.heard


def waits(replica: Replica | None) -> bool:
    """Whether DRBD lets writes wait until it is known what the peer does."""
    return replica is not None and "fencing" in replica.suspended.split(",")


def loses(replica: Replica | None, peer: Peer | None, gateway: bool | None) -> str:
    """Why a primary has to let the role go although nobody may be there to take it; empty when it keeps it."""
    heard = peer is not None and peer.heard
    connected = replica is not None and replica.is_connected
    if gateway is False and not heard and not connected:
        return ISOLATED
    if replica is None or not replica.is_primary or peer is None or peer.replica is None:
        return ""
    told = apart(peer)
    if waits(replica) and told is not None and (told.role == "Primary" or _was_alone(told)):
        return f"the peer {peer.address} has become Primary meanwhile"
    if not replica.has_disk and not connected and peer.replica.disk == "UpToDate":
        return "this node has no disk, and DRBD has no connection to the peer's"
    return ""


@dataclass(frozen=True, slots=True)
class Hold:
    """Why a node must not be the primary now.

    ``by_vrrp``: the peer is the primary and can be heard, only not by VRRP. ``near``: it could be heard on VRRP's own
    path when that began. ``lasts``: it counts only once it has been true for a while.
    """

    reason: str
    by_vrrp: bool = False
    near: bool = False

    @property
    def lasts(self) -> bool:
        return self.by_vrrp


def hold(
    before: Hold | None, role: Role | None, vrrp: Vrrp, peer: Peer | None, gateway: bool | None, *, precedes: bool
) -> Hold | None:
    """What holds this node back now, given what did so ``before``. ``precedes``: VRRP prefers it between equals.

    A primary is held back only where both are, and hear each other; its isolation is judged by :func:`loses`. Where the
    peer does not hear this node, only this one knows that there are two: it leaves, whoever has precedence.
    """
    if peer is None:
        return None
    if not peer.heard:
        return Hold(ISOLATED) if gateway is False and role is not Role.MASTER else None
    equals = (role is Role.MASTER) is (peer.role is Role.MASTER)
    yields = peer.hears_us is False or (not precedes if equals else role is not Role.MASTER)
    primary = peer.vrrp is Vrrp.MASTER and yields
    if before is not None and before.by_vrrp:
        return before if primary and (before.near or not peer.near) else None
    if primary and vrrp is Vrrp.MASTER:
        told = f"the peer {peer.address} has the role and can be heard, but VRRP does not hear it"
        return Hold(told, by_vrrp=True, near=peer.near)
    return None
