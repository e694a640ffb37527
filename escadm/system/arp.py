"""Who else has an IPv4 address, by ARP (RFC 826): a socket that sees who says so, and the question (RFC 5227)."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from ipaddress import IPv4Address

from escadm.errors import Failed
from escadm.system.packets import IF_EQUAL, LOAD_WORD, RETURN, Program, open_packets

ETH_P_ARP = 0x0806
REQUEST = 1
BROADCAST = b"\xff" * 6
NOBODY = bytes(4)

# hardware (Ethernet) and protocol (IPv4), the lengths of their addresses, operation, sender's two, target's two
PACKET = struct.Struct("!HHBBH6s4s6s4s")
KIND = (1, 0x0800, 6, 4)
SENDER = 14
"""Where the sender's IPv4 address begins."""
MOST_AT_ONCE = 64


def open_claims(interface: str, address: IPv4Address) -> socket.socket:
    """A non-blocking socket for :func:`claims` and :func:`ask`. Raises Failed without the interface, or the right.

    What this machine sends is not seen, and no packet wakes the agent but those whose sender has ``address``.
    """
    program: Program = (
        (LOAD_WORD, 0, 0, SENDER),
        (IF_EQUAL, 0, 1, int(address)),
        (RETURN, 0, 0, PACKET.size),
        (RETURN, 0, 0, 0),
    )
    return open_packets(f"who has {address}", interface, ETH_P_ARP, program)


def claims(sock: socket.socket) -> Iterator[str]:
    """The hardware address of each sender that waits on the socket, not more than MOST_AT_ONCE; nonsense is left out.

    Raises OSError where the interface has gone.
    """
    for _ in range(MOST_AT_ONCE):
        try:
            packet = sock.recv(PACKET.size)
        except BlockingIOError:
            return
        sender = parse(packet)
        if sender is not None:
            yield sender


def parse(packet: bytes) -> str | None:
    """The sender's hardware address in an ARP packet; None for what is cut off, or is not of IPv4 over Ethernet."""
    if len(packet) < PACKET.size:
        return None
    *kind, _, hardware, _, _, _ = PACKET.unpack_from(packet)
    return hardware.hex(":") if tuple(kind) == KIND else None


def ask(sock: socket.socket, interface: str, address: IPv4Address) -> None:
    """Ask everybody on the interface who has the address; no table of theirs changes for it (RFC 5227, 2.1.1).

    Nobody is asked where hardware addresses are none of Ethernet's. Raises Failed if it cannot be sent.
    """
    try:
        hardware = sock.getsockname()[4]
        if len(hardware) == len(BROADCAST):
            packet = PACKET.pack(*KIND, REQUEST, hardware, NOBODY, bytes(6), address.packed)
            sock.sendto(packet, (interface, ETH_P_ARP, 0, 0, BROADCAST))
    except OSError as error:
        raise Failed(f"cannot ask on {interface} who has {address}: {error.strerror}") from error
