"""What a PostgreSQL that died with the other node leaves on the volume.

``postmaster.pid`` names a process of the node that wrote it. Right after this node has mounted the volume no server of
this node can have written it; where its number belongs to a living process here (of another program), PostgreSQL
would take that for a running server and refuse to start.
"""

from __future__ import annotations

from pathlib import Path

from escadm.log import get
from escadm.system.process import command_name, identify

PID_FILE = "postmaster.pid"
PLACES = [f"{'*/' * depth}{PID_FILE}" for depth in range(4)]

log = get(__name__)


def remove_stale_pid_files(mount_point: Path) -> list[Path]:
    """Remove each postmaster.pid of a server that does not run here; call it only right after mounting.

    A file that names a living process called postgres or postmaster stays: somebody was quicker than we. So does one
    that names no process, unless it is empty: a power cut leaves that, and PostgreSQL would not start over it.
    """
    removed = []
    for pattern in PLACES:
        for file in sorted(mount_point.glob(pattern)):
            try:
                # a server in single-user mode (postgres --single) writes its number with a minus
                pid = abs(int(file.read_text().split("\n", 1)[0] or 0))
            except (OSError, ValueError):
                continue
            if identify(pid) is not None and command_name(pid) in ("postgres", "postmaster"):
                continue
            log.warning("removing %s: %s", file, f"process {pid} is no PostgreSQL of this node" if pid else "empty")
            file.unlink(missing_ok=True)
            removed.append(file)
    return removed
