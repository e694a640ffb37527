"""The kinds of units: each complete in its driver, and told apart in the registry alone."""

import asyncio
import re
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import get_args

import pytest

from escadm.agent.drivers.driver import Driver, Inherited
from escadm.agent.drivers.registry import KINDS, make
from escadm.core.lifecycle import Event, Life
from escadm.core.plan import Unit, spec_of
from escadm.core.specs import DrbdSpec, FilesystemSpec, KeepalivedSpec, Kind, ProcessSpec, Spec, SystemdSpec
from escadm.core.states import UnitState
from escadm.paths import Paths
from escadm.system import systemd
from tests.unit.agent.world import run, tools

AGENT = Path(__file__).parents[3] / "escadm/agent"
NODES = ip_address("192.0.2.1"), ip_address("192.0.2.2")
SPECS: dict[Kind, Spec | None] = {
    Kind.GROUP: None,
    Kind.PROCESS: ProcessSpec(("pgsql",), environment=(("PASSWORD", "hunter2"),), stop_signal="SIGINT"),
    Kind.UNIT: SystemdSpec("web.service"),
    Kind.DRBD: DrbdSpec(NODES, "/dev/sdb", "/dev/drbd1", 7788),
    Kind.FILESYSTEM: FilesystemSpec("/db", "/dev/drbd1", options="password=hunter2"),
    Kind.KEEPALIVED: KeepalivedSpec(ip_address("192.0.2.3"), "lo", "lo", 51),
    Kind.PROMOTION: None,
}
FOR_A_STOP: dict[Kind, Spec] = {
    Kind.PROCESS: ProcessSpec((), stop_signal="SIGINT"),
    Kind.UNIT: SystemdSpec("web.service"),
    Kind.FILESYSTEM: FilesystemSpec("/db", "/dev/drbd1"),
}
"""What is left of the definition when it is not in the plan any more; of other kinds nothing is needed."""

each_kind = pytest.mark.parametrize("kind", KINDS)


def test_every_kind_that_somebody_starts_has_a_driver() -> None:
    assert set(KINDS) == set(Kind) - {Kind.CONDITION}
    assert set(SPECS) == set(KINDS)


@each_kind
def test_a_unit_is_stopped_by_what_is_remembered_of_it(
    paths: Paths, monkeypatch: pytest.MonkeyPatch, kind: Kind
) -> None:
    monkeypatch.setattr(systemd, "is_booted", lambda _: True)
    unit = Unit("it", kind, spec=SPECS[kind])
    remembered = {"stop_signal": "SIGTERM", **KINDS[kind].remembered(unit)}
    assert "hunter2" not in str(remembered)
    restored = replace(unit, spec=KINDS[kind].restored(remembered))
    assert restored.spec == FOR_A_STOP.get(kind)
    assert {"stop_signal": "SIGTERM", **KINDS[kind].remembered(restored)} == remembered

    async def work() -> None:
        for each in (unit, restored):
            assert type(make(each, lambda *_: None, tools(paths))) is KINDS[kind]

    run(work())


@each_kind
def test_where_people_find_the_output(paths: Paths, kind: Kind) -> None:
    place = KINDS[kind].log_place(Unit("it", kind, spec=SPECS[kind]), paths)
    journal = "the journal: journalctl -u web.service"
    assert place == (journal if kind is Kind.UNIT else f"{paths.log_directory}/it.log")


@each_kind
def test_who_takes_changes_up_says_how(kind: Kind) -> None:
    assert KINDS[kind].takes_changes_up is (KINDS[kind].reload is not Driver.reload)


def test_ground_is_what_the_machine_shows_nothing_of(paths: Paths) -> None:
    ground = [kind for kind in KINDS if KINDS[kind].is_ground(Unit("it", kind, spec=SPECS[kind]))]
    assert ground == [Kind.GROUP]
    folder = Unit("it", Kind.FILESYSTEM, spec=FilesystemSpec("/db"))
    assert KINDS[Kind.FILESYSTEM].is_ground(folder)
    assert KINDS[Kind.FILESYSTEM].is_up(folder, paths) is None


@pytest.mark.parametrize("state", [UnitState.STARTING, UnitState.RUNNING, UnitState.STOPPING, UnitState.KILLING])
def test_a_group_simply_is(paths: Paths, state: UnitState) -> None:
    posted: list[tuple[Event, str]] = []

    async def work() -> None:
        driver = make(Unit("it", Kind.GROUP), lambda *word: posted.append(word), tools(paths))
        life = driver.adopt(Inherited(Life(state, 5.0, deadline=9.0)))
        assert life == Life(UnitState.RUNNING, 5.0)
        assert driver.gets_on(life)
        await asyncio.sleep(0)

    run(work())
    assert posted == []


def test_a_spec_of_another_kind_is_told() -> None:
    unit = Unit("it", Kind.PROCESS, spec=FilesystemSpec("/db"))
    with pytest.raises(TypeError, match="it: a process has a ProcessSpec, this one a FilesystemSpec"):
        spec_of(unit, ProcessSpec)


def test_nobody_else_in_the_agent_goes_by_the_kind_of_a_unit() -> None:
    """But for the condition, which is no kind that anybody starts."""
    classes = [each.__name__ for each in (*get_args(Spec), *KINDS.values())]
    ladder = re.compile(
        rf"isinstance\([^()]*({'|'.join(classes)})|match .*(kind|spec)\b|\bKind\.(?!CONDITION|PROCESS,)"
    )
    own = [AGENT / "drivers/registry.py"]
    found = {
        f"{file.relative_to(AGENT)}: {match[0]}"
        for file in sorted(AGENT.rglob("*.py"))
        if file not in own
        for match in ladder.finditer(file.read_text())
    }
    assert not found
