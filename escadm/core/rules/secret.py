"""The secret of the nodes' keys: when it is written into esc.res, and when DRBD begins to go by it.

DRBD asks for a secret when it connects, and at no other time. So a connected pair takes one up without an interruption:
first both write it down, then, knowing that of each other, both tell it to their DRBD. Should they lose their
connection while one goes by it alone, that one refuses the other and stops connecting (StandAlone). It connects once
more when both go by the same again.
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


def differs(seen: Situation) -> bool:
    """Whether the nodes' DRBDs go by different secrets, or may have done so when this one stopped connecting.

    While that is not known it is as it was.
    """
    now = _differs_now(seen)
    if not _has_stopped(seen):
        return seen.kept.differs if now is None else now
    went_by_another = seen.secret.used not in (None, "", seen.secret.written)
    return seen.kept.differs or went_by_another or now is True


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
    an outdated one. A peer that knows of none and is refused for that cannot come to have one."""
    theirs = _told(seen)
    if theirs is not None:
        same, connected = mine.own != "" and theirs.own == mine.own, seen.replica and seen.replica.is_connected
        wanted = connected or theirs.written == mine.own or mine.written
        return SecretAct.WRITE if same and mine.written != mine.own and wanted else None
    knows_of_none = seen.peer is not None and seen.peer.heard and seen.peer.secret is None
    refused = seen.kept.differs and _has_stopped(seen)
    return SecretAct.REMOVE if knows_of_none and refused and mine.written else None


def _in_the_kernel(seen: Situation, mine: PairSecret) -> SecretAct | None:
    is_calm = seen.state("drbd") is UnitState.RUNNING and "drbd" not in seen.stale and seen.wish.active
    if not is_calm or seen.replica is None:
        return None
    if mine.used is None:
        return SecretAct.LOOK
    theirs = _told(seen)
    if mine.used != mine.written:
        both_have_it = theirs is not None and theirs.written == mine.written
        return SecretAct.APPLY if both_have_it or not mine.written else None
    is_mended = seen.kept.differs and _has_stopped(seen) and _differs_now(seen) is False
    return SecretAct.CONNECT if is_mended and seen.replica.has_disk else None


def _differs_now(seen: Situation) -> bool | None:
    """None where that is not known. A peer that knows of no secret goes by none."""
    mine = _worked_out(seen)
    if seen.peer is None or not seen.peer.heard or mine.used is None:
        return None
    theirs = seen.peer.secret.used if seen.peer.secret is not None else ""
    return None if theirs is None else theirs != mine.used


def _worked_out(seen: Situation) -> PairSecret:
    """DRBD that has stopped connecting goes by what is written once it connects again."""
    found = seen.secret
    return replace(found, used=found.written) if found.used is not None and _has_stopped(seen) else found


def _has_stopped(seen: Situation) -> bool:
    return seen.replica is not None and seen.replica.connection == "StandAlone"


def _told(seen: Situation) -> PairSecret | None:
    """What a peer that hears this node tells of its part."""
    peer = seen.peer
    return peer.secret if peer is not None and peer.heard and peer.hears_us is not False else None
