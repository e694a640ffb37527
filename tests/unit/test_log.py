"""The log file: a line for each event, rotated."""

from __future__ import annotations

import logging
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
