"""Both ends of sd_notify(3): what services tell the agent, and what the agent tells systemd."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path

SEND_LIMIT = 0.5


def tell_systemd(message: str) -> None:
    """Send ``message`` (``READY=1``, ``STATUS=…``) to the service manager; without one nothing happens.

    One that does not listen costs SEND_LIMIT seconds and the message.
    """
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
        out.settimeout(SEND_LIMIT)
        out.sendto(message.encode(), address)


def watchdog_limit() -> float | None:
    """Seconds after which systemd takes this process for hung without a ``WATCHDOG=1``; None where it does not look."""
    usec, pid = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
    if not usec.isdecimal() or not int(usec) or (pid and pid != str(os.getpid())):
        return None
    return int(usec) / 1e6


def open_listener(path: Path) -> socket.socket:
    """A non-blocking datagram socket at ``path``, made anew; any user may write to it (the folder guards it)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.parent.chmod(0o711)
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    listener.bind(str(path))
    path.chmod(0o666)
    return listener


def is_ready(listener: socket.socket) -> bool:
    """Read all that has arrived; True if one of the messages says ``READY=1``."""
    ready = False
    while True:
        try:
            data = listener.recv(4096)
        except BlockingIOError:
            return ready
        ready = ready or b"READY=1" in data.split(b"\n")
