"""VRRP's adverts off the wire (RFC 3768, RFC 5798): a socket that sees what comes in and what leaves, and its parser.

It looks before netfilter's input and after its output: an advert that is seen to leave has passed the firewall, one
that is seen to come in may still be dropped by it.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address

from escadm.core.adverts import Advert
from escadm.core.specs import Address
from escadm.system.packets import IF_EQUAL, LOAD_BYTE, LOAD_HALF, RETURN, open_packets

PROTOCOL = 112
HOPS = 255
ETH_P_ALL = 0x3
PACKET_OUTGOING = 4
GROUPS = (bytes.fromhex("01005e000012"), bytes.fromhex("333300000012"))
"""224.0.0.18 and ff02::12 as an interface's hardware knows them."""

VRRP = struct.Struct("!BBBBHH")  # version and type, VRID, priority, count, interval (version 3) or two bytes, checksum
LARGEST = 1500

SKB_PROTOCOL = 0xFFFFF000
FILTER = (
    (LOAD_HALF, 0, 0, SKB_PROTOCOL),
    (IF_EQUAL, 0, 2, 0x0800),
    (LOAD_BYTE, 0, 0, 9),  # IPv4: protocol
    (IF_EQUAL, 3, 4, PROTOCOL),
    (IF_EQUAL, 0, 3, 0x86DD),
    (LOAD_BYTE, 0, 0, 6),  # IPv6: next header
    (IF_EQUAL, 0, 1, PROTOCOL),
    (RETURN, 0, 0, LARGEST),
    (RETURN, 0, 0, 0),
)
"""Of all packets of the interface those of VRRP alone wake the agent."""


def open_adverts(interface: str) -> socket.socket:
    """A non-blocking socket to read with :func:`adverts`. Raises Failed without the interface, or the right."""
    return open_packets("VRRP's adverts", interface, ETH_P_ALL, FILTER, GROUPS)


def adverts(sock: socket.socket) -> Iterator[tuple[Advert, bool]]:
    """All adverts that wait on the socket, each with whether it leaves this node; others' nonsense is left out.

    Raises OSError where the interface has gone.
    """
    while True:
        try:
            packet, address = sock.recvfrom(LARGEST)
        except BlockingIOError:
            return
        advert = parse(packet)
        if advert is not None:
            yield advert, address[2] == PACKET_OUTGOING


def parse(packet: bytes) -> Advert | None:
    """The advert in an IP packet; None for what is none, is cut off, does not add up, or was forged from afar.

    A multicast never crosses a router, so that its hop limit is untouched; unicast may have been routed.
    """
    found = _of_ipv4(packet) if packet[:1] and packet[0] >> 4 == 4 else _of_ipv6(packet)
    if found is None:
        return None
    source, target, hops, message = found
    if (target.is_multicast and hops != HOPS) or len(message) < VRRP.size:
        return None
    kind, router, priority, count, time, _ = VRRP.unpack_from(message)
    version = kind >> 4
    size = source.max_prefixlen // 8
    if kind & 0xF != 1 or version not in (2, 3) or router == 0 or len(message) < VRRP.size + count * size:
        return None
    if not _adds_up(source, target, message, version):
        return None
    interval = float(time & 0xFF) if version == 2 else (time & 0xFFF) / 100
    address = type(source)
    listed = (message[VRRP.size + size * number :][:size] for number in range(count))
    return Advert(source, target, router, priority, interval, tuple(map(address, listed)), version, hops)


def _of_ipv4(packet: bytes) -> tuple[Address, Address, int, bytes] | None:
    """Source, target, hop limit and content; None for what is no whole IPv4 packet of VRRP."""
    if len(packet) < 20:
        return None
    begin, length = (packet[0] & 0xF) * 4, int.from_bytes(packet[2:4])
    is_fragment = int.from_bytes(packet[6:8]) & 0x3FFF
    if begin < 20 or not begin <= length <= len(packet) or is_fragment or packet[9] != PROTOCOL:
        return None
    return IPv4Address(packet[12:16]), IPv4Address(packet[16:20]), packet[8], packet[begin:length]


def _of_ipv6(packet: bytes) -> tuple[Address, Address, int, bytes] | None:
    if len(packet) < 40 or packet[0] >> 4 != 6 or packet[6] != PROTOCOL:
        return None
    end = 40 + int.from_bytes(packet[4:6])
    if end > len(packet):
        return None
    return IPv6Address(packet[8:24]), IPv6Address(packet[24:40]), packet[7], packet[40:end]


def _adds_up(source: Address, target: Address, message: bytes, version: int) -> bool:
    """Whether the checksum is right: version 3 counts a pseudo header in, some senders do not with IPv4."""
    plain = source.version == 4 and _sum(message) == 0xFFFF
    if version == 2:
        return plain
    form = "!HH" if source.version == 4 else "!II"
    pseudo = source.packed + target.packed + struct.pack(form, *_tail(source.version, len(message)))
    return plain or _sum(pseudo + message) == 0xFFFF


def _tail(version: int, length: int) -> tuple[int, int]:
    return (PROTOCOL, length) if version == 4 else (length, PROTOCOL)


def _sum(data: bytes) -> int:
    """The ones' complement sum of the 16-bit words (RFC 1071)."""
    padded = data + b"\0" * (len(data) % 2)
    total: int = sum(word for (word,) in struct.iter_unpack("!H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total
