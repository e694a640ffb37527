"""Packets as they come in on one interface and, where all protocols are asked for, leave: packet(7), filtered by the
kernel."""

from __future__ import annotations

import ctypes
import socket
import struct
from collections.abc import Collection, Sequence

from escadm.errors import Failed

SO_ATTACH_FILTER = 26
SOL_PACKET = 263
PACKET_ADD_MEMBERSHIP = 1
PACKET_MR_MULTICAST = 0

Program = Sequence[tuple[int, int, int, int]]
"""Classic BPF (socket(7)): of each line the code, where to go on if it is true and if it is not, and the operand."""

LOAD_WORD, LOAD_HALF, LOAD_BYTE, IF_EQUAL, RETURN = 0x20, 0x28, 0x30, 0x15, 0x06


def open_packets(
    what: str, interface: str, protocol: int, program: Program, groups: Collection[bytes] = ()
) -> socket.socket:
    """A non-blocking socket that has those packets of ``interface``, without their link's header, that ``program`` lets
    through, also if they go to one of ``groups``, hardware addresses.

    Raises Failed, which names ``what`` cannot be looked at, without the interface, or the right.
    """
    try:
        # The protocol is named only with the interface: until then the socket sees nothing, of any.
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, 0)
    except OSError as error:
        raise Failed(f"cannot look at {what}: {error.strerror}") from error
    try:
        lines = b"".join(struct.pack("=HBBI", *line) for line in program)
        buffer = ctypes.create_string_buffer(lines)
        sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("@HP", len(program), ctypes.addressof(buffer)))
        sock.bind((interface, protocol))
        for group in groups:
            wanted = struct.pack("@iHH8s", socket.if_nametoindex(interface), PACKET_MR_MULTICAST, len(group), group)
            sock.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP, wanted)
    except OSError as error:
        sock.close()
        raise Failed(f"cannot look at {what} on {interface}: {error.strerror}") from error
    return sock
