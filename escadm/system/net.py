"""What the kernel knows about interfaces and addresses, asked over netlink (rtnetlink(7)): no command, no library."""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from ipaddress import ip_address
from typing import TypeVar

from escadm.core.interfaces import Interface
from escadm.core.problem import HostFacts
from escadm.core.specs import Address
from escadm.errors import Failed
from escadm.paths import Paths
from escadm.system.drbd.parser import kernel_major
from escadm.system.systemd import enabled_units, masked_units

RTM_NEWLINK = 16
RTM_GETLINK = 18
RTM_NEWADDR = 20
RTM_GETADDR = 22
NLMSG_ERROR = 2
NLMSG_DONE = 3
NLM_F_REQUEST = 0x1
NLM_F_DUMP = 0x300
NLM_F_DUMP_INTR = 0x10
IFA_ADDRESS = 1
IFA_LOCAL = 2
IFA_F_DADFAILED = 0x08
IFLA_ADDRESS = 1
IFLA_IFNAME = 3
IFF_UP = 0x1
IFF_RUNNING = 0x40
RTMGRP_LINK = 0x1
RTMGRP_IPV4_IFADDR = 0x10
RTMGRP_IPV6_IFADDR = 0x100

HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
ADDRESS = struct.Struct("=BBBBI")  # ifaddrmsg: family, prefix length, flags, scope, interface index
LINK = struct.Struct("=BBHiII")  # ifinfomsg: family, padding, type, index, flags, change
ATTRIBUTE = struct.Struct("=HH")  # rtattr: length, type

_T = TypeVar("_T")

ANSWER_WITHIN = 2.0
ATTEMPTS = 10
BUFFER = 1 << 16


def host_facts(paths: Paths) -> HostFacts:
    """What this machine (network namespace) has: interfaces with their addresses, DRBD, systemd's units.

    Strict for itself alone.
    """
    return HostFacts(
        {name: each.addresses for name, each in interfaces().items()},
        strict=paths.is_host,
        drbd_major=kernel_major(),
        enabled=enabled_units(paths),
        masked=masked_units(paths),
    )


def interfaces() -> dict[str, Interface]:
    """Every interface of this machine (network namespace) as it is now."""
    found: dict[str, list[Address]] = {}
    for name, address in _addresses():
        found.setdefault(name, []).append(address)
    links = _ask(RTM_GETLINK, RTM_NEWLINK, LINK.pack(socket.AF_UNSPEC, 0, 0, 0, 0, 0), _link)
    return {
        name: Interface(bool(flags & IFF_UP), bool(flags & IFF_RUNNING), tuple(found.get(name, ())), hardware)
        for name, flags, hardware in links
    }


def has_address(interface: str, address: Address) -> bool:
    """Whether ``interface`` carries ``address`` now, as its first or as any further one."""
    return (interface, address) in _addresses()


def interface_of(address: Address) -> str | None:
    """The interface that carries ``address`` now, None where none does."""
    return next((interface for interface, each in _addresses() if each == address), None)


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
    return _ask(RTM_GETADDR, RTM_NEWADDR, ADDRESS.pack(socket.AF_UNSPEC, 0, 0, 0, 0), _address)


def _ask(question: int, answer: int, body: bytes, parse: Callable[[bytes], Iterable[_T]]) -> list[_T]:
    """What the kernel lists, parsed. A list that changed while it was read may lack what was there all the time."""
    try:
        for _ in range(ATTEMPTS):
            with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as sock:
                sock.settimeout(ANSWER_WITHIN)
                sock.bind((0, 0))
                flags = NLM_F_REQUEST | NLM_F_DUMP
                sock.send(HEADER.pack(HEADER.size + len(body), question, flags, 1, 0) + body)
                listed = list(_dump(sock))
            if not any(flags & NLM_F_DUMP_INTR for _, flags, _ in listed):
                return [each for kind, _, message in listed if kind == answer for each in parse(message)]
    except OSError as error:
        raise Failed(f"cannot ask the kernel for this machine's interfaces and addresses: {error}") from error
    raise Failed("cannot ask the kernel for this machine's interfaces and addresses: they change all the time")


def _dump(sock: socket.socket) -> Iterator[tuple[int, int, bytes]]:
    """Each message of an answer, its end included: kind, flags, body."""
    while True:
        for kind, flags, body in _messages(sock.recv(BUFFER)):
            if kind == NLMSG_ERROR:
                number = -struct.unpack_from("=i", body)[0]
                raise OSError(number, os.strerror(number))
            yield kind, flags, body
            if kind == NLMSG_DONE:
                return


def _messages(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    while len(data) >= HEADER.size:
        length, kind, flags, _, _ = HEADER.unpack_from(data)
        yield kind, flags, data[HEADER.size : length]
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


def _link(body: bytes) -> Iterator[tuple[str, int, str]]:
    """Name, flags and hardware address of one RTM_NEWLINK."""
    _, _, _, _, flags, _ = LINK.unpack_from(body)
    attributes = dict(_attributes(body[LINK.size :]))
    hardware = attributes.get(IFLA_ADDRESS, b"")
    yield attributes[IFLA_IFNAME].rstrip(b"\0").decode(), flags, hardware.hex(":")


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= ATTRIBUTE.size:
        length, kind = ATTRIBUTE.unpack_from(data)
        if length < ATTRIBUTE.size:
            return
        yield kind, data[ATTRIBUTE.size : length]
        data = data[_aligned(length) :]


def _aligned(length: int) -> int:
    return (length + 3) & ~3
