from __future__ import annotations

from ipaddress import ip_address

from escadm.core.interfaces import Interface
from escadm.core.rules.network import ADDRESS_GONE, INTERFACE_GONE, LINK_DOWN, network_faults
from escadm.core.specs import KeepalivedSpec

OWN, VIP = ip_address("10.0.0.1"), ip_address("10.0.0.9")
SPEC = KeepalivedSpec(VIP, "eth0", "eth1", 9, unicast_source=OWN)
WELL = {"eth0": Interface(addresses=(ip_address("10.0.0.5"), OWN)), "eth1": Interface()}


def codes(spec: KeepalivedSpec = SPEC, **changed: Interface | None) -> list[tuple[str, str]]:
    """Code and subject of each reason; a changed interface that is None is not there."""
    seen = {name: each for name, each in (WELL | changed).items() if each is not None}
    return [(reason.code, reason.subject) for reason in network_faults(spec, seen)]


def test_a_network_that_is_well() -> None:
    assert codes() == []
    assert codes(eth1=Interface(up=False)) == []  # the VIP's interface: VRRP does not speak there
    assert network_faults(SPEC, None) == ()


def test_an_address_that_is_gone() -> None:
    assert codes(eth0=Interface()) == [(ADDRESS_GONE, "10.0.0.1")]
    assert codes(eth0=Interface(), eth1=Interface(addresses=(OWN,))) == [(ADDRESS_GONE, "10.0.0.1")]
    multicast = KeepalivedSpec(VIP, "eth0", "eth1", 9)
    assert codes(multicast, eth0=Interface()) == []


def test_an_interface_that_is_gone() -> None:
    assert codes(eth0=None) == [(INTERFACE_GONE, "eth0")]
    assert codes(eth1=None) == [(INTERFACE_GONE, "eth1")]
    assert codes(eth0=None, eth1=None) == [(INTERFACE_GONE, "eth0"), (INTERFACE_GONE, "eth1")]
    one = KeepalivedSpec(VIP, "eth0", "eth0", 9, unicast_source=OWN)
    assert codes(one, eth0=None) == [(INTERFACE_GONE, "eth0")]


def test_a_link_that_is_down() -> None:
    assert codes(eth0=Interface(carrier=False, addresses=(OWN,))) == [(LINK_DOWN, "eth0")]
    assert codes(eth0=Interface(up=False, carrier=False)) == [(LINK_DOWN, "eth0"), (ADDRESS_GONE, "10.0.0.1")]


def test_each_reason_is_a_sentence_about_its_subject() -> None:
    states = [{}, {"eth0": Interface()}, {"eth0": Interface(up=False)}, {"eth0": Interface(carrier=False)}]
    reasons = [each for state in states for each in network_faults(SPEC, state)]
    assert len(reasons) > len(states)
    assert all(each.subject in each.sentence for each in reasons)
