"""What DRBD tells about the volume while it is up: its events, each a reason to look."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
from collections.abc import Callable

from escadm.core.replication import Replica
from escadm.errors import EscadmError
from escadm.log import get
from escadm.system.replication import open_events, read_replica

WATCH_AGAIN = 1.0

log = get(__name__)

OnReplica = Callable[[Replica | None], None]


class ReplicaFeed:
    """DRBD's events: each says "look again", and ``on_replica`` gets what was seen then, if it is news."""

    def __init__(self, on_replica: OnReplica) -> None:
        self._on_replica = on_replica
        self._process: subprocess.Popen[bytes] | None = None
        self._looking: asyncio.Task[None] | None = None
        self._again = False
        self._closed = True
        self._restart: asyncio.TimerHandle | None = None
        self._complaint = ""

    def open(self) -> None:
        """Listen until :meth:`close`; a listener that ends (there is no volume yet) is started again."""
        self._rest()
        self._closed = False
        loop = asyncio.get_running_loop()
        try:
            self._process = open_events()
        except EscadmError as error:
            self._complain(f"cannot listen to DRBD: {error.message}")
            self._restart = loop.call_later(WATCH_AGAIN, self.open)
            return
        pipe = self._process.stdout
        if pipe is not None:
            os.set_blocking(pipe.fileno(), False)
            loop.add_reader(pipe.fileno(), self._on_data, pipe.fileno())
        self.look()

    def close(self) -> None:
        self._closed = True
        self._rest()

    def look(self) -> None:
        """Read the state now, or once more if that is under way."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.get_running_loop().create_task(self._look())
        else:
            self._again = True

    async def _look(self) -> None:
        self._again = True
        while self._again:
            self._again = False
            try:
                self._on_replica(await asyncio.to_thread(read_replica))
            except EscadmError as error:
                self._complain(error.message)
            else:
                self._complaint = ""

    def _complain(self, message: str) -> None:
        """Once, not with every attempt."""
        if message != self._complaint:
            log.warning("%s", message)
        self._complaint = message

    def _on_data(self, descriptor: int) -> None:
        with contextlib.suppress(BlockingIOError):
            if not os.read(descriptor, 65536):
                self._end()
                if not self._closed:
                    self._restart = asyncio.get_running_loop().call_later(WATCH_AGAIN, self.open)
                return
        self.look()

    def _rest(self) -> None:
        """Neither listen nor be about to."""
        if self._restart is not None:
            self._restart.cancel()
        self._end()

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.stdout is not None:
            asyncio.get_running_loop().remove_reader(process.stdout.fileno())
            process.stdout.close()
            process.kill()
            process.wait()
