"""DRBD as two units: ``drbd``, the volume up and connecting, and ``drbd:master``, this node Primary."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
from collections.abc import Callable

from escadm.agent.driver import Acts, Post
from escadm.core.lifecycle import Event
from escadm.core.replication import Gate, Replica, may_promote
from escadm.core.types import Unit
from escadm.errors import EscadmError
from escadm.log import get
from escadm.system.process import ProcessId
from escadm.system.replication import Refused, bring_up, demote, open_events, promote, read_replica, take_down

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 1.0
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
        except OSError as error:
            self._complain(f"cannot listen to DRBD: {error}")
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


class Drbd:
    """The volume: up and connecting. It is reached without the peer; a boot never waits for that."""

    leader: ProcessId | None = None
    doubt = ""

    def __init__(self, unit: Unit, post: Post, feed: ReplicaFeed) -> None:
        self._post = post
        self._feed = feed
        self._acts = Acts(unit.name, self._tell)

    def _tell(self, event: Event, reason: str) -> None:
        if event is Event.READY:
            self._feed.look()  # the listener may not have begun yet
        self._post(event, reason)

    def start(self) -> None:
        self._acts.run(Event.READY, Event.EXITED, bring_up)
        self.watch()

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

    def __init__(self, unit: Unit, post: Post, feed: ReplicaFeed) -> None:
        self.doubt = ""
        self._unit = unit
        self._post = post
        self._feed = feed
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
        gate, why = may_promote(await asyncio.to_thread(read_replica))
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
