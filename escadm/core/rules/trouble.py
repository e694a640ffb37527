"""What is wrong with this node: its services, its data, its network."""

from __future__ import annotations

from escadm.core.drbd.state import why_unfit
from escadm.core.reason import Reason
from escadm.core.rules.network import network_faults
from escadm.core.rules.strangers import claimants, strangers
from escadm.core.situation import Situation
from escadm.core.states import UnitState


def faults(seen: Situation) -> tuple[Reason, ...]:
    """Why this node can take no part, for certain: whatever keepalived and the peer say, and at once."""
    spec = seen.plan.keepalived
    if spec is None or seen.lacks:
        return seen.lacks
    distrust = () if seen.kept.distrust is None else (seen.kept.distrust[0],)
    return (*network_faults(spec, seen.interfaces), *distrust)


def findings(seen: Situation) -> tuple[Reason, ...]:
    """What is not as it should be on the wire, though it does not keep the role from this node."""
    spec = seen.plan.keepalived
    others = strangers(spec, seen.adverts, seen.now) if spec else ()
    return (*others, *claimants(seen), *doubts(seen))


def doubts(seen: Situation) -> tuple[Reason, ...]:
    """What contradicts keepalived's word, and has for longer than words and facts may differ."""
    doubt = seen.kept.doubt
    return (doubt.reason,) if doubt is not None and doubt.asked is not None else ()


def failing(seen: Situation) -> list[str]:
    """Units with the verdict, in start order; what is kept up for ever is never a reason to fail over.

    Nor is what an administrator has stopped since.
    """
    lives, down = seen.lives, seen.wish.down
    return [name for name in seen.plan.units if name in lives and lives[name].failed and name not in down]


def unfit_data(seen: Situation) -> str:
    """Why the data here must not be served, or cannot be; empty when it may, and while that is not known yet."""
    life = seen.lives.get("drbd")
    if seen.plan.drbd is None or life is None:
        return ""
    if life.state is UnitState.RUNNING:
        return why_unfit(seen.replica) if seen.replica else ""
    return f"drbd {life.reason}" if life.streak else ""
