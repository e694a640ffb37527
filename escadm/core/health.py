"""The truth about a node in one verdict, and about each of its resources in one state and one sentence."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from escadm.core.drbd.fencing import NO_GATEWAY
from escadm.core.drbd.state import Replica
from escadm.core.drbd.trouble import SPLIT, SUBJECT, UNFIT, degradation, unfitness
from escadm.core.lifecycle import FAILURE_LIMIT, Life
from escadm.core.plan import PROMOTION, Plan, Unit, spec_of
from escadm.core.reason import Reason
from escadm.core.reconcile import DOWN, Intent, counted_needs, goal
from escadm.core.role import Peer
from escadm.core.specs import Kind, SystemdSpec
from escadm.core.states import Role, UnitState, Vrrp
from escadm.core.status import Health, Verdict
from escadm.core.trust import Acquaintance

NOTHING = Life()
STOPPED = Reason("stopped", "", "stopped by an administrator")
KEEPALIVEDS_FAULT = Reason("keepalived-fault", "keepalived", "keepalived reports a fault (see its log)")
ROLE_NAMES = {Role.MASTER: "Master", Role.BACKUP: "Backup", Role.STANDALONE: "Standalone", Role.FAULT: "Fault"}


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that a verdict rests on.

    ``vip_here`` None = not looked at. ``release``: why the role is given up. ``held``: why it is not taken. ``unfit``:
    why the data here must not be served. ``faults``: why the node can certainly take no part. ``findings``: what is not
    as it should be on the wire. ``gateway``: whether it is reached, None where there is none. ``known``: how the nodes
    know each other. ``unwritten``: what could not be written of the files that others go by, a sentence each.
    ``rule``: the rule of the role that applies.
    """

    plan: Plan
    intent: Intent
    lives: Mapping[str, Life]
    role: Role | None = None
    vrrp: Vrrp = Vrrp.UNKNOWN
    peer: Peer | None = None
    vip_here: bool | None = None
    release: Reason | None = None
    held: Reason | None = None
    gateway: bool | None = None
    replica: Replica | None = None
    unfit: str = ""
    faults: tuple[Reason, ...] = ()
    findings: tuple[Reason, ...] = ()
    unwritten: tuple[str, ...] = ()
    rule: Reason | None = None
    pairing: Mapping[str, str] = field(default_factory=dict)
    known: Acquaintance | None = None

    def life(self, name: str) -> Life:
        """The life of the unit; one that never lived is stopped."""
        return self.lives.get(name, NOTHING)


def judge(facts: Facts) -> Verdict:
    """The verdict of the node. The gravest finding gives the line, all of them are in the reasons."""
    who = ROLE_NAMES[facts.role] if facts.role else "Node"
    wanted = goal(facts.plan, facts.intent)
    failed = _failures(facts, wanted) if facts.intent.active else ()
    degraded = _degradations(facts) if facts.intent.active else (STOPPED,)
    leaving = _leaving(facts)
    starting = _starting(facts, wanted)
    text = ""
    if failed:
        findings = tuple(dict.fromkeys((*failed, *degraded)))
        return Verdict(2, Health.UNHEALTHY, f"ESC {who} Failed: {failed[0].sentence}", findings)
    if leaving:
        text = f"Stopping: {', '.join(leaving)}"
    elif not facts.intent.active:
        return Verdict(2, Health.UNHEALTHY, "ESC Stopped", degraded)
    elif starting:
        text = f"Starting: {', '.join(starting)}"
    elif degraded:
        text = f"Degraded: {degraded[0].sentence}"
    if text:
        return Verdict(1, Health.DEGRADED, f"ESC {who} {text}", degraded)
    return Verdict(0, Health.HEALTHY, f"ESC {who} Healthy")


def _leaving(facts: Facts) -> list[str]:
    """What is still on its way down: on a node that is stopped, or one that has lost the role."""
    if not facts.intent.active:
        return _names(facts, lambda life: life.state not in DOWN)
    if facts.intent.master:
        return []
    return _names(facts, lambda life: life.state in (UnitState.STOPPING, UnitState.KILLING) and not life.again)


def _names(facts: Facts, fits: Callable[[Life], bool]) -> list[str]:
    return [name for name in _shown(facts) if fits(facts.life(name))]


def _shown(facts: Facts) -> list[str]:
    """Units that people know by name: not the implied rungs of a pair."""
    names = [name for name, unit in facts.plan.units.items() if not unit.kind.is_implied]
    return names + [name for name in facts.lives if name not in facts.plan.units and ":" not in name]


def _failing(facts: Facts, name: str) -> Reason:
    return Reason("unit-failing", name, f"{name} {facts.life(name).reason}")


def _failures(facts: Facts, wanted: frozenset[str]) -> tuple[Reason, ...]:
    found = list(facts.faults)
    found += [_failing(facts, name) for name in facts.plan.units if has_failed(facts, name)]
    stuck = (UnitState.STOPPING, UnitState.KILLING)
    found += [
        Reason("stop-failing", name, f"{name} cannot be stopped: {life.reason}")
        for name, life in facts.lives.items()
        if life.state in stuck and life.reason and not life.again and not life.failed and not life.streak
    ]
    found += [_failing(facts, name) for name in facts.plan.units if _holds_back(facts, name, wanted)]
    unfit = _unfit(facts)
    found += [unfit] if unfit and all(each.subject != unfit.subject for each in found) else []
    found += _split(facts)
    if facts.role is Role.FAULT and not (facts.release or facts.held or facts.unfit or found):
        found += [KEEPALIVEDS_FAULT] if facts.vrrp is Vrrp.FAULT else []
    return tuple(found)


def _unfit(facts: Facts) -> Reason | None:
    """Why the data here must not be served, with the way out; None where it may, or is being brought up to date."""
    replica = volume(facts)
    if replica is None:
        return Reason(UNFIT, SUBJECT, facts.unfit) if facts.unfit else None
    return unfitness(replica, facts.peer.replica if facts.peer else None)


def _volume_trouble(facts: Facts) -> Reason | None:
    """What is wrong with the replication although the node works; None when nothing is."""
    return degradation(volume(facts), facts.peer.replica if facts.peer else None)


def volume(facts: Facts) -> Replica | None:
    """The volume, as far as it is up."""
    up = facts.plan.drbd is not None and facts.life("drbd").state is UnitState.RUNNING
    return facts.replica if up else None


def _holds_back(facts: Facts, name: str, wanted: frozenset[str]) -> bool:
    """Whether a unit that has no verdict, being kept up for ever, fails again and again below what should run.

    Without keepalived a node is no half of a pair, so it counts unless somebody has stopped it.
    """
    life, own = facts.life(name), facts.plan.units[name]
    if not own.run_forever or life.streak < FAILURE_LIMIT or life.state is UnitState.RUNNING:
        return False
    return (own.kind is Kind.KEEPALIVED and name in wanted) or any(
        name in unit.needs and unit.kind is not Kind.GROUP and other in wanted
        for other, unit in facts.plan.units.items()
    )


def has_failed(facts: Facts, name: str) -> bool:
    """Whether the verdict stands and is news: not for what runs again, and not for what was stopped by hand since."""
    life = facts.life(name)
    given_up = name in facts.intent.down and life.state is UnitState.STOPPED
    return life.failed and life.state is not UnitState.RUNNING and not given_up


def _split(facts: Facts) -> list[Reason]:
    """Both hold the role for good. A node on its way out of the role calls itself MASTER as well until it is out."""
    peer = facts.peer
    holds = facts.role is Role.MASTER and facts.vrrp is Vrrp.MASTER and not (facts.release or facts.held)
    if holds and peer is not None and peer.heard and peer.role is Role.MASTER:
        return [Reason("two-primaries", peer.address, f"the peer {peer.address} is primary as well (split)")]
    return []


def _degradations(facts: Facts) -> tuple[Reason, ...]:
    found = [each for each in (facts.release, facts.held) if each]
    known = facts.known
    found += [Reason("foreign-peer", known.address, known.stranger)] if known and known.stranger else []
    found += [Reason("file-unwritten", "", told) for told in facts.unwritten]
    found += [Reason("gateway-unreachable", "", NO_GATEWAY)] if facts.gateway is False else []
    found += facts.findings
    trouble, peer = _volume_trouble(facts), _peer_findings(facts)
    found += [trouble, *peer] if trouble is SPLIT else [*peer, trouble] if trouble else peer
    if facts.role is Role.MASTER and facts.vrrp is Vrrp.MASTER and facts.vip_here is False and facts.plan.keepalived:
        spec = facts.plan.keepalived
        told = f"the virtual address {spec.vip} is not on {spec.vip_interface}"
        found.append(Reason("vip-missing", str(spec.vip), told))
    absent = missed(facts)
    for name, unit in facts.plan.units.items():
        life = facts.life(name)
        if name in facts.intent.down:
            found.append(Reason("stopped-by-hand", name, f"{name} is stopped by hand"))
        elif name in absent and unit.startup:
            found.append(Reason("not-installed", name, f"{name} is not installed"))
        elif life.failed or (life.streak and life.state not in (UnitState.STOPPED, UnitState.RUNNING)):
            found.append(_failing(facts, name))
    return tuple(found)


def missed(facts: Facts) -> frozenset[str]:
    """The units that are not installed although that matters: somebody named them, or something stands on them."""
    units, absent = facts.plan.units, facts.intent.absent
    needed = {
        need
        for name, unit in units.items()
        if unit.startup and unit.kind is not Kind.GROUP and name not in absent
        for need in unit.needs
    }
    return frozenset(name for name in absent if name in units and (units[name].mentioned or name in needed))


def _peer_findings(facts: Facts) -> list[Reason]:
    peer = facts.peer
    if peer is None:
        return []
    if not peer.heard:
        return [Reason("peer-silent", peer.address, f"peer {peer.address} is not connected")]
    found = []
    if not peer.fit and peer.vrrp is not Vrrp.MASTER:
        told = "; ".join(peer.reasons) or "its keepalived takes no part"
        found.append(Reason("peer-unfit", peer.address, f"peer {peer.address} is not fit: {told}"))
    elif facts.role is Role.BACKUP and peer.vrrp is not Vrrp.MASTER:
        found.append(Reason("no-primary", "", "no node is primary"))
    theirs = peer.pairing or {}
    different = sorted(key for key in facts.pairing if theirs.get(key, facts.pairing[key]) != facts.pairing[key])
    if different:
        told = f"peer {peer.address} is configured differently: {', '.join(different)}"
        found.append(Reason("peer-differs", peer.address, told))
    return found


def _starting(facts: Facts, wanted: frozenset[str]) -> list[str]:
    """Wanted and not yet up; while VRRP has not spoken, keepalived itself."""
    late = [name for name in _shown(facts) if name in wanted and facts.life(name).state is not UnitState.RUNNING]
    if late or not facts.plan.is_pair:
        return [name for name in late if facts.plan.units[name].kind is not Kind.GROUP] or late
    wrong = {Vrrp.MASTER: (Role.MASTER,), Vrrp.BACKUP: (Role.BACKUP,)}.get(facts.vrrp)
    return ["keepalived"] if wrong and facts.role not in wrong and not (facts.release or facts.held) else []


def describe_unit(facts: Facts, unit: Unit) -> tuple[str, str]:
    """The state word and the detail that ``status -v`` shows for the unit."""
    life = facts.life(unit.name)
    if unit.name in facts.intent.absent and life.state is UnitState.STOPPED:
        return "not installed", f"no command, and no unit {spec_of(unit, SystemdSpec).unit}"
    if not unit.startup and unit.name not in facts.intent.up and life.state is UnitState.STOPPED:
        return "disabled", ""
    if has_failed(facts, unit.name):
        return "failed", life.reason
    if unit.kind is Kind.DRBD and life.state is UnitState.RUNNING:
        state = "master" if facts.life(PROMOTION).state is UnitState.RUNNING else "backup"
        trouble = _unfit(facts) or _volume_trouble(facts)
        return state, trouble.sentence if trouble else ""
    if life.state is UnitState.STOPPED:
        return "stopped", _why_stopped(facts, unit)
    return life.state.value, life.reason if life.state is not UnitState.RUNNING else ""


def _why_stopped(facts: Facts, unit: Unit) -> str:
    if not facts.intent.active:
        return ""
    if unit.name in facts.intent.down:
        return "by hand"
    if unit.name in facts.intent.unable:
        return "this machine lacks what it needs"
    held = []
    for need in counted_needs(unit, facts.intent.absent):
        if facts.plan.units[need].kind is Kind.CONDITION:
            up = facts.intent.master
        else:
            up = facts.life(need).state is UnitState.RUNNING
        if not up:
            held.append(f"{need}, which is not installed" if need in facts.intent.absent else need)
    return f"waits for {', '.join(held)}" if held else ""
