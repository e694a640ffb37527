"""Others that speak for this pair's virtual router, or for its address, and are neither of its nodes."""

from __future__ import annotations

from escadm.core.adverts import Adverts, Sighting
from escadm.core.reason import Reason
from escadm.core.specs import Address, KeepalivedSpec

STRANGER = "foreign-router"
STRANGER_VIP = "foreign-vip"


def strangers(spec: KeepalivedSpec, seen: Adverts, now: float) -> tuple[Reason, ...]:
    """Every other router that speaks now, by its address.

    Where the peer's address is not known, one other router is taken for it, and of several each may be the stranger.
    """
    speaking = {source: each for source, each in seen.others.items() if each.goes_on(now)}
    foreign = sorted((source for source in speaking if not _is_peer(spec, source)), key=lambda each: each.packed)
    rivals = [source for source in foreign if speaking[source].advert.router == spec.virtual_router_id]
    unknown = any(not _is_comparable(spec, source) for source in rivals)
    if unknown and len(rivals) == 1:
        foreign.remove(rivals[0])
    return tuple(_told(spec, source, speaking[source]) for source in foreign)


def _told(spec: KeepalivedSpec, source: Address, sighting: Sighting) -> Reason:
    router = sighting.advert.router
    if router != spec.virtual_router_id:
        told = f"another VRRP router, {source}, claims {spec.vip} with virtual_router_id {router}"
        return Reason(STRANGER_VIP, str(source), told)
    told = f"another VRRP router, {source}, uses virtual_router_id {router} on {spec.interface}"
    return Reason(STRANGER, str(source), told)


def _peers(spec: KeepalivedSpec) -> frozenset[Address]:
    return frozenset((*spec.unicast_peers, *(peer for _, peer in spec.peer_paths)))


def _is_peer(spec: KeepalivedSpec, source: Address) -> bool:
    return source in _peers(spec)


def _is_comparable(spec: KeepalivedSpec, source: Address) -> bool:
    """Whether the peer would be known by this kind of address: an IPv6 multicast comes from a link-local one."""
    return any(peer.version == source.version and peer.is_link_local == source.is_link_local for peer in _peers(spec))
