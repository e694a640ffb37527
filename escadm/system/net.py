"""What the kernel knows about interfaces and addresses, asked over netlink (rtnetlink(7)): no command, no library."""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import ip_address

from escadm.core.types import Address, HostFacts
from escadm.errors import Failed
from escadm.paths import Paths
from escadm.system.drbd import kernel_major
from escadm.system.systemd import enabled_units, masked_units

RTM_NEWADDR = 20
RTM_GETADDR = 22
NLMSG_ERROR = 2
NLMSG_DONE = 3
NLM_F_REQUEST = 0x1
NLM_F_DUMP = 0x300
IFA_ADDRESS = 1
IFA_LOCAL = 2
IFA_F_DADFAILED = 0x08
RTMGRP_LINK = 0x1
RTMGRP_IPV4_IFADDR = 0x10
RTMGRP_IPV6_IFADDR = 0x100

HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
ADDRESS = struct.Struct("=BBBBI")  # ifaddrmsg: family, prefix length, flags, scope, interface index
ATTRIBUTE = struct.Struct("=HH")  # rtattr: length, type

ANSWER_WITHIN = 2.0
BUFFER = 1 << 16


def host_facts(paths: Paths) -> HostFacts:
    """What this machine (network namespace) has: interfaces with their addresses, DRBD, systemd's units.

    Strict for itself alone.
    """
    found: dict[str, list[Address]] = {name: [] for _, name in socket.if_nameindex()}
    for interface, address in _addresses():
        found.setdefault(interface, []).append(address)
    interfaces = {name: tuple(each) for name, each in found.items()}
    return HostFacts(
        interfaces,
        strict=paths.is_host,
        drbd_major=kernel_major(),
        enabled=enabled_units(paths),
        masked=masked_units(paths),
    )


def has_address(interface: str, address: Address) -> bool:
    """Whether ``interface`` carries ``address`` now, as its first or as any further one."""
    return (interface, address) in _addresses()


def open_address_events() -> socket.socket:
    """A non-blocking socket that becomes readable when a link or an address changes: look again, then drain it."""
    try:
        sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE)
    except OSError as error:
        raise Failed(f"cannot listen for changes of addresses: {error.strerror}") from error
    try:
        sock.bind((0, RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR))
    except OSError as error:
        sock.close()
        raise Failed(f"cannot listen for changes of addresses: {error.strerror}") from error
    return sock


def drain(sock: socket.socket) -> None:
    """Take all that is waiting off the socket; an overrun of its buffer says nothing but "look again" either."""
    while True:
        try:
            if not sock.recv(BUFFER):
                return
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise


def _addresses() -> list[tuple[str, Address]]:
    """Every address of the machine with its interface."""
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as sock:
            sock.settimeout(ANSWER_WITHIN)
            sock.bind((0, 0))
            body = ADDRESS.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
            flags = NLM_F_REQUEST | NLM_F_DUMP
            sock.send(HEADER.pack(HEADER.size + len(body), RTM_GETADDR, flags, 1, 0) + body)
            return list(_dump(sock))
    except OSError as error:
        raise Failed(f"cannot ask the kernel for the addresses of this machine: {error}") from error


def _dump(sock: socket.socket) -> Iterator[tuple[str, Address]]:
    while True:
        for kind, body in _messages(sock.recv(BUFFER)):
            if kind == NLMSG_DONE:
                return
            if kind == NLMSG_ERROR:
                number = -struct.unpack_from("=i", body)[0]
                raise OSError(number, os.strerror(number))
            if kind == RTM_NEWADDR:
                yield from _address(body)


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= HEADER.size:
        length, kind, _, _, _ = HEADER.unpack_from(data)
        yield kind, data[HEADER.size : length]
        data = data[_aligned(length) :]


def _address(body: bytes) -> Iterator[tuple[str, Address]]:
    """The address of one RTM_NEWADDR, none if its interface has just gone or it lost the duplicate detection."""
    _, _, flags, _, index = ADDRESS.unpack_from(body)
    if flags & IFA_F_DADFAILED:
        return
    attributes = dict(_attributes(body[ADDRESS.size :]))
    # On a point-to-point link IFA_ADDRESS is the other end's; IPv6 has IFA_LOCAL only there.
    raw = attributes.get(IFA_LOCAL) or attributes.get(IFA_ADDRESS)
    if raw is not None:
        with suppress(OSError):
            yield socket.if_indextoname(index), ip_address(raw)


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= ATTRIBUTE.size:
        length, kind = ATTRIBUTE.unpack_from(data)
        if length < ATTRIBUTE.size:
            return
        yield kind, data[ATTRIBUTE.size : length]
        data = data[_aligned(length) :]


def _aligned(length: int) -> int:
    return (length + 3) & ~3
