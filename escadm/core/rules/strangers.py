"""Others that speak for this pair's virtual router, or for its address, and are neither of its nodes."""

from __future__ import annotations

from ipaddress import IPv4Address

from escadm.core.adverts import Adverts, Sighting
from escadm.core.reason import Reason
from escadm.core.situation import Situation
from escadm.core.specs import Address, KeepalivedSpec
from escadm.core.states import Role, Vrrp

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


def guards_address(seen: Situation) -> bool:
    """Whether nobody else may have the virtual address: it is here, and the peer does not say that it has the role.

    By ARP, which IPv6 does not have.
    """
    spec, peer = seen.plan.keepalived, seen.peer
    is_peers = peer is not None and peer.heard and (peer.vrrp is Vrrp.MASTER or peer.role is Role.MASTER)
    return spec is not None and isinstance(spec.vip, IPv4Address) and seen.vip_here is True and not is_peers


def claimants(seen: Situation) -> tuple[Reason, ...]:
    """Every other machine that has the virtual address, which this node has, by its hardware address."""
    spec = seen.plan.keepalived
    if spec is None or not guards_address(seen):
        return ()
    own = {each.hardware for each in (seen.interfaces or {}).values()}
    others = sorted(hardware for hardware, each in seen.claims.items() if each.counts(seen.now) and hardware not in own)
    told = "another machine, {}, has the virtual address {}"
    return tuple(Reason(STRANGER_VIP, each, told.format(each, spec.vip)) for each in others)


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
