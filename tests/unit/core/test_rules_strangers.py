from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

from escadm.core.adverts import Advert, Adverts, Sighting
from escadm.core.reason import Reason
from escadm.core.rules.strangers import STRANGER, STRANGER_VIP, strangers
from escadm.core.specs import Address, KeepalivedSpec

OWN, PEER, OTHER, THIRD, VIP = (ip_address(f"10.0.0.{last}") for last in (1, 2, 3, 4, 9))
LINK_LOCAL = ip_address("fe80::3")
SPEC = KeepalivedSpec(VIP, "eth0", "eth0", 9, unicast_source=OWN, unicast_peers=(PEER,))
UNKNOWN = KeepalivedSpec(VIP, "eth0", "eth0", 9)


def codes(
    *sources: Address, spec: KeepalivedSpec = SPEC, router: int = 9, priority: int = 100, age: float = 0.0
) -> list[tuple[str, str]]:
    sightings = {}
    for each in sources:
        advert = Advert(each, VIP, router, priority, 1.0, (VIP,))
        sightings[each] = Sighting(advert, 0.0, 100.0 - age)
    found = strangers(spec, Adverts(0.0, None, sightings), 100.0)
    assert all(reason.subject in reason.sentence for reason in found)
    return [(reason.code, reason.subject) for reason in found]


def test_the_peer_is_no_stranger() -> None:
    assert codes(PEER) == []
    assert codes(PEER, OTHER) == [(STRANGER, "10.0.0.3")]
    paths = replace(UNKNOWN, peer_paths=((OWN, PEER),))
    assert codes(PEER, OTHER, spec=paths) == [(STRANGER, "10.0.0.3")]


def test_one_that_has_left_or_fallen_silent() -> None:
    assert codes(OTHER, age=3.4) == [(STRANGER, "10.0.0.3")]
    assert codes(OTHER, age=3.5) == []
    assert codes(OTHER, priority=0) == []


def test_another_router_with_our_address() -> None:
    assert codes(OTHER, router=8) == [(STRANGER_VIP, "10.0.0.3")]
    assert codes(OTHER, router=8, spec=UNKNOWN) == [(STRANGER_VIP, "10.0.0.3")]


def test_what_is_said_of_them() -> None:
    told: list[Reason] = []
    for router in (9, 8):
        sighting = Sighting(Advert(OTHER, VIP, router, 100, 1.0, (VIP,)), 0.0, 100.0)
        told += strangers(SPEC, Adverts(0.0, None, {OTHER: sighting}), 100.0)
    assert [(reason.code, reason.sentence) for reason in told] == [
        ("foreign-router", "another VRRP router, 10.0.0.3, uses virtual_router_id 9 on eth0"),
        ("foreign-vip", "another VRRP router, 10.0.0.3, claims 10.0.0.9 with virtual_router_id 8"),
    ]


def test_a_router_of_the_other_family_may_be_the_peer() -> None:
    assert codes(ip_address("fd00::3")) == []


def test_where_the_peer_is_not_known_one_router_is_taken_for_it() -> None:
    assert codes(OTHER, spec=UNKNOWN) == []
    assert codes(OTHER, THIRD, spec=UNKNOWN) == [(STRANGER, "10.0.0.3"), (STRANGER, "10.0.0.4")]


def test_a_link_local_source_says_nothing_about_a_peer_that_is_known_otherwise() -> None:
    paths = replace(UNKNOWN, peer_paths=((ip_address("fd00::1"), ip_address("fd00::2")),))
    assert codes(LINK_LOCAL, spec=paths) == []
    assert codes(LINK_LOCAL, ip_address("fe80::4"), spec=paths) == [(STRANGER, "fe80::3"), (STRANGER, "fe80::4")]
