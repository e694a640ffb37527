"""A node's own interfaces and addresses, as its kernel tells them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from escadm.core.specs import Address


@dataclass(frozen=True, slots=True)
class Interface:
    """``up``: switched on. ``carrier``: it can send and receive now. ``hardware``: its address on the link."""

    up: bool = True
    carrier: bool = True
    addresses: tuple[Address, ...] = ()
    hardware: str = ""


Interfaces = Mapping[str, Interface]


def carries(interfaces: Interfaces, name: str, address: Address) -> bool:
    """Whether the interface has the address."""
    return name in interfaces and address in interfaces[name].addresses
