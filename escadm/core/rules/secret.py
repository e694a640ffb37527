"""The secret of the nodes' keys: when it is written into esc.res, and when DRBD begins to go by it.

DRBD asks for a secret when it connects, and at no other time. So a connected pair takes one up without an interruption:
first both write it down, then, knowing that of each other, both tell it to their DRBD. Should they lose their
connection while one goes by it alone, that one refuses the other and stops connecting (StandAlone). It connects once
more when both go by the same again. Whether that is why it has stopped, the kernel's log tells, and nobody else.
"""

from __future__ import annotations

from dataclasses import replace
from enum import Enum, auto

from escadm.core.drbd.secret import PairSecret
from escadm.core.situation import Situation
from escadm.core.states import UnitState


class SecretAct(Enum):
    """What is done about it; each may be decided again until its effect is seen.

    LOOK: at what is written, and what DRBD goes by. WRITE: the own one into esc.res; REMOVE: any from there.
    APPLY: DRBD goes by what is written. CONNECT: DRBD tries to connect once more.
    """

    LOOK = auto()
    WRITE = auto()
    REMOVE = auto()
    APPLY = auto()
    CONNECT = auto()


def part(seen: Situation) -> PairSecret | None:
    """This node's part in the secret, None without DRBD. It works none out where esc-config.yaml names another one."""
    spec = seen.plan.drbd
    if spec is None:
        return None
    return _worked_out(seen) if spec.shared_secret is None else replace(_worked_out(seen), own="")


def secret_act(seen: Situation) -> SecretAct | None:
    """What is to be done now. Nothing where esc-config.yaml names a secret, nor while the data is acted on."""
    spec, mine = seen.plan.drbd, _worked_out(seen)
    if spec is None or spec.shared_secret is not None:
        return None
    if seen.secret_acting or seen.acting or seen.kept.abandoned:
        return None
    return _on_disk(seen, mine) or _in_the_kernel(seen, mine)


def _on_disk(seen: Situation, mine: PairSecret) -> SecretAct | None:
    """One that both work out alike: while they are connected, or where the peer has written it down, or in the place of
    an outdated one; and the own one that DRBD goes by already. A peer that knows of none and is refused for that cannot
    come to have one."""
    theirs = _told(seen)
    if mine.own and mine.written != mine.own:
        same = theirs is not None and theirs.own == mine.own
        peer_has_it = theirs is not None and theirs.written == mine.own
        connected = seen.replica is not None and seen.replica.is_connected
        if mine.used == mine.own or (same and (connected or peer_has_it or mine.written)):
            return SecretAct.WRITE
    return SecretAct.REMOVE if mine.written and _knows_of_none(seen) and _is_refused(seen) else None


def _in_the_kernel(seen: Situation, mine: PairSecret) -> SecretAct | None:
    is_calm = seen.state("drbd") is UnitState.RUNNING and "drbd" not in seen.stale and seen.wish.active
    if not is_calm or seen.replica is None:
        return None
    if mine.used is None:
        return SecretAct.LOOK
    theirs = PairSecret(used="") if _knows_of_none(seen) else _told(seen)
    if theirs is None:
        return None
    if mine.used != mine.written:
        return SecretAct.APPLY if theirs.written == mine.written else None
    mended = _is_refused(seen) and theirs.used == mine.used
    return SecretAct.CONNECT if mended and seen.replica.has_disk else None


def _is_refused(seen: Situation) -> bool:
    """Whether DRBD has stopped connecting because the peer, or somebody in its place, does not have its secret."""
    return seen.refused and _has_stopped(seen)


def _worked_out(seen: Situation) -> PairSecret:
    """DRBD that has stopped connecting goes by what is written once it connects again."""
    found = seen.secret
    return replace(found, used=found.written) if found.used is not None and _has_stopped(seen) else found


def _has_stopped(seen: Situation) -> bool:
    return seen.replica is not None and seen.replica.has_stopped


def _knows_of_none(seen: Situation) -> bool:
    """Whether the peer is of a version without such a secret."""
    return seen.peer is not None and seen.peer.heard and seen.peer.secret is None


def _told(seen: Situation) -> PairSecret | None:
    """What a peer that hears this node tells of its part."""
    peer = seen.peer
    return peer.secret if peer is not None and peer.heard and peer.hears_us is not False else None
