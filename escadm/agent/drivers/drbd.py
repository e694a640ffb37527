"""DRBD as two units: ``drbd``, the volume up and connecting, and ``drbd:master``, this node Primary."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from escadm.agent.drivers.driver import Acts, Post
from escadm.agent.inputs.drbd_events import ReplicaFeed
from escadm.core.drbd.state import Gate, Replica
from escadm.core.lifecycle import Event
from escadm.core.types import Unit
from escadm.errors import EscadmError, NotInstalled
from escadm.log import get
from escadm.system.drbd.commands import Refused, bring_up, demote, promote, read_replica, take_down
from escadm.system.process import ProcessId

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 1.0

log = get(__name__)

MayPromote = Callable[[Replica | None], tuple[Gate, str]]


class Drbd:
    """The volume: up and connecting. It is reached without the peer; a boot never waits for that."""

    leader: ProcessId | None = None
    doubt = ""

    def __init__(self, unit: Unit, post: Post, feed: ReplicaFeed, fence_peer: Path) -> None:
        self._post = post
        self._feed = feed
        self._fence_peer = fence_peer
        self._acts = Acts(unit.name, self._tell)

    def _tell(self, event: Event, reason: str) -> None:
        if event is Event.READY:
            self._feed.look()  # the listener may not have begun yet
        self._post(event, reason)

    def start(self) -> None:
        self._acts.run(Event.READY, Event.EXITED, self._bring_up)
        self.watch()

    def _bring_up(self) -> None:
        if not os.access(self._fence_peer, os.X_OK):
            raise NotInstalled(f"{self._fence_peer}, which DRBD asks when it has lost its peer, is not installed")
        bring_up()

    def watch(self) -> None:
        """Listen to the volume, also to one that an earlier agent has brought up."""
        self._feed.open()

    def terminate(self) -> None:
        self._feed.close()
        self._acts.run(Event.GONE, Event.STOP_FAILED, take_down)

    kill = terminate


class Promotion:
    """Being Primary. It is tried as soon as the gate is open, and again while DRBD only needs time.

    keepalived notices a dead peer before DRBD does: until its pings have failed, DRBD refuses a second Primary. An
    attempt makes it ping at once.
    """

    leader: ProcessId | None = None

    def __init__(self, unit: Unit, post: Post, feed: ReplicaFeed, gate: MayPromote) -> None:
        self.doubt = ""
        self._unit = unit
        self._post = post
        self._feed = feed
        self._gate = gate
        self._leave = asyncio.Event()
        self._starting: asyncio.Task[None] | None = None
        self._stopping: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._starting = asyncio.get_running_loop().create_task(self._start())

    async def _start(self) -> None:
        pause = FIRST_PAUSE
        while not self._leave.is_set():
            try:
                if await self._attempt():
                    return
            except EscadmError as error:
                self._post(Event.EXITED, error.message)
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._leave.wait(), pause)
            pause = min(pause * 1.5, LONGEST_PAUSE)

    async def _attempt(self) -> bool:
        """One look at the gate and, if it is open, one promotion; False = try again."""
        gate, why = self._gate(await asyncio.to_thread(read_replica))
        if gate is Gate.REFUSE:
            self._post(Event.EXITED, f"cannot become Primary: {why}")
            return True
        if gate is Gate.GO:
            try:
                await asyncio.to_thread(promote)
            except Refused as error:
                if not error.again:
                    raise
                why = error.message
            else:
                self._feed.look()
                self._post(Event.READY, "")
                return True
        if why != self.doubt:
            log.info("%s: %s", self._unit.name, why)
        self.doubt = why
        return False

    def terminate(self) -> None:
        self._leave.set()
        if self._stopping is None or self._stopping.done():
            self._stopping = asyncio.get_running_loop().create_task(self._stop())

    kill = terminate

    async def _stop(self) -> None:
        if self._starting is not None:
            await asyncio.wait([self._starting])
        try:
            await asyncio.to_thread(demote)
        except EscadmError as error:
            self._post(Event.STOP_FAILED, error.message)
            return
        self._feed.look()
        self._post(Event.GONE, "")
