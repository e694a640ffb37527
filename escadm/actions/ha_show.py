"""``ha show``: the parameters of the pair that are in effect, defaults included."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from escadm.config import read_plan
from escadm.core.problem import HostFacts, Problem
from escadm.core.session import fingerprint
from escadm.core.specs import DrbdSpec, KeepalivedSpec
from escadm.paths import Paths
from escadm.system.keys import read_key


@dataclass(frozen=True, slots=True)
class HaView:
    """The pair as this node has it; both specs None = standalone."""

    keepalived: KeepalivedSpec | None
    drbd: DrbdSpec | None
    warnings: tuple[Problem, ...] = ()
    node_key: str = ""
    peer_key: str = ""

    def parameters(self) -> list[tuple[str, str]]:
        """Name and value, named as the options of ``ha set``; last the fingerprints of both nodes' keys."""
        if self.keepalived is None:
            return []
        spec = self.keepalived
        prefix = "" if spec.vip_prefix is None else f"/{spec.vip_prefix}"
        address = f"[{spec.vip}]" if spec.vip.version == 6 else str(spec.vip)
        found = [
            ("kad_vip", f"{address}{prefix}:{spec.vip_interface}"),
            ("kad_vif", spec.interface),
            ("kad_vri", str(spec.virtual_router_id)),
            ("kad_unicast_src_ip", str(spec.unicast_source or "")),
            ("kad_unicast_peer", _listed(spec.unicast_peers)),
            ("advert_interval", f"{spec.advert_interval:g}"),
            ("gateway", _listed(spec.gateway)),
            ("ha_node_list", _listed(self.drbd.nodes if self.drbd else ())),
            ("node_key", self.node_key),
            ("peer_key", self.peer_key),
        ]
        return [(name, value) for name, value in found if value]


def ha_show(paths: Paths, facts: HostFacts) -> HaView:
    """What is in effect. Raises InvalidConfig with every problem."""
    read = read_plan(paths.config, facts)
    node, peer = _fingerprint(paths.node_pub), _fingerprint(paths.peer_pub)
    return HaView(read.plan.keepalived, read.plan.drbd, read.warnings, node, peer)


def _fingerprint(path: Path) -> str:
    key = read_key(path)
    return fingerprint(key) if key else ""


def _listed(items: Iterable[object]) -> str:
    return " ".join(str(each) for each in items)
