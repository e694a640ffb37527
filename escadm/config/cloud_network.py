"""The network that user data asks for, in the two forms that cloud-init knows, as far as a pair depends on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Interface, IPv6Interface, ip_address, ip_interface, ip_network

from escadm.config.cloud_words import words
from escadm.config.findings import Findings, did_you_mean
from escadm.config.reader import Path
from escadm.config.values import describe
from escadm.core.specs import Address

Interface = IPv4Interface | IPv6Interface
Keys = dict[str, object]

_WITH_ADDRESS = ("static", "static6")
_WITH_NETWORK = ("physical", "bond", "bridge", "vlan")
_SECTIONS = ("ethernets", "wifis", "bonds", "bridges", "vlans")
_NOT_A_HOST = "a host needs one between its first and its last"


@dataclass
class Network:
    """The static addresses by interface, and the gateways with the place where each is written; ``dynamic``: there are
    more addresses, which nobody knows before the boot; ``is_asked_for``: there is one, and not only a word that
    cloud-init shall leave the machine's network alone."""

    interfaces: dict[str, list[Interface]] = field(default_factory=dict)
    gateways: list[tuple[Path, Address]] = field(default_factory=list)
    dynamic: bool = False
    is_asked_for: bool = False

    @property
    def addresses(self) -> frozenset[Address]:
        return frozenset(each.ip for found in self.interfaces.values() for each in found)

    def holds(self, address: Address) -> bool:
        """Whether one of the networks that this machine is in has the address."""
        return any(address in each.network for found in self.interfaces.values() for each in found)

    def text(self) -> str:
        return ", ".join(f"{each} on {name}" for name, found in self.interfaces.items() for each in found)


def read_network(value: Keys, findings: Findings) -> Network:
    """The network below the key ``network``, with everything wrong in it told."""
    network = Network()
    settings = _keys(value.get("network"), ("network",), findings)
    version = settings.get("version")
    network.is_asked_for = bool(settings) and settings.get("config") != "disabled"
    if version == 1:
        for index, each in enumerate(_items(settings.get("config"), ("network", "config"), findings)):
            _device(each, ("network", "config", index), network, findings)
    elif version == 2:
        for section in _SECTIONS:
            path: Path = ("network", section)
            for name, each in _keys(settings.get(section), path, findings).items():
                _interfaces(name, _keys(each, (*path, name), findings), (*path, name), network, findings)
    elif network.is_asked_for:
        findings.error(("network", "version"), f"{describe(version)} instead of 1 or 2", key=True)
    return network


def _keys(value: object, path: Path, findings: Findings) -> Keys:
    if isinstance(value, dict):
        return value
    if value is not None:
        findings.error(path, f"{describe(value)} instead of a mapping")
    return {}


def _items(value: object, path: Path, findings: Findings) -> list[object]:
    if isinstance(value, list):
        return value
    if value is not None:
        findings.error(path, f"{describe(value)} instead of a list")
    return []


def _unknown(keys: Keys, kind: str, path: Path, findings: Findings) -> None:
    for key in keys.keys() - words(kind):
        hint = did_you_mean(key, words(kind)) or "is it indented too little?"
        findings.error((*path, key), "cloud-init knows no such key here", hint, key=True)


# --- version 1 --------------------------------------------------------------------------------------------


def _device(value: object, path: Path, network: Network, findings: Findings) -> None:
    keys = _keys(value, path, findings)
    kind = keys.get("type")
    if kind == "nameserver":
        servers = keys.get("address")
        for index, each in enumerate(servers if isinstance(servers, list) else [servers]):
            _address(each, findings.marks.known((*path, "address", index)), findings)
    if kind not in _WITH_NETWORK:
        return
    if kind == "physical":
        _unknown(keys, "physical", path, findings)
    name = str(keys.get("name") or "")
    if not name:
        findings.error(path, "an interface without a name", "add `name: eth0`")
    for index, each in enumerate(_items(keys.get("subnets"), (*path, "subnets"), findings)):
        _subnet(name, _keys(each, (*path, "subnets", index), findings), (*path, "subnets", index), network, findings)


def _subnet(name: str, keys: Keys, path: Path, network: Network, findings: Findings) -> None:
    _unknown(keys, "subnet", path, findings)
    network.dynamic |= str(keys.get("type")).startswith("dhcp")
    here = None
    if keys.get("type") in _WITH_ADDRESS:
        here = _interface(keys.get("address"), keys.get("netmask"), (*path, "address"), findings)
        if here is not None:
            network.interfaces.setdefault(name, []).append(here)
    if "gateway" in keys:
        _gateway(keys["gateway"], (*path, "gateway"), [here], network, findings)
    for index, each in enumerate(_items(keys.get("routes"), (*path, "routes"), findings)):
        place: Path = (*path, "routes", index)
        route = _keys(each, place, findings)
        _unknown(route, "route", place, findings)
        if "gateway" in route:
            _gateway(route["gateway"], (*place, "gateway"), [here], network, findings)
        if "netmask" in route and ":" not in str(route.get("network")):
            _prefix(route["netmask"], (*place, "netmask"), findings)


# --- version 2 --------------------------------------------------------------------------------------------


def _interfaces(name: str, keys: Keys, path: Path, network: Network, findings: Findings) -> None:
    network.dynamic |= True in (keys.get("dhcp4"), keys.get("dhcp6"))
    here: list[Interface] = []
    for index, each in enumerate(_items(keys.get("addresses"), (*path, "addresses"), findings)):
        found = _interface(each, None, (*path, "addresses", index), findings)
        here += [found] if found is not None else []
    if here:
        network.interfaces.setdefault(name, []).extend(here)
    for key in ("gateway4", "gateway6"):
        if key in keys:
            _gateway(keys[key], (*path, key), here, network, findings)
    for index, item in enumerate(_items(keys.get("routes"), (*path, "routes"), findings)):
        place: Path = (*path, "routes", index)
        route = _keys(item, place, findings)
        if "via" in route:
            on_link = route.get("on-link") is True
            _gateway(route["via"], (*place, "via"), [] if on_link else here, network, findings)


# --- values -----------------------------------------------------------------------------------------------


def _address(value: object, path: Path, findings: Findings) -> Address | None:
    try:
        return ip_address(str(value))
    except ValueError:
        findings.error(path, f"{describe(value)} is not an IP address")
        return None


def _prefix(value: object, path: Path, findings: Findings) -> str | None:
    """A netmask as the part behind the slash."""
    try:
        return str(ip_network(f"0.0.0.0/{value}").prefixlen)
    except ValueError:
        findings.error(path, f"{describe(value)} is no netmask", "as in 255.255.255.0")
        return None


def _interface(value: object, netmask: object, path: Path, findings: Findings) -> Interface | None:
    if value is None:
        findings.error(path, "a static subnet without an address", "add `address: …`")
        return None
    text = str(value)
    address = _address(text.partition("/")[0], path, findings)
    if address is None:
        return None
    prefix = text.partition("/")[2] or None
    if prefix is None and netmask is not None:
        prefix = _prefix(netmask, (*path[:-1], "netmask"), findings) if address.version == 4 else str(netmask)
    elif prefix is None:
        findings.error(path, f"{address} has no netmask", f"write it as {address}/PREFIX")
    if prefix is None:
        return None
    try:
        found: Interface = ip_interface(f"{address}/{prefix}")
    except ValueError:
        findings.error(path, f"the prefix /{prefix} does not fit {address}")
        return None
    if edge := edge_of(found):
        findings.error(path, f"{address} is {edge} address of {found.network}", f"another netmask? {_NOT_A_HOST}")
    return found


def edge_of(interface: Interface) -> str:
    """``the network`` or ``the broadcast`` where the address is that of its network, empty for a host's."""
    network = interface.network
    if network.version == 6 or network.num_addresses <= 2:
        return ""
    edges: dict[Address, str] = {network.network_address: "the network", network.broadcast_address: "the broadcast"}
    return edges.get(interface.ip, "")


def _gateway(value: object, path: Path, own: Sequence[Interface | None], network: Network, findings: Findings) -> None:
    """``own``: the interface's addresses; one of them is in the router's network, unless it is all alone (/32)."""
    gateway = _address(value, path, findings)
    if gateway is None:
        return
    network.gateways.append((path, gateway))
    alike = [each for each in own if each is not None and each.version == gateway.version]
    around = next((each for each in alike if gateway in each.network), None)
    if gateway in [each.ip for each in alike]:
        findings.error(path, f"{gateway} is this machine's own address", "name the router")
    elif around is not None:
        if edge := edge_of(ip_interface(f"{gateway}/{around.network.prefixlen}")):
            findings.error(path, f"{gateway} is {edge} address of {around.network}", "name the router")
    elif alike and not gateway.is_link_local and all(each.network.num_addresses > 1 for each in alike):
        here = alike[-1]
        findings.error(path, f"{gateway} is not in {here.network}, the network of {here.ip}", "name its router")
