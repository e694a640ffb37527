"""What the node tells: everybody by the snapshot, keepalived, the next agent by its memory, the peer by datagram."""

from __future__ import annotations

from typing import TYPE_CHECKING

from escadm.agent.memory import Memory, remember, save
from escadm.agent.publish import picture, publish
from escadm.agent.vrrp import write_fitness
from escadm.core.evidence import encode, evidence_of
from escadm.core.fencing import NO_GATEWAY
from escadm.core.health import Facts
from escadm.core.reconcile import DOWN
from escadm.core.types import UnitState, Vrrp
from escadm.errors import EscadmError
from escadm.system.net import has_address
from escadm.system.process import ProcessId

if TYPE_CHECKING:
    from escadm.agent.node import Node

LONGEST_REASON = 200
MOST_REASONS = 3


def facts_of(node: Node) -> Facts:
    """All that a verdict about the node rests on, the VIP looked at just now."""
    stage = node.stage
    seen = _vip_here(node)
    return Facts(
        plan=node.plan,
        intent=node.intent,
        lives=stage.lives,
        role=node.role,
        vrrp=node.vrrp,
        peer=node.peer,
        vip_here=seen,
        release=node.release,
        held=node.fence.hold.reason if node.fence.hold else "",
        gateway=node.gateway.reached,
        replica=node.replica,
        unfit=node.unfit,
        pairing=pairing_of(node),
    )


def _vip_here(node: Node) -> bool | None:
    spec = node.plan.keepalived
    if spec is None:
        return None
    try:
        return has_address(spec.vip_interface, spec.vip)
    except EscadmError:
        return None


def publish_node(node: Node) -> None:
    """Write down what is true, for everybody."""
    leaders = _leaders(node)
    pgids = {name: leader.pid for name, leader in leaders.items() if leader and node.state(name) not in DOWN}
    history = tuple(node.history)
    publish(
        picture(facts_of(node), pgids=pgids, since=node.since, role_since=node.role_since, history=history), node.paths
    )


def tell_keepalived(node: Node) -> None:
    """Write down whether this node may have the role, for keepalived, if that is news.

    -254 only once nothing of the primary is left: until then the VIP stays where the services still are. Data that is
    being brought up is not fit yet; of data that has not been looked at yet nothing new is said.
    """
    volume = node.state("drbd") if node.plan.drbd is not None else None
    known = volume is not UnitState.RUNNING or node.replica is not None
    reason = node.release or node.unfit or node.fence.hold or volume is UnitState.STARTING
    fit = not (reason and node.is_drained())
    if node.plan.is_pair and known and fit is not node.told_fit:
        write_fitness(node.paths, fit=fit)
        node.told_fit = fit


def remember_node(node: Node) -> None:
    """Write down what the next agent has to know."""
    stage, leaders = node.stage, _leaders(node)
    units = {
        name: remember(stage.units[name], life, leaders.get(name), stale=name in stage.stale)
        for name, life in stage.lives.items()
    }
    down, up = tuple(sorted(node.down)), tuple(sorted(node.up))
    history, abandoned = tuple(node.history), node.fence.abandoned
    active = node.active if node.wish is None else node.wish
    save(Memory(active, down, up, node.role, node.role_since, units, history, abandoned), node.paths)


def _leaders(node: Node) -> dict[str, ProcessId | None]:
    return {name: driver.leader for name, driver in node.stage.drivers.items()}


def pairing_of(node: Node) -> dict[str, str]:
    """What both nodes of a pair must have alike."""
    spec = node.plan.keepalived
    if spec is None:
        return {}
    drbd = node.plan.drbd
    volume = f"{drbd.device} {drbd.port} {' '.join(sorted(map(str, drbd.nodes)))}" if drbd else "none"
    return {
        "virtual_router_id": str(spec.virtual_router_id),
        "vip": str(spec.vip),
        "advert_interval": f"{spec.advert_interval:g}",
        "drbd": volume,
    }


def _holds(node: Node) -> bool:
    return node.fence.hold is not None and node.fence.hold.by_vrrp


def _is_fit(node: Node) -> bool:
    """Whether nothing but the election keeps the role from this node."""
    takes_part = node.vrrp in (Vrrp.MASTER, Vrrp.BACKUP) or _holds(node)
    return node.active and takes_part and not node.failing() and not node.unfit and node.gateway.reached is not False


def tell_peer(node: Node) -> dict[str, object]:
    """The datagram's content: what keepalived says, the role reached, and whether this node could have the role."""
    failing = node.failing()
    reasons = [f"{name} {node.stage.lives[name].reason}"[:LONGEST_REASON] for name in failing[:MOST_REASONS]]
    unfit = node.unfit[:LONGEST_REASON]
    reasons += [unfit] if unfit and unfit not in reasons else []
    reasons += [NO_GATEWAY] if node.gateway.reached is False else []
    if not node.active:
        reasons = ["it is stopped"]
    return {
        "vrrp": node.vrrp,
        "role": node.role,
        "fit": _is_fit(node),
        "holds": _holds(node),
        "gateway": node.gateway.reached,
        "has_volume": node.state("drbd") not in DOWN,
        "asks": node.fence.asks,
        "settled": node.is_settled(),
        "reasons": reasons,
        "pairing": pairing_of(node),
        "replica": encode(evidence_of(node.replica, node.role_since)) if node.replica else None,
    }
