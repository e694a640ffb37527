"""The role: which one was reached, whether this node should give it up, and whether the peer could take it.

All of it pure: what keepalived said, what runs and what the peer told go in; a decision comes out.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from escadm.core.drbd.evidence import Evidence
from escadm.core.drbd.secret import PairSecret
from escadm.core.drbd.state import Replica
from escadm.core.graph import above
from escadm.core.plan import MASTER_CONDITION, Plan
from escadm.core.reconcile import DOWN, Live
from escadm.core.states import Role, UnitState, Vrrp


@dataclass(frozen=True, slots=True)
class Peer:
    """What this node knows of the other one.

    ``fit``: nothing there has failed and it may have the role. ``settled``: all that should run there does.
    ``replica``: what it tells of its copy of the data; None without a volume, and while it is not heard.
    ``near``: it is heard on the path that VRRP takes. ``holds``: it keeps out of the election only because it knows
    of a primary. ``gateway``: whether it can reach one, None where it has none. ``has_volume``: DRBD is up there.
    ``asks``: it is about to go on without this node's copy, and wants that outdated. ``stale``: this node's DRBD has
    seen more of it since it said this. ``runs``: something of the primary is left there. ``hears_us``: whether it hears
    this node, on any path; None = a version that does not say.
    ``secret``: its part in the secret of the nodes' keys; None = a version that knows of none.
    """

    address: str
    heard: bool = False
    vrrp: Vrrp = Vrrp.UNKNOWN
    role: Role | None = None
    fit: bool = False
    settled: bool = False
    reasons: tuple[str, ...] = ()
    pairing: Mapping[str, str] | None = None
    replica: Evidence | None = None
    near: bool = False
    holds: bool = False
    gateway: bool | None = None
    has_volume: bool = True
    asks: bool = False
    stale: bool = False
    runs: bool = False
    hears_us: bool | None = None
    secret: PairSecret | None = None

    @property
    def able(self) -> bool:
        """Whether it has the role in good health, or could take it over now."""
        return self.heard and self.fit and (self.holds or self.vrrp in (Vrrp.MASTER, Vrrp.BACKUP))


def meant_by(vrrp: Vrrp) -> Role:
    """The role of a pair's node that keepalived's word leads to."""
    return {Vrrp.MASTER: Role.MASTER, Vrrp.BACKUP: Role.BACKUP}.get(vrrp, Role.FAULT)


def master_units(plan: Plan, live: Mapping[str, Live]) -> frozenset[str]:
    """The names of all units that stand on ``keepalived:master``, by the plan or by how they were started."""
    needs = {name: current.unit.needs for name, current in live.items()}
    needs |= {name: unit.needs for name, unit in plan.units.items()}
    return above(needs, [MASTER_CONDITION]) - {MASTER_CONDITION}


def is_drained(plan: Plan, live: Mapping[str, Live]) -> bool:
    """Whether nothing that belongs to the primary is left on this node."""
    return all(live[name].state in DOWN for name in master_units(plan, live) if name in live)


def reached(plan: Plan, vrrp: Vrrp, live: Mapping[str, Live], before: Role | None) -> Role:
    """The role that this node has reached; ``before`` stays until the next one is true.

    MASTER: promotion and mount are done. BACKUP and FAULT: nothing of the primary is left here.
    """
    if not plan.is_pair:
        return Role.STANDALONE
    if vrrp is Vrrp.MASTER:
        above_the_role = [name for name, unit in plan.units.items() if unit.kind.takes_the_role]
        owned = master_units(plan, live).intersection(above_the_role)
        if all(name in live and live[name].state is UnitState.RUNNING for name in owned):
            return Role.MASTER
        return before if before in (Role.MASTER, Role.BACKUP) else Role.FAULT
    if not is_drained(plan, live):
        return before or Role.FAULT
    return Role.BACKUP if vrrp is Vrrp.BACKUP else Role.FAULT


def why_not_take_over(peer: Peer | None) -> str:
    """Why the peer could not take the role now, as one sentence; empty when it could."""
    if peer is None:
        return "the peer's address is not known (no drbd.nodes and no keepalived.unicast_peers)"
    if not peer.heard:
        return f"the peer {peer.address} does not answer"
    if peer.vrrp is Vrrp.MASTER:
        return f"the peer {peer.address} already is the primary"
    if not peer.able:
        told = "; ".join(peer.reasons) or f"its keepalived says {peer.vrrp}"
        return f"the peer {peer.address} is not fit: {told}"
    return ""


def why_peer_lacks_data(replica: Replica | None, *, replicates: bool) -> str:
    """Why the peer does not have all that was written here, as a sentence; empty when it has, or nothing is replicated.

    Moving the role there on purpose would lose what it lacks, or split the data.
    """
    if not replicates:
        return ""
    if replica is None or not replica.is_connected:
        return "the replication to the peer is not connected: it lacks what was written here since"
    if replica.peer_disk != "UpToDate":
        return f"the peer's data is {replica.peer_disk}"
    return ""


def gives_up(failing: Collection[object], peer: Peer | None) -> bool:
    """Whether this node should hold no role: something here keeps failing, and the peer is able.

    With a peer that is absent or itself failing the answer is no: somebody has to go on trying. Since both nodes ask
    the same question, two nodes on which the same service fails do not pass the role to and fro.
    """
    return bool(failing) and peer is not None and peer.able
