"""The pair: virtual address, nodes, interfaces and unicast, held against each other and against this machine."""

from __future__ import annotations

from ipaddress import ip_interface

from escadm.config.addresses import Vip
from escadm.config.drbd import volume
from escadm.config.findings import Findings, did_you_mean
from escadm.config.model import Config, Keepalived
from escadm.config.reader import Path
from escadm.core.problem import HostFacts
from escadm.core.specs import Address, DrbdSpec, KeepalivedSpec

FALLBACK_INTERFACE = "eth0"
FALLBACK_VRID = 51
_KEEPALIVED: Path = ("resources", "keepalived")
_NODES: Path = ("resources", "drbd", "nodes")
_SET_INTERFACE = "set one with `escadm ha set --kad_vif=…`"
_USELESS_ALONE = (
    "vip_interface", "interface", "virtual_router_id", "unicast_source", "unicast_peers", "advert_interval", "gateway",
)  # fmt: skip


def engines(
    config: Config, facts: HostFacts, findings: Findings, broken: frozenset[str]
) -> tuple[KeepalivedSpec | None, DrbdSpec | None]:
    """The specs of keepalived and DRBD, each None where the node has none. Errors go to ``findings``."""
    if broken & {"keepalived", "drbd"}:
        return None, None
    vip = config.keepalived.vip
    if vip is None:
        _standalone(config, findings)
        return None, None
    network = _Network(config, vip, facts, findings)
    keepalived = network.keepalived()
    return keepalived, volume(config, findings, facts.drbd_major) if config.drbd.nodes else None


def _standalone(config: Config, findings: Findings) -> None:
    if config.drbd.nodes:
        message = "two nodes, but no virtual address: nothing would say which of them is the primary"
        findings.error(_NODES, message, "set one with `escadm ha set --kad_vip=…`, or remove `nodes`", key=True)
        return
    for key in _USELESS_ALONE:
        if key in config.keepalived.model_fields_set:
            findings.warn((*_KEEPALIVED, key), "has no effect without `vip`: this node is standalone", key=True)


class _Network:
    def __init__(self, config: Config, vip: Vip, facts: HostFacts, findings: Findings) -> None:
        self.settings: Keepalived = config.keepalived
        self.nodes = config.drbd.nodes
        self.vip = vip
        self.facts = facts
        self.findings = findings

    def keepalived(self) -> KeepalivedSpec:
        if not self.settings.startup:
            message = "keepalived cannot be switched off in a pair: it says which node is the primary"
            self.findings.error((*_KEEPALIVED, "startup"), message, "remove this line, or `vip` for a standalone node")
        self._check_nodes()
        own = self._own_node()
        interface = self._interface(own)
        source, peers = self._unicast(own)
        self._check_vip()
        self._check_gateway()
        byte = self.vip.address.packed[-1]
        return KeepalivedSpec(
            vip=self.vip.address,
            vip_prefix=self.vip.prefix,
            interface=interface,
            vip_interface=self._checked_interface("vip_interface") or interface,
            virtual_router_id=self.settings.virtual_router_id or byte or FALLBACK_VRID,
            advert_interval=self.settings.advert_interval,
            priority=self.settings.priority,
            unicast_source=source,
            unicast_peers=peers,
            gateway=self.settings.gateway,
            peer_paths=self._peer_paths(own, source, peers),
        )

    def _peer_paths(
        self, own: Address | None, source: Address | None, peers: tuple[Address, ...]
    ) -> tuple[tuple[Address, Address], ...]:
        others = [node for node in self.nodes if node != own]
        paths = [(source, peers[0])] if source is not None and peers else []
        paths += [(own, others[0])] if own is not None and others else []
        return tuple(dict.fromkeys(paths))

    # --- addresses ----------------------------------------------------------------------------------------

    def _check_nodes(self) -> None:
        for index, node in enumerate(self.nodes):
            path = (*_NODES, index)
            if node == self.vip.address:
                message = f"{node} is the virtual address (keepalived.vip) too"
                self.findings.error(path, message, "name the address that this node has for itself")
            if index and node == self.nodes[0]:
                self.findings.error(path, f"{node} is there twice", "name the address of each node once")
        if len({node.version for node in self.nodes}) > 1:
            self.findings.error(_NODES, "one IPv4 and one IPv6 address", "name two of the same kind")

    def _check_vip(self) -> None:
        if self.vip.prefix is None:
            return
        network = ip_interface(f"{self.vip.address}/{self.vip.prefix}").network
        if network.num_addresses <= 2:
            return
        edges = {network.network_address: "the network"}
        if network.version == 4:
            edges[network.broadcast_address] = "the broadcast"
        places = [((*_KEEPALIVED, "vip"), self.vip.address)]
        places += [((*_NODES, index), node) for index, node in enumerate(self.nodes)]
        for path, address in places:
            if address in edges:
                message = f"{address} is {edges[address]} address of {network}"
                self.findings.warn(path, message, "is the prefix right?")

    def _check_gateway(self) -> None:
        pair = {*self.nodes, *self.settings.unicast_peers, self.settings.unicast_source}
        for index, gateway in enumerate(self.settings.gateway):
            wrong = ""
            if gateway == self.vip.address or gateway in pair:
                wrong = "the virtual address" if gateway == self.vip.address else "one of the two nodes"
            elif gateway.is_link_local:
                wrong = "a link-local address, which nobody can ask without an interface"
            elif gateway in self.settings.gateway[:index]:
                wrong = "there twice"
            if wrong:
                path = self.findings.marks.known((*_KEEPALIVED, "gateway", index))
                self.findings.error(path, f"{gateway} is {wrong}", "name a third machine")

    def _own_node(self) -> Address | None:
        """The address of this node in ``nodes``: the first one where that cannot be told."""
        if not self.nodes:
            return None
        own = [node for node in self.nodes if node in self.facts.addresses]
        if not own and not self.facts.strict and self.settings.unicast_source in self.nodes:
            return self.settings.unicast_source
        if not own:
            self._mismatch(_NODES, "neither address is on this machine", self._fallback(str(self.nodes[0])))
        elif len(set(own)) == 2:
            self._mismatch(_NODES, "both addresses are on this machine", "each node has one of them")
        return own[0] if own else self.nodes[0]

    def _fallback(self, chosen: str) -> str:
        if not self.facts.strict:
            return f"this node is taken for {chosen}"
        here = sorted(str(each) for each in self.facts.addresses if not each.is_loopback)
        return f"addresses here: {', '.join(here) or 'none'}"

    def _mismatch(self, path: Path, message: str, hint: str) -> None:
        self.findings.mismatch(path, message, hint, strict=self.facts.strict)

    # --- interfaces ---------------------------------------------------------------------------------------

    def _interface(self, own: Address | None) -> str:
        """The interface of VRRP: as written, else the one with this node's address, else that of the VIP."""
        written = self._checked_interface("interface")
        source = self.settings.unicast_source
        speaker = source if source in self.facts.addresses else own  # replication may have a cable of its own
        holders = self._holders(speaker)
        if written is not None:
            if holders and written not in [*holders, "lo"] and written in self.facts.interfaces:
                message = f"{speaker}, the address of this node, is not on {written} but on {' and '.join(holders)}"
                hint = "VRRP and replication share a network unless unicast_source and unicast_peers say otherwise"
                self._mismatch((*_KEEPALIVED, "interface"), message, hint)
            return written
        if len(holders) == 1:
            return holders[0]
        if self.settings.vip_interface is not None:
            return self.settings.vip_interface
        if not self.facts.strict:
            message = f"no `interface`: {FALLBACK_INTERFACE} is taken"
            self.findings.warn(_KEEPALIVED, message, _SET_INTERFACE, key=True)
        elif self.facts.addresses.issuperset({own, source} - {None}):  # one that is missing is told already
            self.findings.error(
                _KEEPALIVED, "no `interface` for the virtual address and VRRP", _SET_INTERFACE, key=True
            )
        return FALLBACK_INTERFACE

    def _holders(self, address: Address | None) -> list[str]:
        return sorted(name for name, each in self.facts.interfaces.items() if address in each and name != "lo")

    def _checked_interface(self, key: str) -> str | None:
        name: str | None = getattr(self.settings, key)
        known = self.facts.interfaces
        path = (*_KEEPALIVED, key)
        if name == "lo":
            self.findings.error(path, "the loopback interface reaches no other machine", "name another one")
        elif name is not None and known and name not in known:
            others = sorted(set(known) - {"lo"})
            hint = did_you_mean(name, others) or f"interfaces here: {', '.join(others) or 'none'}"
            self._mismatch(path, f"this machine has no interface {name}", hint)
        return name

    # --- unicast ------------------------------------------------------------------------------------------

    def _unicast(self, own: Address | None) -> tuple[Address | None, tuple[Address, ...]]:
        """Source and peers: as written, else from the nodes. Never one without the other."""
        source, peers = self.settings.unicast_source, self.settings.unicast_peers
        if source is None and not peers and own is not None and own.version != self.vip.address.version:
            message = (
                f"the nodes have IPv{own.version} addresses and the virtual address is IPv{self.vip.address.version}"
            )
            self.findings.warn(_NODES, f"{message}: VRRP by multicast", "keepalived sends unicast within one family")
            return None, ()
        if own is not None:
            source = source or own
            here = source if source in self.nodes else own
            peers = peers or tuple(node for node in self.nodes if node != here)
            if not peers:
                return None, ()  # both nodes have one address, which is told already
        if (source is None) != (not peers):
            there, missing = (
                ("unicast_peers", "unicast_source") if source is None else ("unicast_source", "unicast_peers")
            )
            hint = f"add {missing}, or remove this"
            self.findings.error((*_KEEPALIVED, there), f"{there} without {missing}", hint, key=True)
            return None, ()
        self._check_unicast(source, peers)
        return source, peers

    def _check_unicast(self, source: Address | None, peers: tuple[Address, ...]) -> None:
        written = [("unicast_peers", peer) for peer in self.settings.unicast_peers]
        if self.settings.unicast_source is not None:
            written.append(("unicast_source", self.settings.unicast_source))
        for key, address in written:
            path = (*_KEEPALIVED, key)
            if address == self.vip.address:
                self.findings.error(path, f"{address} is the virtual address (keepalived.vip)", "name a node's address")
            elif address.version != self.vip.address.version:
                message = f"{address} and the virtual address {self.vip.address} are not of one kind"
                self.findings.error(path, message, "IPv4 with IPv4, IPv6 with IPv6")
            elif key == "unicast_peers" and (address == source or address in self.facts.addresses):
                self._mismatch(path, f"{address} is this node itself", "name the other node's address")
            elif key == "unicast_source" and self.facts.interfaces and address not in self.facts.addresses:
                self._mismatch(path, f"{address} is not on this machine", self._fallback(str(address)))
        if len(set(peers)) < len(peers):
            self.findings.error((*_KEEPALIVED, "unicast_peers"), "an address is there twice", "keep one of them")
