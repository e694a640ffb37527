"""What the nodes of a pair tell each other, and what both must have alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from escadm.core.evidence import Evidence
from escadm.core.evidence import encode as encode_evidence
from escadm.core.types import Plan, Role, Vrrp

LONGEST_REASON = 200
MOST_REASONS = 3


@dataclass(frozen=True, slots=True)
class Message:
    """One node's word to the other: what keepalived says, the role that was reached, whether it could have the role.

    The fields are those of :class:`escadm.core.role.Peer`, as the sender knows them of itself.
    """

    vrrp: Vrrp = Vrrp.UNKNOWN
    role: Role | None = None
    fit: bool = False
    holds: bool = False
    gateway: bool | None = None
    has_volume: bool = False
    asks: bool = False
    settled: bool = False
    runs: bool = False
    reasons: tuple[str, ...] = ()
    pairing: Mapping[str, str] = field(default_factory=dict)
    replica: Evidence | None = None


def encode(message: Message) -> dict[str, object]:
    """The message ready for ``json.dumps``."""
    return {
        "vrrp": message.vrrp,
        "role": message.role,
        "fit": message.fit,
        "holds": message.holds,
        "gateway": message.gateway,
        "has_volume": message.has_volume,
        "asks": message.asks,
        "settled": message.settled,
        "runs": message.runs,
        "reasons": list(message.reasons),
        "pairing": dict(message.pairing),
        "replica": encode_evidence(message.replica) if message.replica else None,
    }


def pairing_of(plan: Plan) -> dict[str, str]:
    """What both nodes of a pair must have alike."""
    spec = plan.keepalived
    if spec is None:
        return {}
    drbd = plan.drbd
    volume = f"{drbd.device} {drbd.port} {' '.join(sorted(map(str, drbd.nodes)))}" if drbd else "none"
    return {
        "virtual_router_id": str(spec.virtual_router_id),
        "vip": str(spec.vip),
        "advert_interval": f"{spec.advert_interval:g}",
        "drbd": volume,
    }
