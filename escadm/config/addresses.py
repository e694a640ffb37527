"""The values of the network: addresses, interfaces, and how often VRRP speaks."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

from escadm.config.values import Wrong, describe, number, text
from escadm.core.specs import Address

_INTERFACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,14}\Z")


@dataclass(frozen=True, slots=True)
class Vip:
    """``ADDRESS[/PREFIX]``."""

    address: Address
    prefix: int | None = None

    def __str__(self) -> str:
        return str(self.address) if self.prefix is None else f"{self.address}/{self.prefix}"


def address(value: object) -> Address:
    """One IP address, without prefix."""
    if isinstance(value, int | float):
        raise Wrong(f"{describe(value)} is a number, not an address", "write it in full, as in 192.0.2.10")
    if not isinstance(value, str):
        raise Wrong(f"{describe(value)} is not an IP address")
    try:
        result = ip_address(value)
    except ValueError:
        hint = "write it without the prefix" if "/" in value else ""
        raise Wrong(f"{describe(value)} is not an IP address", hint) from None
    if isinstance(result, IPv6Address) and result.scope_id:
        raise Wrong(f"{describe(value)} names an interface", "write the address without `%` and what follows")
    if result.is_unspecified or result.is_loopback or result.is_multicast or str(result) == "255.255.255.255":
        kind = ("the unspecified" if result.is_unspecified else "a loopback" if result.is_loopback else
                "a multicast" if result.is_multicast else "the broadcast")  # fmt: skip
        raise Wrong(f"{value} is {kind} address", "name an address by which the other machines reach it")
    return result


def vip(value: object) -> Vip:
    """``ADDRESS[/PREFIX]``."""
    if not isinstance(value, str):
        return Vip(address(value))
    plain, slash, prefix = value.partition("/")
    result = address(plain)
    if not slash:
        return Vip(result)
    if not prefix.isdigit() or not 1 <= int(prefix) <= result.max_prefixlen:
        raise Wrong(f"the prefix /{prefix} does not fit an IPv{result.version} address",
                    f"it goes from /1 to /{result.max_prefixlen}")  # fmt: skip
    return Vip(result, int(prefix))


def interface(value: object) -> str:
    """The name of a network interface, as the kernel takes it."""
    result = text(value)
    if not _INTERFACE.match(result):
        raise Wrong(f"{describe(result)} cannot be the name of an interface", "at most 15 letters, digits and `.-_@`")
    return result


def advert_interval(value: object) -> float:
    """Seconds between two VRRP adverts; the protocol counts hundredths."""
    result = number(0.05, 40, " of seconds")(value)
    if abs(result * 100 - round(result * 100)) > 1e-6:
        raise Wrong(f"{describe(value)} is finer than a hundredth of a second", "VRRP counts hundredths")
    return result
