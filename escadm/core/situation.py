"""All that is known at one moment, as one frozen value: what :func:`escadm.core.decide.decide` decides from.

``now`` is a reading of one monotonic clock in seconds, ``at`` the wall clock's in ISO 8601, UTC. Nothing here asks a
clock or the machine: who gathers the situation has looked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from escadm.core.adverts import Adverts
from escadm.core.claims import Claims
from escadm.core.drbd.fencing import Hold
from escadm.core.drbd.secret import PairSecret
from escadm.core.drbd.state import Replica
from escadm.core.interfaces import Interfaces, carries
from escadm.core.lifecycle import Life
from escadm.core.plan import Plan, Unit
from escadm.core.reason import Reason
from escadm.core.reconcile import Live
from escadm.core.role import Peer
from escadm.core.states import Role, UnitState, Vrrp
from escadm.core.trust import Acquaintance


@dataclass(frozen=True, slots=True)
class Wish:
    """What administrators ask of this node. ``switchover``: why the role is handed over on purpose, empty if not."""

    active: bool = True
    down: frozenset[str] = frozenset()
    up: frozenset[str] = frozenset()
    switchover: str = ""


@dataclass(frozen=True, slots=True)
class Gateway:
    """Whether a third machine answers. ``reached`` None = none is configured, or that is not known yet.

    ``gone``: it has been silent for so long that a peer which cannot reach it either has noticed and said so.
    ``answered_at``: when it answered last.
    """

    is_asked: bool = False
    reached: bool | None = None
    gone: bool = False
    answered_at: float | None = None


@dataclass(frozen=True, slots=True)
class Doubt:
    """What is seen and contradicts keepalived's ``word``, since when, and when keepalived was asked to say it again.

    One word may be contradicted by this and then by that; ``reason`` is the newest.
    """

    word: Vrrp
    reason: Reason
    since: float
    asked: float | None = None


@dataclass(frozen=True, slots=True)
class Kept:
    """What one decision leaves for the next.

    ``release``: why this node gives the role up. ``hold``: why it must not take it. ``candidate``: what will hold it
    back once it has lasted, and since when that is so. ``abandoned``: why waiting writes were given up, until the role
    is gone as well. ``waits_since``: since when it has waited for its peer to leave the role, None when it need not.
    ``behind``: whether the peer may have written what is not here: it was Primary when DRBD last saw it, and nothing is
    known of it since. ``cut_off``: whether this node has reached nobody since it was in touch with the peer.
    ``declared``: whether somebody has said that the data here is the one to go on with. ``disk``: what DRBD last
    said of this node's. ``stood_at``: when it last stood for the role again, having heard the primary's adverts.
    ``doubt``: what contradicts keepalived's word. ``restarted``: when keepalived was restarted for that. ``distrust``:
    why this node is in fault because of it, and until when.
    """

    role: Role | None = None
    role_since: str | None = None
    release: Reason | None = None
    hold: Hold | None = None
    candidate: tuple[Hold, float] | None = None
    abandoned: str = ""
    waits_since: float | None = None
    behind: bool = True
    cut_off: bool = False
    declared: bool = False
    disk: str = ""
    stood_at: float | None = None
    doubt: Doubt | None = None
    restarted: float | None = None
    distrust: tuple[Reason, float] | None = None


@dataclass(frozen=True, slots=True)
class Situation:
    """What is known of this node and of its peer.

    ``lives``: each unit that ever lived, by name; ``units``: the definition that it lives by; ``stale``: those that
    must go round. ``absent``: units that are not installed. ``vrrp``: keepalived's last word. ``asked``: DRBD waits to
    be told what has become of the peer. ``acting``: the data is being declared outdated, or writes given up, just now.
    ``sure_at``: until then a peer's silence says nothing, the agent has only begun to listen. ``heard_at``: when the
    peer was heard last.
    ``known``: how the nodes know each other. ``secret``: what follows for DRBD;
    ``refused``: DRBD has refused the peer for its secret; ``secret_acting``: something is done about it just now.
    ``unwritten``: what could not be written of the files that others go by. ``interfaces``: this node's own,
    None until they were looked at. ``adverts``: VRRP's, as they are seen. ``claims``: who else was heard
    to have the virtual address while it was guarded. ``lacks``: what the engines need and the machine does not have
    (yet).
    """

    plan: Plan
    wish: Wish = Wish()
    now: float = 0.0
    at: str = ""
    lives: Mapping[str, Life] = field(default_factory=dict)
    units: Mapping[str, Unit] = field(default_factory=dict)
    stale: frozenset[str] = frozenset()
    absent: frozenset[str] = frozenset()
    vrrp: Vrrp = Vrrp.UNKNOWN
    interfaces: Interfaces | None = None
    lacks: tuple[Reason, ...] = ()
    adverts: Adverts = field(default_factory=Adverts)
    claims: Claims = field(default_factory=dict)
    peer: Peer | None = None
    heard_at: float | None = None
    known: Acquaintance | None = None
    secret: PairSecret = field(default_factory=PairSecret)
    refused: bool = False
    secret_acting: bool = False
    gateway: Gateway = Gateway()
    replica: Replica | None = None
    asked: bool = False
    acting: bool = False
    sure_at: float = 0.0
    unwritten: tuple[str, ...] = ()
    kept: Kept = Kept()

    @property
    def vip_here(self) -> bool | None:
        """Whether the virtual address is on its interface; None = there is none, or nobody has looked yet."""
        spec = self.plan.keepalived
        if spec is None or self.interfaces is None:
            return None
        return carries(self.interfaces, spec.vip_interface, spec.vip)

    def state(self, name: str) -> UnitState:
        """The state of a unit; one that never lived is stopped."""
        life = self.lives.get(name)
        return life.state if life else UnitState.STOPPED

    def live(self) -> dict[str, Live]:
        """What the reconciler looks at."""
        return {
            name: Live(self.units[name], life.state, name in self.stale)
            for name, life in self.lives.items()
            if life.state is not UnitState.STOPPED
        }
