"""What a node knows of its own network for certain: it needs nobody's second opinion, and acts at once."""

from __future__ import annotations

from escadm.core.interfaces import Interfaces, carries
from escadm.core.reason import Reason
from escadm.core.specs import KeepalivedSpec

INTERFACE_GONE = "interface-gone"
LINK_DOWN = "link-down"
ADDRESS_GONE = "own-address-gone"


def network_faults(spec: KeepalivedSpec, interfaces: Interfaces | None) -> tuple[Reason, ...]:
    """Why the node can take no part in VRRP as its network is now, the gravest first; None = nobody has looked yet.

    Without a unicast source keepalived sends from any address of the interface, and looks after that itself.
    """
    if interfaces is None:
        return ()
    gone = [name for name in dict.fromkeys((spec.interface, spec.vip_interface)) if name not in interfaces]
    if gone:
        return tuple(Reason(INTERFACE_GONE, name, f"there is no interface {name}") for name in gone)
    found = []
    interface, source = interfaces[spec.interface], spec.unicast_source
    if not (interface.up and interface.carrier):
        state = "has no carrier" if interface.up else "is switched off"
        found.append(Reason(LINK_DOWN, spec.interface, f"the interface {spec.interface} {state}"))
    if source is not None and not carries(interfaces, spec.interface, source):
        told = f"{source}, the address of this node, is not on {spec.interface}"
        found.append(Reason(ADDRESS_GONE, str(source), told))
    return tuple(found)
