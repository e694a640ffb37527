"""``escadm`` with its loop under observation: ``measured_agent.py REPORT ARGUMENTS``.

One line of JSON in REPORT for each beat: when (the monotonic clock), and the longest piece of work of the loop and the
time since the beat before, each by the clock and in processor time of the loop's thread; all that the agent has used.
"""

from __future__ import annotations

import json
import os
import sys
import time
from asyncio import events
from pathlib import Path

from escadm.agent.outputs import heartbeat
from escadm.cli.app import main
from escadm.system import alive

REPORT = Path(sys.argv[1])
run_handle = events.Handle._run
write_beat = alive.write_beat
longest = [0.0, 0.0]
last = [time.monotonic(), time.thread_time()]


def run_measured(handle: events.Handle) -> None:
    """One piece of work of the loop."""
    wall, used = time.monotonic(), time.thread_time()
    run_handle(handle)
    longest[0] = max(longest[0], time.monotonic() - wall)
    longest[1] = max(longest[1], time.thread_time() - used)


def beat_measured(path: Path) -> None:
    """A beat, and the figures of the time before it."""
    write_beat(path)
    wall, used, whole = time.monotonic(), time.thread_time(), os.times()
    figures = {
        "at": wall,
        "work": longest[0],
        "work_cpu": longest[1],
        "age": wall - last[0],
        "age_cpu": used - last[1],
        "cpu": whole.user + whole.system,
    }
    with REPORT.open("a") as report:
        report.write(json.dumps(figures) + "\n")
    longest[:] = 0.0, 0.0
    last[:] = wall, used


setattr(events.Handle, "_run", run_measured)  # noqa: B010 - mypy takes it for a method
setattr(heartbeat, "write_beat", beat_measured)  # noqa: B010 - it is another module's
sys.argv = ["escadm", *sys.argv[2:]]
main()
