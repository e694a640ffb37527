"""The parser of ARP: who says that an IPv4 address is theirs, and every way in which a packet is none of that."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address
from unittest.mock import create_autospec

import pytest
from hypothesis import given
from hypothesis import strategies as st

from escadm.errors import Failed
from escadm.system.arp import BROADCAST, ETH_P_ARP, PACKET, ask, parse

HARDWARE = bytes.fromhex("525400aabbcc")
ANSWER = PACKET.pack(1, 0x0800, 6, 4, 2, HARDWARE, bytes([10, 0, 0, 9]), bytes(6), bytes(4))


def test_who_has_the_address() -> None:
    assert parse(ANSWER) == "52:54:00:aa:bb:cc"
    assert parse(ANSWER + bytes(18)) == "52:54:00:aa:bb:cc", "a short frame is filled up"


@pytest.mark.parametrize(
    ("place", "value"),
    [(1, 6), (2, 0x86), (4, 8), (5, 16)],
    ids=["not of Ethernet", "not of IPv4", "a longer hardware address", "a longer protocol address"],
)
def test_what_is_of_another_kind(place: int, value: int) -> None:
    assert parse(ANSWER[:place] + bytes([value]) + ANSWER[place + 1 :]) is None


@given(st.binary(max_size=PACKET.size - 1))
def test_what_is_cut_off(packet: bytes) -> None:
    assert parse(packet) is None


@pytest.mark.parametrize("kind", ["Ethernet", "InfiniBand"])
def test_the_question_is_ethernets(kind: str) -> None:
    sock = create_autospec(socket.socket, instance=True)
    hardware = HARDWARE if kind == "Ethernet" else HARDWARE + bytes(14)
    sock.getsockname.return_value = ("eth0", ETH_P_ARP, 0, 1, hardware)
    ask(sock, "eth0", IPv4Address("10.0.0.9"))
    packet = PACKET.pack(1, 0x0800, 6, 4, 1, HARDWARE, bytes(4), bytes(6), bytes([10, 0, 0, 9]))
    sent = [each.args for each in sock.sendto.call_args_list]
    assert sent == ([(packet, ("eth0", ETH_P_ARP, 0, 0, BROADCAST))] if kind == "Ethernet" else [])


def test_a_question_that_cannot_be_sent() -> None:
    sock = create_autospec(socket.socket, instance=True)
    sock.getsockname.side_effect = OSError(6, "No such device or address")
    with pytest.raises(Failed, match=r"^cannot ask on eth0 who has 10\.0\.0\.9: No such device or address$"):
        ask(sock, "eth0", IPv4Address("10.0.0.9"))
