"""What the volume is like: each event of DRBD is a reason to look, and it is looked at each second while it
changes without events.

Also what only several looks can tell: the speed of a sync, the last write, the generation of the data.
"""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace

from escadm.agent.inputs.listener import Listener
from escadm.agent.outputs.journal import iso
from escadm.core.drbd.pace import Pace, last_write, needs_generation, pace
from escadm.core.drbd.state import Replica
from escadm.errors import EscadmError
from escadm.log import get
from escadm.system.drbd.commands import open_events, read_generation, read_replica

WATCH_AGAIN = 1.0
LOOK_AGAIN = 1.0

log = get(__name__)

OnReplica = Callable[[Replica | None], None]


class ReplicaFeed:
    """While it is open, ``on_replica`` gets what each look at the volume has seen; None once when it is closed."""

    def __init__(self, on_replica: OnReplica) -> None:
        self._on_replica = on_replica
        self._listener = Listener(
            self._listen,
            lambda _: self.look(),
            lambda why: self._complain(f"cannot listen to DRBD: {why}"),
            WATCH_AGAIN,
        )
        self._looking: asyncio.Task[None] | None = None
        self._again = False
        self._closings = 0
        self._next_look: asyncio.TimerHandle | None = None
        self._complaint = ""
        self._seen: Replica | None = None
        self._pace: Pace | None = None
        self._written_at: str | None = None
        self._generation_due = False
        self.is_open = False

    def open(self) -> None:
        """Listen until :meth:`close`; a listener that ends (there is no volume yet) is started again."""
        self._rest()
        self.is_open = True
        self._listener.open()

    def _listen(self) -> subprocess.Popen[bytes]:
        process = open_events()
        self.look()
        return process

    def close(self) -> None:
        """Neither listen nor look any more: nothing is known of the volume from now on, whatever is under way."""
        was_open, self.is_open = self.is_open, False
        self._closings += 1
        self._seen, self._generation_due = None, False
        self._rest()
        if was_open:
            self._on_replica(None)

    def look(self) -> None:
        """Read the state now, or once more if that is under way; nothing happens while it is closed."""
        if not self.is_open:
            return
        if self._looking is None or self._looking.done():
            self._looking = asyncio.get_running_loop().create_task(self._look())
        else:
            self._again = True

    async def _look(self) -> None:
        self._again, failed = True, False
        while self._again and self.is_open:
            self._again, closings = False, self._closings
            try:
                seen = await asyncio.to_thread(read_replica)
                if closings == self._closings:
                    self._take(seen)
                if self._generation_due and not self._again:  # the state is news first, the generation after it
                    generation = await asyncio.to_thread(read_generation)
                    if closings == self._closings:
                        self._take_generation(generation)
                self._complaint, failed = "", False
            except EscadmError as error:
                self._complain(error.message)
                failed = True
        self._plan_next_look(failed=failed)

    def _plan_next_look(self, *, failed: bool) -> None:
        if self._next_look is not None:
            self._next_look.cancel()
        moves = self._seen is not None and not self._seen.is_quiet
        if self.is_open and (failed or moves):
            self._next_look = asyncio.get_running_loop().call_later(LOOK_AGAIN, self.look)

    def _take(self, seen: Replica | None) -> None:
        """Add what the earlier looks tell to this one, and pass it on."""
        before = self._seen
        if seen is None:
            self._generation_due = False
        else:
            self._generation_due = self._generation_due or needs_generation(before, seen)
            self._written_at = last_write(before, seen, self._written_at, iso(time.time()))
            now = asyncio.get_running_loop().time()
            self._pace = pace(self._pace, seen.out_of_sync, now) if seen.is_syncing else None
            seen = replace(
                seen,
                generation=before.generation if before else "",
                last_write=None if seen.is_connected else self._written_at,
                bytes_per_second=self._pace.bytes_per_second if self._pace else None,
            )
        self._seen = seen
        self._on_replica(seen)

    def _take_generation(self, generation: str) -> None:
        self._generation_due = False
        if self._seen is not None and generation != self._seen.generation:
            self._seen = replace(self._seen, generation=generation)
            self._on_replica(self._seen)

    def _complain(self, message: str) -> None:
        """Once, not with every attempt."""
        if message != self._complaint:
            log.warning("%s", message)
        self._complaint = message

    def _rest(self) -> None:
        """Neither listen nor be about to listen or look."""
        if self._next_look is not None:
            self._next_look.cancel()
        self._listener.close()
