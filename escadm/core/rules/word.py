"""keepalived's word against what this node sees: its address, its adverts, and what keepalived was told.

A word that is contradicted for a settle time is asked for again; then keepalived is restarted; then, if it comes to
that again soon, the node is in fault for a while and says why. Asked again, keepalived says FAULT, but never MASTER: a
node that looks like a MASTER in every way is taken for one.
"""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum

from escadm.core.reason import Reason
from escadm.core.situation import Doubt, Kept, Situation
from escadm.core.specs import KeepalivedSpec
from escadm.core.states import UnitState, Vrrp

FAULT_IGNORED = "fault-ignored"
VIP_MISSING = "vip-missing"
VIP_UNEXPECTED = "vip-unexpected"
ADVERTS_MISSING = "adverts-missing"
ADVERTS_UNEXPECTED = "adverts-unexpected"
MASTER_MISSING = "master-missing"

SHORTEST_SETTLE = 1.0
SETTLE = 2.0
ELECTION = 5.0
"""Advert intervals: how long a contradiction lasts before anything is done, and again before the next thing is.

A BACKUP that hears nobody takes the role after three of them and the skew.
"""
RELAPSE = 60.0
"""Seconds after a restart in which the next one would come to the same."""
DISTRUST = 60.0
"""Seconds in fault, after which the node stands for the role again."""


class WordAct(StrEnum):
    """What is done about a word that cannot be true."""

    BELIEVE_EYES = "believe-eyes"
    ASK = "ask"
    RESTART = "restart"


def settle_time(spec: KeepalivedSpec, found: Reason) -> float:
    """Seconds within which a word and what is seen may differ."""
    intervals = ELECTION if found.code == MASTER_MISSING else SETTLE
    return max(SHORTEST_SETTLE, intervals * spec.advert_interval)


def contradiction(seen: Situation, *, fit: bool | None) -> Reason | None:
    """What is seen and cannot be, if keepalived's last word is true. ``fit``: what it was told."""
    spec, word = seen.plan.keepalived, seen.vrrp
    if spec is None or seen.state("keepalived") is not UnitState.RUNNING or word is Vrrp.UNKNOWN:
        return None
    if fit is False and word in (Vrrp.MASTER, Vrrp.BACKUP):
        return Reason(FAULT_IGNORED, "keepalived", f"keepalived says {word}, although it was told FAULT")
    return _of_a_master(seen, spec) if word is Vrrp.MASTER else _of_another(seen, spec)


def _of_a_master(seen: Situation, spec: KeepalivedSpec) -> Reason | None:
    if seen.vip_here is False:
        told = f"keepalived says MASTER, and {spec.vip} is not on {spec.vip_interface}"
        return Reason(VIP_MISSING, str(spec.vip), told)
    if seen.adverts.since is not None and _would_leave(seen, spec) and not _leave(seen):
        told = f"keepalived says MASTER, and no adverts leave {spec.interface}"
        return Reason(ADVERTS_MISSING, spec.interface, told)
    return None


def _of_another(seen: Situation, spec: KeepalivedSpec) -> Reason | None:
    word = seen.vrrp
    if seen.vip_here:
        told = f"keepalived says {word}, and {spec.vip} is on {spec.vip_interface}"
        return Reason(VIP_UNEXPECTED, str(spec.vip), told)
    if _leave(seen):
        told = f"keepalived says {word}, and adverts of this node leave {spec.interface}"
        return Reason(ADVERTS_UNEXPECTED, spec.interface, told)
    if word is Vrrp.BACKUP and seen.adverts.since is not None and not _hears_any(seen, spec):
        told = f"keepalived says BACKUP, and no router sends adverts on {spec.interface}"
        return Reason(MASTER_MISSING, spec.interface, told)
    return None


def _would_leave(seen: Situation, spec: KeepalivedSpec) -> bool:
    """Whether the adverts of a keepalived that sends them would be seen to leave.

    Those for a unicast peer do not where its neighbour entry cannot be resolved: it is dead, or cut off.
    """
    return not spec.unicast_peers or (seen.peer is not None and seen.peer.heard and seen.peer.near)


def _leave(seen: Situation) -> bool:
    own = seen.adverts.own
    return own is not None and own.goes_on(seen.now)


def _hears_any(seen: Situation, spec: KeepalivedSpec) -> bool:
    sightings = seen.adverts.others.values()
    return any(each.goes_on(seen.now) and each.advert.router == spec.virtual_router_id for each in sightings)


def looks_like_a_master(seen: Situation) -> bool:
    """Whether this node has the VIP and sends adverts, although keepalived is not known to have said MASTER."""
    spec = seen.plan.keepalived
    return spec is not None and seen.vrrp is not Vrrp.MASTER and seen.vip_here is True and _leave(seen)


def judge_word(seen: Situation, *, fit: bool | None) -> tuple[Kept, WordAct | None, str]:
    """What is kept of a word that is contradicted, the next step against it, and why."""
    kept, now = seen.kept, seen.now
    if kept.distrust is not None and now >= kept.distrust[1]:
        kept = replace(kept, distrust=None)
    found, spec = contradiction(seen, fit=fit), seen.plan.keepalived
    if found is None or spec is None:
        return replace(kept, doubt=None), None, ""
    doubt = kept.doubt
    if doubt is None or not _goes_on(doubt, seen.vrrp, found):
        doubt = Doubt(seen.vrrp, found, now)
    doubt = replace(doubt, reason=found)
    if now < doubt.since + settle_time(spec, found):
        return replace(kept, doubt=doubt), None, ""
    if doubt.asked is None:
        act = WordAct.BELIEVE_EYES if looks_like_a_master(seen) and fit is not False else WordAct.ASK
        return replace(kept, doubt=replace(doubt, asked=now)), act, found.sentence
    if now < doubt.asked + settle_time(spec, found):
        return replace(kept, doubt=doubt), None, ""
    if kept.restarted is not None and now < kept.restarted + RELAPSE:
        kept = replace(kept, distrust=(found, now + DISTRUST))
    return replace(kept, doubt=None, restarted=now), WordAct.RESTART, found.sentence


def _goes_on(doubt: Doubt, word: Vrrp, found: Reason) -> bool:
    """Whether it is the same word that is doubted; an election that ends well begins as MASTER_MISSING, and may show
    for a moment as adverts of a node that has not said MASTER yet."""
    was_election, is_election = (each.code == MASTER_MISSING for each in (doubt.reason, found))
    return doubt.word is word and was_election == is_election


def next_look(seen: Situation) -> float | None:
    """When the next step is due, if nothing changes."""
    kept, spec = seen.kept, seen.plan.keepalived
    due = [] if kept.distrust is None else [kept.distrust[1]]
    if kept.doubt is not None and spec is not None:
        due.append((kept.doubt.asked or kept.doubt.since) + settle_time(spec, kept.doubt.reason))
    return min(due, default=None)
