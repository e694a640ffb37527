"""ping(8) that goes on: a line for each answer, and silence where there is none."""

from __future__ import annotations

import subprocess

from escadm.core.specs import Address
from escadm.system.run import listen


def open_ping(address: Address, interval: float) -> subprocess.Popen[bytes]:
    """A process that asks every ``interval`` seconds and writes a line with ``bytes from`` for each answer."""
    return listen(["ping", "-n", "-i", f"{interval:g}", str(address)])
