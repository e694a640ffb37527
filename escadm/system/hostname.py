"""The name of this machine."""

from __future__ import annotations

import socket
from pathlib import Path

from escadm.system.files import read


def written(path: Path) -> str:
    """The name in /etc/hostname (hostname(5)), empty where there is none."""
    lines = [line.strip() for line in (read(path) or "").splitlines()]
    return next((line for line in lines if line and not line.startswith("#")), "")


def take_up(name: str) -> bool:
    """Give the kernel the name; False where that is not allowed, as in a container."""
    if socket.gethostname() != name:
        try:
            socket.sethostname(name)
        except PermissionError:
            return False
    return True
