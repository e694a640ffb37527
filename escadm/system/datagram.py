"""A UDP socket for one neighbour: bound to the interface of its own address, and aware of each datagram's TTL.

A sender on another network can forge an address, but neither the interface that its packet comes in by nor a TTL of
255, which every router makes less (RFC 5082).
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
from dataclasses import dataclass

from escadm.core.specs import Address
from escadm.system.net import interface_of

NEIGHBOUR = 255
LONGEST = 1 << 14
IP_RECVTTL = 12  # <linux/in.h>; Python does not name it
LOOPBACK = "lo"


@dataclass(frozen=True, slots=True)
class Datagram:
    """What came in, from whom, and how: ``is_near`` = no router has passed it on."""

    data: bytes
    sender: tuple[str, int]
    is_near: bool


@dataclass(frozen=True, slots=True)
class Path:
    """The socket at ``source`` with the interface that it is bound to."""

    sock: socket.socket
    source: Address
    interface: str
    index: int

    def is_stale(self) -> bool:
        """Whether the address has gone to another interface, or the interface is another one of the same name."""
        return _place(self.source) != (self.interface, self.index)

    def send(self, data: bytes, address: Address, port: int) -> None:
        """Send, or not: who hears nothing will notice."""
        with contextlib.suppress(OSError):
            self.sock.sendto(data, (str(address), port))

    def receive(self) -> Datagram | None:
        """The next datagram; None when there is none."""
        try:
            data, ancillary, _, sender = self.sock.recvmsg(LONGEST, socket.CMSG_SPACE(4))
        except OSError:  # nothing there, or ICMP's word that nobody listens: the silence will tell
            return None
        ttl = next((struct.unpack("=i", value[:4])[0] for _, _, value in ancillary), 0)
        return Datagram(data, (sender[0], sender[1]), ttl == NEIGHBOUR)

    def close(self) -> None:
        self.sock.close()


def open_path(source: Address, port: int) -> Path:
    """Listen at ``source``. Raises OSError where that address is not there (yet)."""
    interface, index = _place(source)
    is_v4 = source.version == 4
    sock = socket.socket(socket.AF_INET if is_v4 else socket.AF_INET6, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        if interface != LOOPBACK:  # an address of the loopback interface is reached by any other
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
        if is_v4:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, NEIGHBOUR)
            sock.setsockopt(socket.IPPROTO_IP, IP_RECVTTL, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, NEIGHBOUR)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
        sock.bind((str(source), port))
    except OSError:
        sock.close()
        raise
    return Path(sock, source, interface, index)


def _place(source: Address) -> tuple[str, int]:
    interface = LOOPBACK if source.is_loopback else interface_of(source)
    if interface is None:
        raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
    return interface, socket.if_nametoindex(interface)
