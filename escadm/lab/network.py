"""The addresses of a lab: the seed's own unless a configuration names others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from itertools import chain, count, islice

from escadm.core.specs import Address
from escadm.errors import Failed

SEED_NODES = (ip_address("172.16.0.0"), ip_address("172.16.1.0"))
SEED_VIP = ip_address("172.16.2.0")
SHORTEST_PREFIX = 4


@dataclass(frozen=True, slots=True)
class Network:
    """One network for both nodes, the client and the gateways, which are addresses of the switch."""

    nodes: tuple[Address, Address]
    vip: Address
    client: Address
    prefix: int
    interface: str = "eth0"
    gateways: tuple[Address, ...] = ()


def make_network(
    nodes: tuple[Address, Address] = SEED_NODES,
    vip: Address = SEED_VIP,
    interface: str = "eth0",
    gateways: tuple[Address, ...] = (),
) -> Network:
    """The smallest usual network in which all the addresses are ordinary hosts, and a free address for the client.

    172.16.0.0, the seed's first node, ends in .0: with any prefix from /12 to /24 it would name the network itself.
    With /11 it is a host like any other.
    """
    taken = {*nodes, vip, *gateways}
    if len({address.version for address in taken}) > 1:
        raise Failed("cannot make a lab with IPv4 and IPv6 addresses mixed", "give nodes, VIP and gateways of one kind")
    longest = 24 if vip.version == 4 else 64
    for prefix in range(longest, SHORTEST_PREFIX - 1, -1):
        network = ip_network(f"{vip}/{prefix}", strict=False)
        if all(is_host(address, network) for address in taken):
            client = next(address for address in neighbours(vip, network) if address not in taken)
            return Network(nodes, vip, client, prefix, interface, gateways)
    raise Failed(
        f"cannot put {', '.join(map(str, sorted(taken, key=int)))} into one network",
        "both nodes and the VIP must be neighbours",
    )


def is_host(address: Address, network: IPv4Network | IPv6Network) -> bool:
    """Whether the address is one that a machine of the network can have."""
    return address in network and address not in (network.network_address, network.broadcast_address)


def free_hosts(beside: Address, taken: set[Address], number: int) -> tuple[Address, ...]:
    """Addresses that nobody has, for nodes or a VIP that a configuration does not name."""
    network = ip_network(f"{beside}/{24 if beside.version == 4 else 64}", strict=False)
    return tuple(islice((address for address in neighbours(beside, network) if address not in taken), number))


def neighbours(vip: Address, network: IPv4Network | IPv6Network) -> Iterator[Address]:
    """Addresses for the client: one net and one host further than the VIP, else the next ones after it or before it."""
    kind = IPv4Address if isinstance(vip, IPv4Address) else IPv6Address
    steps: Iterable[int] = chain([257], (sign * step for step in count(1) for sign in (1, -1)))
    candidates = (kind(int(vip) + step) for step in steps)
    return (address for address in candidates if is_host(address, network))
