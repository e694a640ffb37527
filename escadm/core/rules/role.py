"""The role: what gives it up, what holds it back, what it waits for."""

from __future__ import annotations

from dataclasses import replace

from escadm.core.drbd.fencing import NO_GATEWAY, hold
from escadm.core.lifecycle import KILL_TIMEOUT
from escadm.core.reason import Reason
from escadm.core.reconcile import Intent
from escadm.core.role import gives_up, is_drained, master_units
from escadm.core.rules.data import peer_lacks, why_lost
from escadm.core.rules.peer import heard_until
from escadm.core.rules.trouble import failing, faults, unfit_data
from escadm.core.situation import Kept, Situation
from escadm.core.states import Role, Vrrp

SWITCHOVER = "switchover"
ENDANGERED = "endangered"
HANDED_OVER = "handed-over"
HELD_BACK = "held-back"
WAITS = "waiting"
ENGINES = frozenset({"keepalived", "drbd"})
"""Units that cannot be started while this machine lacks what they need."""

HOLDS_AFTER = 4.0
"""Seconds: a peer that is just leaving its role says so in less."""

ELECTION = 4.0
"""Intervals between adverts: three, the skew, and a little."""
RELAPSE = 600.0
"""Seconds after which a node that keepalived left deaf may stand for the role again."""

LONGEST_WAIT = 120.0
"""Seconds: nobody waits longer for a peer that does not come to the end of its stop."""


def gives_role_up(seen: Situation) -> Reason | None:
    """Why this node gives the role up, or takes none; None when it may have it.

    On purpose; for the data's sake, whoever is there to take over; and for a failure, to a peer that is able and lacks
    nothing.
    """
    if seen.wish.switchover:
        return Reason(SWITCHOVER, "", seen.wish.switchover)
    has_role = seen.kept.role is Role.MASTER or seen.vrrp is Vrrp.MASTER
    if has_role and (lost := why_lost(seen)):
        return Reason(ENDANGERED, "", f"gave the role up: {lost}")
    reasons = [(name, f"{name} {seen.lives[name].reason}") for name in failing(seen)]
    reasons += [("drbd", unfit)] if (unfit := unfit_data(seen)) else []
    reasons += [("gateway", NO_GATEWAY)] if seen.gateway.gone else []
    takes_part = seen.plan.is_pair and seen.wish.active
    if takes_part and not peer_lacks(seen) and gives_up(reasons, seen.peer):
        subject, told = reasons[0]
        return Reason(HANDED_OVER, subject, f"gave the role up: {told}")
    return None


def precedes(seen: Situation) -> bool:
    """Whether VRRP prefers this node between equals: the higher address does (RFC 5798, 6.4.3)."""
    paths = seen.plan.keepalived.peer_paths if seen.plan.keepalived else ()
    return bool(paths) and paths[0][0].packed > paths[0][1].packed


def judge_hold(seen: Situation) -> Kept:
    """What holds this node back, at once or once it has lasted for HOLDS_AFTER seconds; all that is kept of it."""
    kept = seen.kept
    before, candidate = kept.hold, kept.candidate
    if before is not None and before.by_vrrp and may_stand_again(seen):
        return replace(kept, hold=None, candidate=None, stood_at=seen.now)
    found = hold(before, kept.role, seen.vrrp, seen.peer, seen.gateway.reached, precedes=precedes(seen))
    if found is None or not found.lasts or found == before:
        return replace(kept, hold=found, candidate=None)
    if candidate is None or candidate[0] != found:
        candidate = found, seen.now
    return replace(kept, hold=None if seen.now - candidate[1] < HOLDS_AFTER else found, candidate=candidate)


def may_stand_again(seen: Situation) -> bool:
    """Whether a node that VRRP did not hear the primary on, or the other way round, hears its adverts again.

    Once keepalived has let go, and for an election's time, so that it will have heard them too. Where it does not (its
    own firewall may drop what is seen on the wire), that is tried again after RELAPSE seconds only.
    """
    spec, stood_at = seen.plan.keepalived, seen.kept.stood_at
    if spec is None or seen.vrrp is not Vrrp.FAULT or (stood_at is not None and seen.now < stood_at + RELAPSE):
        return False
    peers = {*spec.unicast_peers, *(peer for _, peer in spec.peer_paths[:1])}
    return any(
        source in peers
        and each.advert.router == spec.virtual_router_id
        and each.goes_on(seen.now)
        and seen.now - each.since >= ELECTION * spec.advert_interval
        for source, each in seen.adverts.others.items()
    )


def waits_for_peer(seen: Situation) -> float | None:
    """Since when this node, which VRRP has given the role, has waited for a peer that still runs something of the
    primary; None where there is nothing to wait for.

    Two sets of services would run otherwise for as long as the peer takes to stop its own. The peer says so itself and
    lives: it was heard within FRESH intervals. What runs here already is not touched.
    """
    peer, begun = seen.peer, seen.kept.waits_since
    takes = seen.vrrp is Vrrp.MASTER and seen.kept.role is not Role.MASTER and is_drained(seen.plan, seen.live())
    if not takes or peer is None or not peer.heard or not peer.runs or peer.stale:
        return None
    return seen.now if begun is None else begun


def is_waiting(seen: Situation) -> bool:
    """Whether the role is not taken yet, for the peer's sake."""
    return _wait_ends(seen) is not None


def _wait_ends(seen: Situation) -> float | None:
    """When it ends, whatever the peer does; None where it has ended, or none has begun."""
    since = seen.kept.waits_since
    if since is None:
        return None
    ends = min(since + longest_wait(seen), heard_until(seen))
    return ends if seen.now < ends else None


def longest_wait(seen: Situation) -> float:
    """Seconds that the peer may take to stop what belongs to the primary, one after the other."""
    names = master_units(seen.plan, {})
    return min(LONGEST_WAIT, sum(seen.plan.units[name].stop_timeout + KILL_TIMEOUT for name in names))


def why_held(seen: Situation) -> Reason | None:
    """Why this node does not take the role; None when it may."""
    if seen.kept.hold is not None:
        return Reason(HELD_BACK, "", seen.kept.hold.reason)
    if seen.peer is not None and is_waiting(seen):
        address = seen.peer.address
        return Reason(WAITS, address, f"waits until the peer {address} has stopped its services")
    return None


def intent_of(seen: Situation) -> Intent:
    """What the reconciler goes by: the role counts while keepalived gives it and nothing takes it away."""
    kept = seen.kept
    master = seen.vrrp is Vrrp.MASTER and not (kept.release or kept.hold or faults(seen) or is_waiting(seen))
    unable = ENGINES if seen.lacks else frozenset()
    return Intent(seen.wish.active, master, seen.wish.down, seen.wish.up, seen.absent, unable)


def grace_ends(seen: Situation) -> list[float]:
    """When this node's periods of grace end, those that run."""
    due = []
    if seen.kept.candidate is not None and seen.kept.candidate[0] != seen.kept.hold:
        due.append(seen.kept.candidate[1] + HOLDS_AFTER)
    if (ends := _wait_ends(seen)) is not None:
        due.append(ends)
    return due
