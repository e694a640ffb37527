"""What goes outward: whether keepalived may give the role, what the peer is told, what a verdict rests on."""

from __future__ import annotations

from escadm.core.drbd.evidence import evidence_of
from escadm.core.drbd.fencing import NO_GATEWAY
from escadm.core.health import Facts
from escadm.core.peer import LONGEST_REASON, MOST_REASONS, Message, pairing_of
from escadm.core.reconcile import DOWN
from escadm.core.rules.data import asks_for_peer
from escadm.core.rules.role import intent_of, why_held
from escadm.core.rules.secret import part
from escadm.core.rules.table import applied
from escadm.core.rules.trouble import doubts, failing, faults, findings, unfit_data
from escadm.core.situation import Situation
from escadm.core.states import UnitState, Vrrp


def fitness(seen: Situation, *, drained: bool) -> bool | None:
    """Whether keepalived may give this node the role, None = nothing new is to be said.

    False only once nothing of the primary is left: until then the VIP stays where the services still are; at once where
    nobody can reach this node. Data that is being brought up is not fit yet; of data that has not been looked at yet
    nothing new is said.
    """
    if not seen.plan.is_pair:
        return None
    if faults(seen):
        return False
    volume = seen.state("drbd") if seen.plan.drbd is not None else None
    if volume is UnitState.RUNNING and seen.replica is None:
        return None
    keeps_out = seen.kept.release or unfit_data(seen) or seen.kept.hold or volume is UnitState.STARTING
    return not (keeps_out and drained)


def is_fit(seen: Situation) -> bool:
    """Whether nothing but the election keeps the role from this node."""
    if faults(seen) or doubts(seen):
        return False
    takes_part = seen.vrrp in (Vrrp.MASTER, Vrrp.BACKUP) or is_held_by_vrrp(seen)
    has_gateway = seen.gateway.reached is not False
    return seen.wish.active and takes_part and not failing(seen) and not unfit_data(seen) and has_gateway


def is_held_by_vrrp(seen: Situation) -> bool:
    """Whether this node keeps out of the election only because it knows of a primary that VRRP does not hear."""
    return seen.kept.hold is not None and seen.kept.hold.by_vrrp


def message_of(seen: Situation, *, settled: bool, drained: bool) -> Message:
    """What the peer is told."""
    kept = seen.kept
    return Message(
        vrrp=Vrrp.UNKNOWN if doubts(seen) else seen.vrrp,
        role=kept.role,
        fit=is_fit(seen),
        holds=is_held_by_vrrp(seen),
        gateway=seen.gateway.reached,
        has_volume=seen.state("drbd") not in DOWN,
        asks=asks_for_peer(seen),
        settled=settled,
        runs=not drained,
        reasons=tuple(_reasons(seen)),
        pairing=pairing_of(seen.plan),
        replica=evidence_of(seen.replica, kept.role_since) if seen.replica else None,
        secret=part(seen),
    )


def _reasons(seen: Situation) -> list[str]:
    if not seen.wish.active:
        return ["it is stopped"]
    failed = failing(seen)[:MOST_REASONS]
    found = [each.sentence for each in (*faults(seen), *doubts(seen))]
    found += [f"{name} {seen.lives[name].reason}" for name in failed]
    found += [unfit] if (unfit := unfit_data(seen)) and "drbd" not in failed else []
    found += [NO_GATEWAY] if seen.gateway.reached is False else []
    return [told[:LONGEST_REASON] for told in found]


def facts_of(seen: Situation) -> Facts:
    """All that a verdict about the node rests on."""
    kept = seen.kept
    return Facts(
        plan=seen.plan,
        intent=intent_of(seen),
        lives=seen.lives,
        role=kept.role,
        vrrp=seen.vrrp,
        peer=seen.peer,
        vip_here=seen.vip_here,
        release=kept.release,
        rule=applied(seen),
        held=why_held(seen),
        gateway=seen.gateway.reached,
        replica=seen.replica,
        unfit=unfit_data(seen),
        faults=faults(seen),
        findings=findings(seen),
        unwritten=seen.unwritten,
        pairing=pairing_of(seen.plan),
        known=seen.known,
    )
