"""The guest agent of a machine, over its serial line: JSON, a line each.

https://qemu-project.gitlab.io/qemu/interop/qemu-ga-ref.html
"""

from __future__ import annotations

import base64
import itertools
import json
import socket
import threading
import time
from typing import Any

from escadm.errors import Failed

TURN = 10.0
"""Seconds for one question and its answer, on a busy machine."""
LONGEST = 4000
"""Bytes of a question. The machine's end of the line holds 4096 that nobody has read; it never recovers from more."""
PIECE = 2048
"""Bytes of a file that go with one question."""


class GuestAgent:
    """Several threads may ask, one after the other. What an earlier question left in the line is skipped."""

    _numbers = itertools.count(time.monotonic_ns() % (1 << 30))

    def __init__(self, line: socket.socket, name: str) -> None:
        self.name = name
        self._lock = threading.Lock()
        self._buffer = b""
        self._socket = line

    def close(self) -> None:
        """The machine has no power any more."""
        self._socket.close()

    def synchronise(self, timeout: float) -> None:
        """Until the agent answers to this question, and not to an older one; OSError when it does not in time."""
        with self._lock:
            number = next(self._numbers)
            self._socket.settimeout(timeout)
            self._send({"execute": "guest-sync-delimited", "arguments": {"id": number}}, prefix=b"\xff")
            end = time.monotonic() + timeout
            while time.monotonic() < end:
                try:
                    if self._line().get("return") == number:
                        return
                except ValueError:
                    continue
            raise TimeoutError(f"no answer of {self.name} in {timeout:g} s")

    def ask(self, command: str, /, **arguments: Any) -> Any:
        """What the agent returns; Failed if that is an error, OSError if it does not answer."""
        with self._lock:
            self._socket.settimeout(TURN)
            self._send({"execute": command, "arguments": arguments})
            while True:
                message = self._line()
                if "error" in message:
                    raise Failed(f"{self.name}: {command}: {message['error']['desc']}")
                if "return" in message:
                    return message["return"]

    def store(self, path: str, data: bytes) -> None:
        """Make a file with these bytes."""
        handle = self.ask("guest-file-open", path=path, mode="w")
        for begin in range(0, len(data), PIECE):
            piece = base64.b64encode(data[begin : begin + PIECE]).decode()
            self.ask("guest-file-write", handle=handle, **{"buf-b64": piece})
        self.ask("guest-file-close", handle=handle)

    def _line(self) -> dict[str, Any]:
        """The next message; OSError when none comes in time."""
        while b"\n" not in self._buffer:
            data = self._socket.recv(1 << 16)
            if not data:
                raise ConnectionResetError(f"{self.name} has no power")
            self._buffer += data
        line, self._buffer = self._buffer.split(b"\n", 1)
        message: dict[str, Any] = json.loads(line.lstrip(b"\xff") or b"{}")
        return message

    def _send(self, message: dict[str, Any], prefix: bytes = b"") -> None:
        data = prefix + json.dumps(message).encode() + b"\n"
        if len(data) > LONGEST:
            raise Failed(f"{self.name}: the question has {len(data)} bytes, and may have {LONGEST}: write a file first")
        self._socket.sendall(data)
