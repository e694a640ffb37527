"""Strategies: any plan, and any history of a machine, as data that shrinks well."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import strategies as st

from escadm.core.lifecycle import Event
from escadm.core.plan import MASTER_CONDITION, PROMOTION, Plan
from escadm.core.specs import Kind
from escadm.core.states import UnitState
from tests.unit.core.plans import LADDER, make_plan
from tests.unit.core.simulator import Machine

SERVICES = ("a", "b", "c", "d", "e", "f")
BITS = st.integers(0, 2**12 - 1)
ORDINARY = (Kind.PROCESS, Kind.UNIT, Kind.GROUP, Kind.FILESYSTEM)
LEGS = ("filesystem", PROMOTION, MASTER_CONDITION, "keepalived")


def picked(names: tuple[str, ...], bits: int) -> list[str]:
    """The names whose bit is set."""
    return [name for position, name in enumerate(names) if bits >> position & 1]


@st.composite
def graphs(draw: st.DrawFn, ladder: bool | None = None) -> dict[str, list[str]]:
    """An acyclic graph of services, in any order of names; sometimes on top of the ladder of a pair."""
    with_ladder = draw(st.booleans()) if ladder is None else ladder
    order = draw(st.permutations(SERVICES))[: draw(st.integers(1, len(SERVICES)))]
    return stacked(with_ladder, tuple(order), [draw(BITS) for _ in order])


def stacked(with_ladder: bool, order: tuple[str, ...], masks: list[int]) -> dict[str, list[str]]:
    """Services in ``order``, each on some of those before it and on some rungs of the ladder, as its mask says."""
    needs = {name: list(lower) for name, lower in LADDER.items()} if with_ladder else {}
    legs = LEGS if with_ladder else ()
    for position, name in enumerate(order):
        needs[name] = picked(legs, masks[position] >> 8) + picked(order[:position], masks[position])
    return needs


def dressed(needs: dict[str, list[str]], dress: list[int]) -> Plan:
    """A plan whose services are of any kind, of one of two versions, and sometimes switched off."""
    kinds = {name: ORDINARY[bits & 3] for name, bits in zip(SERVICES, dress, strict=True)}
    versions = {name: str(bits >> 2 & 1) for name, bits in zip(SERVICES, dress, strict=True)}
    disabled = [name for name, bits in zip(SERVICES, dress, strict=True) if bits >> 3 == 3]
    return make_plan(needs, kinds, versions, disabled)


DRESSES = st.lists(st.integers(0, 31), min_size=len(SERVICES), max_size=len(SERVICES))


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    return dressed(draw(graphs()), draw(DRESSES))


@st.composite
def families(draw: st.DrawFn) -> list[Plan]:
    """Plans that follow one another by reload: mostly alike, now and then turned upside down."""
    ladder, order = draw(st.booleans()), tuple(draw(st.permutations(SERVICES)))
    masks, dress = [draw(BITS) for _ in order], draw(DRESSES)
    family = [dressed(stacked(ladder, order, masks), dress)]
    for _ in range(draw(st.integers(1, 2))):
        changed = draw(st.integers(0, len(order) - 1))
        masks = [*masks[:changed], draw(BITS), *masks[changed + 1 :]]
        dress = [*dress[:changed], draw(st.integers(0, 31)), *dress[changed + 1 :]]
        ladder ^= draw(st.integers(0, 3)) == 3
        order = draw(st.sampled_from([order, order, order[1:], order[:-1], order[::-1]]))
        family.append(dressed(stacked(ladder, order, masks), dress))
    return family


Move = Callable[[Machine, int], None]


def _turn(machine: Machine, bits: int) -> None:
    """Ask; a part of the steps is performed, then a part of what is under way completes."""
    steps = tuple(step.name for step in machine.steps())
    taken = picked(steps, bits & 63)
    machine.turn(lambda name: name in taken)
    machine.complete(picked(tuple(machine.units), bits >> 6))


def whole_turn(machine: Machine) -> None:
    machine.turn()
    machine.complete(list(machine.units))


def _one(machine: Machine, bits: int) -> str:
    names = tuple(machine.plan.units)
    return names[bits % len(names)]


def _crash(machine: Machine, bits: int) -> None:
    names = machine.in_state(UnitState.STARTING, UnitState.RUNNING)
    if names:
        machine.crash(names[bits % len(names)])


def _slow_stop(machine: Machine, bits: int) -> None:
    names = machine.in_state(UnitState.STOPPING, UnitState.KILLING)
    if names:
        machine.event(names[bits % len(names)], Event.TIMEOUT if bits & 64 else Event.STOP_FAILED)


def _stop_by_name(machine: Machine, bits: int) -> None:
    machine.want(down=machine.intent.down ^ {_one(machine, bits)})


def _start_by_name(machine: Machine, bits: int) -> None:
    name = _one(machine, bits)
    machine.want(up=machine.intent.up ^ {name}, down=machine.intent.down - {name})


def _install(machine: Machine, bits: int) -> None:
    machine.want(absent=machine.intent.absent ^ {_one(machine, bits)})


MOVES: dict[str, Move] = {
    "turn": _turn,
    "whole turn": lambda machine, _: whole_turn(machine),
    "role": lambda machine, _: machine.want(master=not machine.intent.master),
    "crash": _crash,
    "slow stop": _slow_stop,
    "activity": lambda machine, _: machine.want(active=not machine.intent.active),
    "stop by name": _stop_by_name,
    "start by name": _start_by_name,
    "restart": lambda machine, bits: machine.restart(_one(machine, bits)),
    "install": _install,
}
OFTEN = ["turn"] * 6 + ["whole turn"] * 3 + ["role", "crash"] * 2
HISTORIES = st.lists(st.tuples(st.sampled_from([*MOVES, *OFTEN]), BITS), min_size=12, max_size=60)
RELOADS = st.lists(st.tuples(st.sampled_from([*MOVES, *OFTEN, *["reload"] * 4]), BITS), min_size=12, max_size=60)
