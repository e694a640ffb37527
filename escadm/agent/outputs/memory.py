"""What the next agent has to know when this one is killed: /run/escadm/state.json, and how it is read back.

The file is rewritten at each change. It holds no secrets: a definition is remembered by its fingerprint. The next agent
may be of another version, a later or an earlier one: it passes over what it does not know, and takes a definition for
the same one where a field that only one of them has is at its default.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import MISSING, Field, asdict, dataclass, field, fields, is_dataclass, replace
from typing import Any

from escadm.agent.drivers.registry import KINDS
from escadm.core.lifecycle import Life
from escadm.core.plan import Unit
from escadm.core.situation import Kept
from escadm.core.specs import Kind
from escadm.core.states import Role, UnitState
from escadm.core.status import RoleChange
from escadm.log import get
from escadm.paths import Paths
from escadm.system.alive import boot_id
from escadm.system.files import OwnFile
from escadm.system.process import ProcessId

NEEDED = {"stop_signal": "SIGTERM"}
"""An earlier version reads no unit without it."""

log = get(__name__)


@dataclass(frozen=True, slots=True)
class UnitMemory:
    """A unit as the last agent left it. ``definition``: as much of it as its kind needs for a stop."""

    name: str
    kind: Kind
    fingerprint: str
    needs: tuple[str, ...]
    stop_timeout: float
    life: Life
    leader: ProcessId | None = None
    stale: bool = False
    definition: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Memory:
    """The whole of it; the default is a node that nothing is known about.

    ``abandoned``: why writes that waited were given up, as long as the role that they belong to is not gone.
    ``behind``, ``cut_off``, ``declared``: see escadm.core.situation.Kept.
    """

    active: bool = True
    down: tuple[str, ...] = ()
    up: tuple[str, ...] = ()
    role: Role | None = None
    role_since: str | None = None
    units: Mapping[str, UnitMemory] = field(default_factory=dict)
    history: tuple[RoleChange, ...] = ()
    abandoned: str = ""
    behind: bool = True
    cut_off: bool = False
    declared: bool = False

    def kept(self) -> Kept:
        """What the next agent's first decision goes by."""
        return Kept(
            role=self.role,
            role_since=self.role_since,
            abandoned=self.abandoned,
            behind=self.behind,
            cut_off=self.cut_off,
            declared=self.declared,
        )


def fingerprint(unit: Unit) -> str:
    """Equal for definitions under which a process may go on (see Unit.same_process), in every version."""
    return hashlib.sha256(repr((unit.kind.value, _described(unit.spec))).encode()).hexdigest()[:16]


def _described(value: object) -> object:
    """What a definition says; what is at its default says nothing."""
    if isinstance(value, tuple):
        return tuple(map(_described, value))
    if not is_dataclass(value):
        return value
    said = [(each, getattr(value, each.name)) for each in fields(value) if each.compare]
    told = [(each.name, _described(found)) for each, found in said if found != _default(each)]
    return type(value).__name__, sorted(told)


def _default(one: Field[Any]) -> object:
    return one.default if one.default_factory is MISSING else one.default_factory()


def remember(unit: Unit, life: Life, leader: ProcessId | None, *, stale: bool) -> UnitMemory:
    """The unit in the form that is written down."""
    definition = {**NEEDED, **KINDS[unit.kind].remembered(unit)}
    return UnitMemory(
        unit.name, unit.kind, fingerprint(unit), unit.needs, unit.stop_timeout, life, leader, stale, definition
    )


def restore_unit(memory: UnitMemory, planned: Unit | None) -> tuple[Unit, bool]:
    """The definition to go on with, and whether the unit is outdated and must go round.

    A definition that has changed, or that the plan no longer has, is known just well enough to stop the unit.
    """
    if planned is not None and fingerprint(planned) == memory.fingerprint:
        return planned, memory.stale
    spec = KINDS[memory.kind].restored(memory.definition)
    return Unit(memory.name, memory.kind, memory.needs, spec, stop_timeout=memory.stop_timeout), True


class Notes:
    """What this agent writes down. A unit is described anew only where something of it has changed."""

    def __init__(self, paths: Paths) -> None:
        self._file = OwnFile(paths.state, 0o600)
        self._units: dict[str, tuple[Unit, UnitMemory]] = {}
        self._words: dict[str, tuple[UnitMemory, str]] = {}

    def unit(self, unit: Unit, life: Life, leader: ProcessId | None, *, stale: bool) -> UnitMemory:
        """The unit in the form that is written down: the same value for as long as it is the same."""
        before, known = self._units.get(unit.name, (None, None))
        if known is None or before is not unit:
            known = remember(unit, life, leader, stale=stale)
        elif known.life is not life or known.leader is not leader or known.stale is not stale:
            known = replace(known, life=life, leader=leader, stale=stale)
        self._units[unit.name] = unit, known
        return known

    def save(self, memory: Memory) -> None:
        """Write it down, readable for root alone."""
        self._file.put(memory, lambda: self._document(memory))

    def _document(self, memory: Memory) -> str:
        node = asdict(replace(memory, units={}))
        del node["units"]
        self._words = {name: self._word(name, unit) for name, unit in memory.units.items()}
        units = ",\n".join(f"{json.dumps(name)}: {words}" for name, (_, words) in self._words.items())
        head = json.dumps({"schema": 1, "boot": boot_id(), **node})
        return f'{head[:-1]}, "units": {{\n{units}}}}}\n'

    def _word(self, name: str, unit: UnitMemory) -> tuple[UnitMemory, str]:
        known = self._words.get(name)
        return known if known is not None and known[0] is unit else (unit, json.dumps(_flat(unit), default=_plain))


def _flat(unit: UnitMemory) -> dict[str, object]:
    """It as its fields, and beside them those of its definition."""
    plain = _plain(unit)
    del plain["definition"]
    return {**unit.definition, **plain}


def _plain(value: UnitMemory | Life | ProcessId) -> dict[str, object]:
    """It as its fields; what they hold is left as it is."""
    return {each.name: getattr(value, each.name) for each in fields(value)}


def load(paths: Paths) -> Memory:
    """What is written down; nothing, with a line in the log, where that is of another boot or cannot be read."""
    try:
        document = json.loads(paths.state.read_text())
        if document["boot"] != boot_id():
            return Memory()
        units = {name: _unit(data) for name, data in document["units"].items()}
        return Memory(
            active=document["active"],
            down=tuple(document["down"]),
            up=tuple(document["up"]),
            role=Role(document["role"]) if document["role"] else None,
            role_since=document["role_since"],
            units=units,
            history=tuple(RoleChange(**_known(RoleChange, change)) for change in document["history"]),
            abandoned=str(document.get("abandoned", "")),
            behind=document.get("behind") is not False,
            cut_off=document.get("cut_off") is True,
            declared=document.get("declared") is True,
        )
    except FileNotFoundError:
        return Memory()
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        log.warning("cannot read %s (%s): looking for running services by their marks alone", paths.state, error)
        return Memory()


def _unit(data: dict[str, Any]) -> UnitMemory:
    life = Life(**{**_known(Life, data["life"]), "state": UnitState(data["life"]["state"])})
    leader = ProcessId(**_known(ProcessId, data["leader"])) if data["leader"] else None
    known = _known(UnitMemory, data)
    definition = {name: value for name, value in data.items() if name not in known and isinstance(value, str)}
    typed = {"kind": Kind(data["kind"]), "needs": tuple(data["needs"]), "life": life, "leader": leader}
    return UnitMemory(**{**known, **typed, "definition": {**NEEDED, **definition}})


def _known(kind: type[Any], data: dict[str, Any]) -> dict[str, Any]:
    return {each.name: data[each.name] for each in fields(kind) if each.name in data}
