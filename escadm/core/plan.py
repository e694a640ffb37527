"""The plan of a node: its units, what they need, the engines' specs; and the steps that are taken by it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from escadm.core.probes import ALIVE, Check, Probe
from escadm.core.specs import AnySpec, DrbdSpec, KeepalivedSpec, Kind, Spec

MASTER_CONDITION = "keepalived:master"
PROMOTION = "drbd:master"


@dataclass(frozen=True, slots=True)
class Unit:
    """One rung of the ladder: something that is started, reached, and stopped.

    ``needs`` are names of units that must be reached first, sorted. ``startup`` False = not started on its
    own. ``mentioned``: the administrator's file names it (a catalogue entry nobody mentions and that is not
    installed is nobody's concern). ``==`` over everything but ``needs`` decides whether a running unit must be
    restarted after a reload, see :meth:`same_process`.
    """

    name: str
    kind: Kind
    needs: tuple[str, ...] = ()
    spec: Spec | None = None
    group: str | None = None
    startup: bool = True
    run_forever: bool = False
    mentioned: bool = False
    ready: Probe = ALIVE
    check: Check | None = None
    start_timeout: float = 90.0
    stop_timeout: float = 30.0

    def same_process(self, other: Unit) -> bool:
        """Whether ``other`` may go on as this unit without a restart (its place in the order may differ)."""
        return (self.kind, self.spec) == (other.kind, other.spec)


def spec_of(unit: Unit, wanted: type[AnySpec]) -> AnySpec:
    """What the unit is made of, as its kind has it; TypeError where that is another one."""
    if not isinstance(unit.spec, wanted):
        raise TypeError(f"{unit.name}: a {unit.kind} has a {wanted.__name__}, this one a {type(unit.spec).__name__}")
    return unit.spec


@dataclass(frozen=True, slots=True)
class Plan:
    """All units of a node by name, in start order, and the engines' specs. Replaced as a whole, never edited."""

    units: Mapping[str, Unit]
    keepalived: KeepalivedSpec | None = None
    drbd: DrbdSpec | None = None

    def with_members(self, names: Iterable[str]) -> frozenset[str]:
        """``names``, and for each group among them its members: who names a group means all of it.

        Members that are switched off at startup are meant only by their own names.
        """
        named = frozenset(names)
        return named | {unit.name for unit in self.units.values() if unit.group in named and unit.startup}

    @property
    def is_pair(self) -> bool:
        """Whether VRRP decides about the role of this node."""
        return self.keepalived is not None


@dataclass(frozen=True, slots=True)
class Start:
    """Start the unit: everything it needs has been reached."""

    name: str


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop the unit: nothing above it runs."""

    name: str


Step = Start | Stop
