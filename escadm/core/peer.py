"""What the nodes of a pair tell each other, and what both must have alike."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from escadm.core.drbd.evidence import Evidence, decode
from escadm.core.drbd.evidence import encode as encode_evidence
from escadm.core.drbd.secret import PairSecret
from escadm.core.drbd.secret import decode as decode_secret
from escadm.core.drbd.secret import encode as encode_secret
from escadm.core.plan import Plan
from escadm.core.role import Peer
from escadm.core.states import Role, Vrrp

LONGEST_REASON = 200
MOST_REASONS = 3
"""What a node tells."""
REASONS_TAKEN = 10
LONGEST_TEXT = 200
"""What it takes from another."""


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
    secret: PairSecret | None = None


def document(message: Message) -> dict[str, object]:
    """The message as what :func:`encode` takes."""
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
        "secret": encode_secret(message.secret) if message.secret else None,
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


def encode(told: Mapping[str, object], hears: Collection[str]) -> bytes:
    """The content of a datagram: what the node tells, and on which of the receiver's addresses it hears it."""
    return json.dumps({"escadm": 1, **told, "hears": list(hears)}, separators=(",", ":")).encode()


def parse(data: bytes, address: str) -> Peer | None:
    """The content of a datagram as a Peer that was heard; None for anything that is none."""
    try:
        told = json.loads(data)
        if told["escadm"] != 1:
            return None
        role, gateway, hears = told.get("role"), told.get("gateway"), told.get("hears")
        return Peer(
            address,
            heard=True,
            vrrp=Vrrp(told["vrrp"]),
            role=Role(role) if role else None,
            fit=told["fit"] is True,
            settled=told.get("settled") is True,
            reasons=tuple(_plain(reason) for reason in told.get("reasons", ()))[:REASONS_TAKEN],
            pairing={_plain(key): _plain(value) for key, value in told.get("pairing", {}).items()},
            replica=decode(told.get("replica")),
            holds=told.get("holds") is True,
            gateway=gateway if isinstance(gateway, bool) else None,
            has_volume=told.get("has_volume") is not False,
            asks=told.get("asks") is True,
            runs=told.get("runs") is True,
            hears_us=bool(hears) if isinstance(hears, list) else None,
            secret=decode_secret(told.get("secret")),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _plain(text: object) -> str:
    """One short line that a terminal takes as text: it will stand in ``status``."""
    return "".join(each if each.isprintable() else " " for each in str(text)[:LONGEST_TEXT])
