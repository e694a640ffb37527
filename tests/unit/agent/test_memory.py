"""What the next agent finds: every state comes back as it was, and whatever else stands in the file does no harm."""

import errno
import json
import logging
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from escadm.agent.outputs.memory import Memory, Notes, UnitMemory, fingerprint, load, remember, restore_unit
from escadm.core.lifecycle import Life
from escadm.core.plan import Unit
from escadm.core.specs import FilesystemSpec, Kind, ProcessSpec, SystemdSpec
from escadm.core.states import Role, UnitState
from escadm.core.status import RoleChange
from escadm.errors import EscadmError
from escadm.paths import Paths
from escadm.system.process import ProcessId
from tests.unit.agent.world import state_file

SPEC = ProcessSpec(("pgsql",), environment=(("PASSWORD", "hunter2"),), stop_signal="SIGINT")
UNIT = Unit("pgsql", Kind.PROCESS, ("filesystem",), SPEC, stop_timeout=7.0)
LEADER = ProcessId(4711, 42, "a boot")


def memory_of(*units: UnitMemory) -> Memory:
    return Memory(
        active=False,
        down=("mona",),
        up=("snmp",),
        role=Role.BACKUP,
        role_since="2026-01-01T00:00:00.000Z",
        units={each.name: each for each in units},
        history=(RoleChange("MASTER", "BACKUP", "keepalived says BACKUP", "2026-01-01T00:00:00.000Z", {"total": 0.5}),),
    )


@pytest.mark.parametrize("state", UnitState)
def test_round_trip(paths: Paths, state: UnitState) -> None:
    life = Life(state, 12.5, 99.75, 3, 1.5, 4, "exited with code 3", True, True)
    memory = memory_of(remember(UNIT, life, LEADER, stale=True))
    Notes(paths).save(memory)
    assert load(paths) == memory


def test_round_trip_of_what_has_no_process(paths: Paths) -> None:
    mount = Unit("filesystem", Kind.FILESYSTEM, spec=FilesystemSpec("/db", "/dev/drbd1"))
    group = Unit("esc_service", Kind.GROUP)
    memory = memory_of(*(remember(unit, Life(), None, stale=False) for unit in (mount, group)))
    Notes(paths).save(memory)
    assert load(paths) == memory


def test_what_a_later_version_has_written_down_besides_is_passed_over(paths: Paths) -> None:
    memory = memory_of(remember(UNIT, Life(UnitState.RUNNING, 12.5), LEADER, stale=False))
    Notes(paths).save(memory)
    document = json.loads(paths.state.read_text())
    unit = document["units"]["pgsql"]
    for each in (document, document["history"][0], unit, unit["life"], unit["leader"]):
        each["of_a_later_version"] = 1
    paths.state.write_text(json.dumps(document))
    assert load(paths) == memory


def test_what_an_earlier_version_has_written_down_is_read_and_reads_what_this_one_has(paths: Paths) -> None:
    """It has every field in each unit, empty or not, and reads no unit without a stop signal."""
    mount = Unit("filesystem", Kind.FILESYSTEM, spec=FilesystemSpec("/db", "/dev/drbd1"))
    web = Unit("web", Kind.UNIT, spec=SystemdSpec("web.service"))
    group = Unit("esc_service", Kind.GROUP)
    memory = memory_of(*(remember(unit, Life(), None, stale=False) for unit in (UNIT, mount, web, group)))
    Notes(paths).save(memory)
    document = json.loads(paths.state.read_text())
    assert {name: unit["stop_signal"] for name, unit in document["units"].items()} == {
        "pgsql": "SIGINT",
        "filesystem": "SIGTERM",
        "web": "SIGTERM",
        "esc_service": "SIGTERM",
    }
    told = ("mount_point", "device", "systemd_unit")
    assert [document["units"]["filesystem"].get(each) for each in told] == ["/db", "/dev/drbd1", None]
    assert [document["units"]["web"].get(each) for each in told] == [None, None, "web.service"]
    for unit in document["units"].values():
        unit |= {each: unit.get(each) for each in told}
    paths.state.write_text(json.dumps(document))
    assert load(paths) == memory


def test_file_is_for_root_alone_and_without_secrets(paths: Paths) -> None:
    Notes(paths).save(memory_of(remember(UNIT, Life(), LEADER, stale=False)))
    assert paths.state.stat().st_mode & 0o777 == 0o600
    assert "hunter2" not in paths.state.read_text()


def test_nothing_is_remembered_of_another_boot(paths: Paths) -> None:
    Notes(paths).save(memory_of(remember(UNIT, Life(), LEADER, stale=False)))
    paths.state.write_text(json.dumps(state_file(paths) | {"boot": "another"}))
    assert load(paths) == Memory()


def test_no_file_is_no_news(paths: Paths, caplog: pytest.LogCaptureFixture) -> None:
    assert load(paths) == Memory()
    assert not caplog.records


def spoilt() -> dict[str, object]:
    """A value that does not belong there, for a place in the document."""
    return {
        "role": "PRESIDENT",
        "units": [],
        "down": 5,
        "history": [{"before": "MASTER"}],
        "units.pgsql": 7,
        "units.pgsql.kind": "spaceship",
        "units.pgsql.life": {"state": "asleep"},
        "units.pgsql.leader": {"pid": 1},
        "units.pgsql.needs": None,
    }


@pytest.mark.parametrize("place", spoilt())
def test_document_that_is_none_of_ours(paths: Paths, caplog: pytest.LogCaptureFixture, place: str) -> None:
    Notes(paths).save(memory_of(remember(UNIT, Life(), LEADER, stale=False)))
    document = state_file(paths)
    *way, last = place.split(".")
    target = document
    for step in way:
        target = target[step]
    target[last] = spoilt()[place]
    paths.state.write_text(json.dumps(document))
    assert load(paths) == Memory()
    assert "cannot read" in caplog.text


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"null", b"[]", b"7", b'"boot"', b"{}", b"\xff\xfe", b"[" * 100_000],
    ids=["empty", "cut", "null", "list", "number", "text", "bare", "bytes", "deep"],
)
def test_corrupt_file(paths: Paths, caplog: pytest.LogCaptureFixture, data: bytes) -> None:
    paths.state.write_bytes(data)
    assert load(paths) == Memory()
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "looking for running services by their marks alone" in caplog.text


def test_directory_in_its_place(paths: Paths, caplog: pytest.LogCaptureFixture) -> None:
    paths.state.mkdir()
    assert load(paths) == Memory()
    assert "cannot read" in caplog.text


# --- definitions ------------------------------------------------------------------------------------------


def test_fingerprint_is_that_of_the_process() -> None:
    assert fingerprint(UNIT) == fingerprint(replace(UNIT, needs=("x",), stop_timeout=1.0, group="g"))
    assert fingerprint(UNIT) != fingerprint(replace(UNIT, kind=Kind.UNIT))
    for spec in (replace(SPEC, argv=("other",)), replace(SPEC, environment=()), replace(SPEC, user="pgsql")):
        assert fingerprint(UNIT) != fingerprint(replace(UNIT, spec=spec))
    assert "hunter2" not in fingerprint(UNIT)
    guess = Unit("web", Kind.UNIT, spec=SystemdSpec("web.service", implied=True))
    assert fingerprint(guess) == fingerprint(replace(guess, spec=SystemdSpec("web.service")))


@dataclass(frozen=True, slots=True)
class Later(ProcessSpec):
    """That of a later version."""

    nice: int = 0
    limits: tuple[str, ...] = field(default_factory=tuple)


Later.__name__ = ProcessSpec.__name__


def test_fingerprint_is_that_of_a_version_with_more_to_say() -> None:
    later = Later(SPEC.argv, environment=SPEC.environment, stop_signal=SPEC.stop_signal)
    assert fingerprint(replace(UNIT, spec=later)) == fingerprint(UNIT)
    assert fingerprint(replace(UNIT, spec=replace(later, nice=5))) != fingerprint(UNIT)
    assert fingerprint(replace(UNIT, spec=replace(later, limits=("nofile",)))) != fingerprint(UNIT)


def test_unchanged_definition_goes_on_by_the_plan() -> None:
    planned = replace(UNIT, needs=("keepalived",), stop_timeout=99.0)
    for stale in (False, True):
        assert restore_unit(remember(UNIT, Life(), LEADER, stale=stale), planned) == (planned, stale)


@pytest.mark.parametrize("planned", [None, replace(UNIT, spec=ProcessSpec(("other",)))])
def test_changed_or_removed_definition_is_known_well_enough_to_stop(planned: Unit | None) -> None:
    unit, outdated = restore_unit(remember(UNIT, Life(), LEADER, stale=False), planned)
    assert outdated
    assert (unit.name, unit.kind, unit.needs, unit.stop_timeout) == ("pgsql", Kind.PROCESS, ("filesystem",), 7.0)
    assert unit.spec == ProcessSpec((), stop_signal="SIGINT")


def test_removed_mount_is_known_well_enough_to_unmount(paths: Paths) -> None:
    spec = FilesystemSpec("/db", "/dev/drbd1", options="password=hunter2")
    mount = Unit("filesystem", Kind.FILESYSTEM, spec=spec)
    Notes(paths).save(memory_of(remember(mount, Life(UnitState.RUNNING), None, stale=False)))
    assert "hunter2" not in paths.state.read_text()
    unit, outdated = restore_unit(load(paths).units["filesystem"], None)
    assert outdated
    assert unit.kind is Kind.FILESYSTEM
    assert isinstance(unit.spec, FilesystemSpec)
    assert (unit.spec.mount_point, unit.spec.device) == ("/db", "/dev/drbd1")


def test_only_what_has_changed_is_described_anew(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    notes, life, mona = Notes(paths), Life(UnitState.STARTING, 12.5), replace(UNIT, name="mona")
    described: list[str] = []
    dumps = json.dumps

    def counted(value: object, **more: Any) -> str:
        described.extend([value["name"]] if isinstance(value, dict) and "fingerprint" in value else [])
        return dumps(value, **more)

    monkeypatch.setattr("escadm.agent.outputs.memory.json.dumps", counted)

    def write(of_mona: Life, leader: ProcessId | None = LEADER, *, stale: bool = False) -> None:
        units = notes.unit(UNIT, life, LEADER, stale=False), notes.unit(mona, of_mona, leader, stale=stale)
        notes.save(memory_of(*units))
        assert load(paths) == memory_of(
            remember(UNIT, life, LEADER, stale=False), remember(mona, of_mona, leader, stale=stale)
        )

    write(life)
    write(life)
    assert described == ["pgsql", "mona"]
    running = Life(UnitState.RUNNING, 13.5)
    write(running)
    write(running, replace(LEADER, pid=4712))
    write(running, None)
    write(running, None, stale=True)
    mona = replace(mona, stop_timeout=9.0)
    write(running, None, stale=True)
    assert described == ["pgsql", *["mona"] * 6]


def test_disk_that_refuses_says_so(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file where a folder should be")
    with pytest.raises(Exception, match="cannot write"):
        Notes(Paths(tmp_path)).save(Memory())


def test_disk_that_is_full_keeps_no_old_memory(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    """By an old one the next agent would take what was started since for left-overs, and end it."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    notes = Notes(paths)
    notes.save(Memory())
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(EscadmError, match="the disk is full"):
        notes.save(Memory(active=False))
    assert load(paths) == Memory()
    assert not paths.state.exists()
