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
DEPTH = ("*", "*/*", "*/*/*")

log = get(__name__)


def remove_stale_pid_files(mount_point: Path) -> list[Path]:
    """Remove each postmaster.pid of a server that does not run here; call it only right after mounting.

    A file that names a living process called postgres or postmaster stays: somebody was quicker than we.
    """
    removed = []
    for pattern in DEPTH:
        for file in sorted(mount_point.glob(f"{pattern}/{PID_FILE}")):
            try:
                pid = int(file.read_text().split("\n", 1)[0])
            except (OSError, ValueError):
                continue
            if identify(pid) is not None and command_name(pid) in ("postgres", "postmaster"):
                continue
            log.warning("removing %s: process %d is no PostgreSQL of this node", file, pid)
            file.unlink(missing_ok=True)
            removed.append(file)
    return removed
