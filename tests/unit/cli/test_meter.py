"""What is shown of something long: nothing of what is quick, lines in a pipe, a bar on a terminal."""

from __future__ import annotations

import itertools
import os
import pty
import subprocess
import sys
import time

import pytest

from escadm.cli import meter

DRAW = """
from escadm.cli import meter
meter.FIRST = 0.0
with meter.meters() as begin:
    show = begin("reading /dev/vdb")
    for done in range(1, 5):
        show(done, 4)
print("done")
"""


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time that the next looks at the clock will see; then it stands still."""
    times = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: times.pop(0) if len(times) > 1 else times[0])
    return times


def test_what_is_quick_says_nothing(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with meter.meters() as begin:
        show = begin("reading /dev/vdb")
        for done in range(10):
            show(done, 10)
    assert capsys.readouterr().out == ""


def test_a_line_now_and_then(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with meter.meters() as begin:
        show = begin("reading /dev/vdb")
        for done, second in itertools.product(range(3), range(8)):
            clock[:] = [done * 8.0 + second]
            show(done * 8 + second, 24)
    assert capsys.readouterr().out.splitlines() == [
        "reading /dev/vdb: 4%",
        "reading /dev/vdb: 46%",
        "reading /dev/vdb: 88%",
    ]


def test_a_bar_on_a_terminal() -> None:
    leader, follower = pty.openpty()
    done = subprocess.Popen([sys.executable, "-c", DRAW], stdout=follower, env=os.environ | {"TERM": "xterm"})
    os.close(follower)
    drawn = b""
    while True:
        try:
            drawn += os.read(leader, 4096)
        except OSError:  # the other end is closed
            break
    os.close(leader)
    assert done.wait(timeout=60) == 0
    assert b"reading /dev/vdb" in drawn
    assert b"100%" in drawn
    assert drawn.endswith(b"done\r\n")
