"""The two sockets of a machine: QMP, which is qemu itself, and the guest agent inside. Both speak JSON, a line each."""

from __future__ import annotations

import itertools
import json
import socket
import threading
import time
from pathlib import Path
from typing import Any

from escadm.errors import Failed

TURN = 10.0
"""Seconds for one question and its answer, on a busy machine."""


class Channel:
    """One connection; several threads may ask through it, one after the other."""

    def __init__(self, path: Path, timeout: float = TURN) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._buffer = b""
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(timeout)
        try:
            self._socket.connect(str(path))
        except BaseException:
            self._socket.close()
            raise

    def close(self) -> None:
        self._socket.close()

    def patience(self, seconds: float) -> None:
        """How long an answer may take."""
        self._socket.settimeout(seconds)

    def line(self) -> dict[str, Any]:
        """The next message; OSError when none comes in time."""
        while b"\n" not in self._buffer:
            data = self._socket.recv(1 << 16)
            if not data:
                raise ConnectionResetError(f"{self.path.name} was closed")
            self._buffer += data
        line, self._buffer = self._buffer.split(b"\n", 1)
        message: dict[str, Any] = json.loads(line.lstrip(b"\xff") or b"{}")
        return message

    def ask(self, command: str, /, **arguments: Any) -> Any:
        """What the other side returns; Failed if that is an error, OSError if it does not answer."""
        with self._lock:
            self._send({"execute": command, "arguments": arguments})
            while True:
                message = self.line()
                if "error" in message:
                    raise Failed(f"{self.path.name}: {command}: {message['error']['desc']}")
                if "return" in message:
                    return message["return"]

    def _send(self, message: dict[str, Any], prefix: bytes = b"") -> None:
        self._socket.sendall(prefix + json.dumps(message).encode() + b"\n")


class Qmp(Channel):
    """qemu's own."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, timeout=120.0)
        self.line()
        self.ask("qmp_capabilities")

    def human(self, command: str) -> str:
        """A command of the human monitor, and what it printed."""
        return str(self.ask("human-monitor-command", **{"command-line": command}))


class GuestAgent(Channel):
    """The agent in the guest. What an earlier connection left in the line is skipped."""

    _numbers = itertools.count(time.monotonic_ns() % (1 << 30))

    def __init__(self, path: Path, timeout: float = TURN) -> None:
        super().__init__(path, timeout)
        try:
            self._synchronise()
        except BaseException:
            self.close()
            raise

    def _synchronise(self) -> None:
        number = next(self._numbers)
        self._send({"execute": "guest-sync-delimited", "arguments": {"id": number}}, prefix=b"\xff")
        while True:
            try:
                if self.line().get("return") == number:
                    return
            except ValueError:
                continue
