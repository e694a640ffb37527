"""A command that goes on, each of whose words is an event."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Callable

from escadm.errors import EscadmError
from escadm.system.run import dismiss


class Listener:
    """Reads what a command writes. ``on_data`` gets it; one that ends, or cannot be started, is started again.

    ``start`` makes the process, with a pipe for its stdout; ``complain`` hears why it could not, each time; ``pause``:
    seconds before another attempt.
    """

    def __init__(
        self,
        start: Callable[[], subprocess.Popen[bytes]],
        on_data: Callable[[bytes], None],
        complain: Callable[[str], None],
        pause: float,
    ) -> None:
        self._start = start
        self._on_data = on_data
        self._complain = complain
        self._pause = pause
        self._process: subprocess.Popen[bytes] | None = None
        self._again: asyncio.TimerHandle | None = None

    def open(self) -> None:
        """Listen until :meth:`close`."""
        self.close()
        try:
            self._process = self._start()
        except EscadmError as error:
            self._complain(error.message)
            self._open_later()
            return
        pipe = self._process.stdout
        if pipe is not None:
            os.set_blocking(pipe.fileno(), False)
            asyncio.get_running_loop().add_reader(pipe.fileno(), self._read, pipe.fileno())

    def close(self) -> None:
        """Neither listen nor be about to."""
        if self._again is not None:
            self._again.cancel()
        process, self._process = self._process, None
        if process is not None and process.stdout is not None:
            asyncio.get_running_loop().remove_reader(process.stdout.fileno())
            process.stdout.close()
            dismiss(process)

    def _open_later(self) -> None:
        self._again = asyncio.get_running_loop().call_later(self._pause, self.open)

    def _read(self, descriptor: int) -> None:
        try:
            data = os.read(descriptor, 65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._on_data(data)
            return
        self.close()
        self._open_later()
