"""What a new plan changes, and how each change can be taken up: here alone, on both nodes, or by a restart."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from enum import StrEnum

from escadm.core.plan import MASTER_CONDITION, PROMOTION, Plan, Unit
from escadm.core.specs import DrbdSpec, FilesystemSpec, KeepalivedSpec, ProcessSpec, Spec, SystemdSpec


class ChangeClass(StrEnum):
    """How a change of the configuration can be taken up; see docs/explanation/reload.md."""

    LOCAL = "local"
    PAIRED = "paired"
    RESTART = "restart"


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between two plans: ``what`` went from ``old`` to ``new`` (both for people)."""

    what: str
    old: str
    new: str
    kind: ChangeClass


LOCAL, PAIRED, RESTART = ChangeClass.LOCAL, ChangeClass.PAIRED, ChangeClass.RESTART

KEEPALIVED = {
    "vip": PAIRED,
    "vip_prefix": PAIRED,
    "virtual_router_id": PAIRED,
    "advert_interval": PAIRED,
    "interface": RESTART,
    "vip_interface": RESTART,
    "priority": LOCAL,
    "gateway": LOCAL,
}
"""Field of KeepalivedSpec -> class. Unicast is not one field: see _unicast."""

DRBD = {
    "port": PAIRED,
    "device": PAIRED,
    "net_options": PAIRED,
    "disk": RESTART,
    "disk_options": LOCAL,
}

UNIT = {
    "kind": "type",
    "needs": "depend_on",
    "group": "group",
    "startup": "startup",
    "run_forever": "run_forever",
    "ready": "ready",
    "check": "check",
    "start_timeout": "start_timeout",
    "stop_timeout": "stop_timeout",
}
"""Field of Unit -> the key of the configuration that it comes from. ``spec`` is told field by field."""

SPECS: Mapping[type, ChangeClass] = {ProcessSpec: LOCAL, SystemdSpec: LOCAL, FilesystemSpec: RESTART}
"""What is started -> class: a service's definition is this node's affair, the file system is under all that runs on it.
The engines' specs are not in it: they are told by themselves, see _keepalived and _drbd.
"""

SPEC_KEYS = {"argv": "command"}

IMPLIED = (MASTER_CONDITION, PROMOTION)


PAIRED_STEPS = (
    "on the standby: escadm stop",
    "on the primary: escadm reload --force",
    "on the standby: escadm reload, then escadm start",
)
"""How both nodes take up what they must have alike, without a moment in which they do not hear each other."""


def classify(old: Plan, new: Plan) -> tuple[Change, ...]:
    """Every difference between two plans, the engines' first. No secret, and no value of an environment, is in it."""
    engines = (*_keepalived(old.keepalived, new.keepalived), *_drbd(old.drbd, new.drbd))
    # A node that joins or leaves a pair gets new rungs below nearly every service: one fact, told once.
    same_rungs = (old.is_pair, old.drbd is None) == (new.is_pair, new.drbd is None)
    names = [*new.units, *(name for name in old.units if name not in new.units)]
    units = (each for name in names for each in _unit(name, old.units.get(name), new.units.get(name), same_rungs))
    return (*engines, *units)


def _keepalived(old: KeepalivedSpec | None, new: KeepalivedSpec | None) -> Iterator[Change]:
    if old is None or new is None:
        if old is not new:
            yield Change("keepalived", _vip(old), _vip(new), RESTART)
        return
    for name, kind in KEEPALIVED.items():
        yield from _field(f"keepalived.{name}", getattr(old, name), getattr(new, name), kind)
    yield from _unicast(old, new)


def _vip(spec: KeepalivedSpec | None) -> str:
    return "standalone" if spec is None else f"a pair with the VIP {spec.vip}"


def _unicast(old: KeepalivedSpec, new: KeepalivedSpec) -> Iterator[Change]:
    """A node takes adverts only from its peers, so who sends from where is a matter of both; unless nobody asks."""
    modes = [bool(spec.unicast_source and spec.unicast_peers) for spec in (old, new)]
    if modes[0] != modes[1]:
        before, after = ("unicast" if mode else "multicast" for mode in modes)
        yield Change("keepalived: adverts", before, after, PAIRED)
    kind = PAIRED if all(modes) else LOCAL
    for name in ("unicast_source", "unicast_peers"):
        yield from _field(f"keepalived.{name}", getattr(old, name), getattr(new, name), kind)


def _drbd(old: DrbdSpec | None, new: DrbdSpec | None) -> Iterator[Change]:
    if old is None or new is None:
        if old is not new:
            yield Change("drbd", _nodes(old), _nodes(new), RESTART)
        return
    if set(old.nodes) != set(new.nodes):
        yield Change("drbd.nodes", _show(old.nodes), _show(new.nodes), PAIRED)
    for name, kind in DRBD.items():
        yield from _field(f"drbd.{name}", getattr(old, name), getattr(new, name), kind)
    if old.shared_secret != new.shared_secret:
        yield Change("drbd.shared_secret", _show(old.shared_secret), _show(new.shared_secret), PAIRED)


def _nodes(spec: DrbdSpec | None) -> str:
    return "no replication" if spec is None else f"replication between {' and '.join(map(str, spec.nodes))}"


def _unit(name: str, old: Unit | None, new: Unit | None, same_rungs: bool) -> Iterator[Change]:
    if name in IMPLIED:
        return
    if old is None or new is None:
        yield Change(name, "absent" if old is None else old.kind, "absent" if new is None else new.kind, LOCAL)
        return
    for field, key in UNIT.items():
        before, after = getattr(old, field), getattr(new, field)
        if field == "needs" and not same_rungs:
            before, after = (tuple(each for each in side if each not in IMPLIED) for side in (before, after))
        yield from _field(f"{name}: {key}", before, after, LOCAL)
    if old.kind == new.kind:
        yield from _spec(name, old.spec, new.spec)


def _spec(name: str, old: Spec | None, new: Spec | None) -> Iterator[Change]:
    before, after = _settings(old), _settings(new)
    kind = SPECS.get(type(new), LOCAL)
    for key in sorted(before.keys() | after.keys()):
        yield from _field(f"{name}: {SPEC_KEYS.get(key, key)}", before.get(key), after.get(key), kind)


def _settings(spec: Spec | None) -> Mapping[str, object]:
    if spec is None or type(spec) not in SPECS:
        return {}
    return {each.name: getattr(spec, each.name) for each in fields(spec) if each.compare}


def _field(what: str, old: object, new: object, kind: ChangeClass) -> Iterator[Change]:
    if old == new:
        return
    if what.endswith(": environment"):
        before, after = dict(old or ()), dict(new or ())  # type: ignore[call-overload]
        names = sorted(key for key in before | after if before.get(key) != after.get(key))
        yield Change(what, _names(names, before), _names(names, after), kind)
    elif what.endswith(": command"):
        yield Change(what, _command(old), _command(new), kind)
    else:
        yield Change(what, _show(old), _show(new), kind)


def _names(names: list[str], among: Mapping[str, str]) -> str:
    return ", ".join(f"{name}=***" if name in among else f"no {name}" for name in names)


def _command(argv: object) -> str:
    return shlex.join(map(str, argv)) if isinstance(argv, tuple) else _show(argv)


def _show(value: object) -> str:
    """A value for people."""
    match value:
        case None | ():
            return "none"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:g}"
        case tuple():
            return ", ".join(_option(*each) if isinstance(each, tuple) else _show(each) for each in value)
    if is_dataclass(value):
        return " ".join(
            (type(value).__name__.lower(), *(_option(each.name, getattr(value, each.name)) for each in fields(value)))
        )
    return str(value)


def _option(name: str, value: object) -> str:
    return f"{name} {'***' if 'secret' in name else _show(value)}"
