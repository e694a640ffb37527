"""Taking a file system away from those who hold it, at the end of the demotion's patience.

Who holds it is found by device number in /proc (never by name, which on a bind mount finds everybody); nobody is ever
signalled who is this process, one of its ancestors, or PID 1; and each is still the process that was found.
"""

from __future__ import annotations

import os
import select
import time
from contextlib import suppress
from pathlib import Path

from escadm.core.specs import FilesystemSpec
from escadm.log import get
from escadm.paths import Paths
from escadm.system.mount import find_holders, is_mounted, unmount
from escadm.system.process import ProcessId, command_name, identify, open_pidfd, parent_of, send

PATIENCE = 2.0
"""Seconds that the holders, however many, have between TERM and KILL, and again after KILL."""

log = get(__name__)


def unmount_by_force(spec: FilesystemSpec, paths: Paths, timeout: float) -> None:
    """Unmount, and where that is refused end the holders: TERM, then KILL. Failed names those that are left."""
    if not is_mounted(spec, paths):
        return  # nobody is disturbed who holds something else there
    point = paths.below(spec.mount_point)
    for signal in ("SIGTERM", "SIGKILL"):
        holders = _holders(point)
        for holder in holders:
            log.warning("%s is held by %d (%s): %s", point, holder.pid, command_name(holder.pid), signal)
            send(holder, signal)
        _wait(holders)
    unmount(spec, paths, timeout)


def _holders(point: Path) -> list[ProcessId]:
    spared = _ancestry()
    found = (identify(pid) for pid, _ in find_holders(point) if pid not in spared)
    return [process for process in found if process is not None]


def _ancestry() -> set[int]:
    """This process and everybody above it, PID 1 included."""
    pids, pid = {1}, os.getpid()
    while pid > 1:
        pids.add(pid)
        pid = parent_of(pid)
    return pids


def _wait(processes: list[ProcessId]) -> None:
    """Until all have ended, but no longer than PATIENCE."""
    end = time.monotonic() + PATIENCE
    for process in processes:
        descriptor = open_pidfd(process)
        if descriptor is not None:
            with suppress(OSError):
                select.select([descriptor], [], [], max(0.0, end - time.monotonic()))
            os.close(descriptor)
