"""The parser of adverts: what keepalived and RFC 5798 send, and every way in which a packet is none of them."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from escadm.core.adverts import Advert
from escadm.core.specs import Address
from escadm.system.adverts import parse


def checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return 0xFFFF ^ total


def packet(
    source: str = "10.0.0.1",
    target: str = "10.0.0.2",
    *,
    version: int = 3,
    kind: int = 1,
    router: int = 51,
    priority: int = 250,
    time: int = 20,
    addresses: tuple[str, ...] = ("10.0.0.9",),
    hops: int = 255,
    pseudo: bool = True,
) -> bytes:
    """One advert as a router sends it."""
    here, there = ip_address(source), ip_address(target)
    body = b"".join(ip_address(each).packed for each in addresses) + (bytes(8) if version == 2 else b"")
    head = bytes([version << 4 | kind, router, priority, len(addresses)]) + struct.pack("!H", time)
    message = head + b"\0\0" + body
    form = ("!HH", 112, len(message)) if here.version == 4 else ("!II", len(message), 112)
    counted = here.packed + there.packed + struct.pack(*form) if version == 3 and pseudo else b""
    message = head + struct.pack("!H", checksum(counted + message)) + body
    return wrap(here, there, message, hops)


def wrap(source: Address, target: Address, message: bytes, hops: int) -> bytes:
    if isinstance(source, IPv4Address):
        head = struct.pack("!BBHHHBBH", 0x45, 0xC0, 20 + len(message), 1, 0, hops, 112, 0)
    else:
        head = struct.pack("!IHBB", 6 << 28, len(message), 112, hops)
    return head + source.packed + target.packed + message


def test_version_3_over_ipv4() -> None:
    wanted = Advert(
        ip_address("10.0.0.1"), ip_address("10.0.0.2"), 51, 250, 0.2, (ip_address("10.0.0.9"),), version=3, hops=255
    )
    assert parse(packet()) == wanted
    assert parse(packet(pseudo=False)) == wanted  # as some senders count


def test_version_2() -> None:
    found = parse(packet(target="224.0.0.18", version=2, time=0x0103, addresses=("10.0.0.9", "10.0.0.8")))
    assert found is not None
    assert (found.version, found.interval) == (2, 3.0)
    assert found.addresses == (ip_address("10.0.0.9"), ip_address("10.0.0.8"))


def test_version_3_over_ipv6() -> None:
    found = parse(packet("fe80::1", "ff02::12", time=100, addresses=("fe80::9", "fd00::9")))
    assert found is not None
    assert (found.source, found.interval) == (ip_address("fe80::1"), 1.0)
    assert found.addresses == (ip_address("fe80::9"), ip_address("fd00::9"))


def test_a_router_that_leaves() -> None:
    found = parse(packet(priority=0))
    assert found is not None
    assert found.priority == 0


def changed(at: int, value: int, data: bytes = packet()) -> bytes:
    return data[:at] + bytes([value]) + data[at + 1 :]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(packet()[:19], id="cut in IP's header"),
        pytest.param(packet()[:-1], id="cut in its last address"),
        pytest.param(packet("fe80::1", "ff02::12", addresses=("fe80::9",))[:-1], id="cut, IPv6"),
        pytest.param(packet("fe80::1", "ff02::12", addresses=("fe80::9",))[:39], id="cut in IPv6's header"),
        pytest.param(changed(0, 0x44), id="IP header too short"),
        pytest.param(changed(0, 0x4F), id="IP header longer than the packet"),
        pytest.param(changed(0, 0x55), id="IP version 5"),
        pytest.param(changed(3, 19), id="IP length too short"),
        pytest.param(changed(6, 0x20), id="a fragment, more follow"),
        pytest.param(changed(7, 1), id="a later fragment"),
        pytest.param(changed(9, 17), id="UDP"),
        pytest.param(changed(27, 1), id="checksum"),
        pytest.param(changed(31, 1), id="another address"),
        pytest.param(changed(15, 7), id="another source"),
        pytest.param(packet(version=1), id="VRRP version 1"),
        pytest.param(packet(version=4), id="VRRP version 4"),
        pytest.param(packet(kind=2), id="no advert"),
        pytest.param(packet(router=0), id="VRID 0"),
        pytest.param(packet(target="224.0.0.18", hops=254), id="multicast from afar"),
        pytest.param(packet("fe80::1", "ff02::12", addresses=("fe80::9",), hops=64), id="IPv6 from afar"),
        pytest.param(wrap(ip_address("10.0.0.1"), ip_address("10.0.0.2"), b"\x31\x33\xfa", 255), id="a stump"),
        pytest.param(
            wrap(ip_address("10.0.0.1"), ip_address("10.0.0.2"), packet()[20:23] + b"\x02" + packet()[24:], 255),
            id="more addresses told than there are",
        ),
    ],
)
def test_what_is_no_advert(data: bytes) -> None:
    assert parse(data) is None


def test_unicast_may_have_been_routed() -> None:
    found = parse(packet(hops=250))
    assert found is not None
    assert found.hops == 250


def test_what_follows_the_addresses_is_let_pass() -> None:
    """keepalived 2.4 signs its adverts there."""
    whole = packet()
    padded = changed(3, whole[3] + 4, whole) + bytes(4)
    assert parse(padded) is None  # the pseudo header counts the length
    assert parse(packet(pseudo=False)[:3] + bytes([whole[3] + 4]) + packet(pseudo=False)[4:] + bytes(4)) is not None


@given(st.binary(max_size=80))
def test_no_packet_is_too_odd(data: bytes) -> None:
    parse(data)


@given(st.integers(20, len(packet()) - 1), st.integers(1, 255))
def test_a_byte_that_is_wrong_is_noticed(at: int, difference: int) -> None:
    whole = packet(pseudo=True)
    assert parse(changed(at, whole[at] ^ difference, whole)) is None
