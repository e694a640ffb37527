"""The log file: a line for each event, rotated."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from escadm import log


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """What the tests add goes again, closed."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield
    for handler in root.handlers:
        if handler not in before:
            handler.close()
    root.handlers[:] = before
    root.setLevel(level)


def test_a_line_has_its_time_in_utc(tmp_path: Path) -> None:
    log.set_up(tmp_path / "new/escadm.log", stderr=False)
    log.get("x").info("pgsql: running")
    (line,) = (tmp_path / "new/escadm.log").read_text().splitlines()
    assert line.endswith("Z INFO pgsql: running")


def test_the_file_is_rotated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "LARGEST", 1000)
    log.set_up(tmp_path / "escadm.log", stderr=False)
    for number in range(200):
        log.get("x").info("line %d", number)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["escadm.log", *(f"escadm.log.{number}" for number in range(1, log.KEPT + 1))]
    assert all(path.stat().st_size <= 1000 for path in tmp_path.iterdir())
    assert "line 199" in (tmp_path / "escadm.log").read_text()


EVENTS = """
from escadm import log
log.set_up(log.Path({file!r}))
log.get("x").info("pgsql: running")
log.get("x").warning("peer is silent")
try:
    int("no")
except ValueError:
    log.get("x").exception("a defect of ours")
"""


def on_stderr(file: Path, *, journal: bool) -> list[str]:
    """What a process writes whose stderr is the one that systemd tells it to have connected to the journal, or not."""
    read, write = os.pipe()
    found = os.fstat(write)
    stream = f"{found.st_dev}:{found.st_ino}" if journal else "8:1"  # the one of whoever started it
    code = EVENTS.format(file=str(file))
    subprocess.run(
        [sys.executable, "-c", code], stderr=write, env=os.environ | {"JOURNAL_STREAM": stream}, check=True, timeout=30
    )
    os.close(write)
    with os.fdopen(read) as told:
        return told.read().splitlines()


def test_the_journal_gets_the_priority_and_not_the_time_again(tmp_path: Path) -> None:
    lines = on_stderr(tmp_path / "escadm.log", journal=True)
    assert lines[:3] == ["<6>pgsql: running", "<4>peer is silent", "<3>a defect of ours"]
    assert lines[3:]
    assert all(line.startswith("<3>") for line in lines[3:])
    assert "Z INFO pgsql: running" in (tmp_path / "escadm.log").read_text()


def test_what_is_not_the_journal_gets_the_time(tmp_path: Path) -> None:
    lines = on_stderr(tmp_path / "escadm.log", journal=False)
    assert lines == (tmp_path / "escadm.log").read_text().splitlines()
    assert lines[0].endswith("Z INFO pgsql: running")
