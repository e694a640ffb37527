"""DRBD as two units: ``drbd``, the volume up and connecting, and ``drbd:master``, this node Primary."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Collection

from escadm.agent.drivers.acts import Acts
from escadm.agent.drivers.driver import Asked, Inherited, Post, Tools
from escadm.core.drbd.state import Gate
from escadm.core.lifecycle import Event, Life
from escadm.core.plan import Unit
from escadm.core.states import UnitState
from escadm.errors import EscadmError, NotInstalled
from escadm.log import get
from escadm.paths import Paths
from escadm.system.drbd.commands import Refused, allow_syncs, bring_up, demote, promote, read_replica, take_down

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 1.0

log = get(__name__)


class Drbd(Asked):
    """The volume: up and connecting. It is reached without the peer; a boot never waits for that."""

    takes_changes_up = True

    def __init__(self, unit: Unit, post: Post, tools: Tools) -> None:
        super().__init__(unit, post, tools)
        self._feed = tools.replicas
        self._acts = Acts(unit.name, self._tell)
        self._runs = False

    def _tell(self, event: Event, reason: str) -> None:
        if event is Event.READY:
            self._runs = True
            self._feed.look()  # the listener may not have begun yet
        self._post(event, reason)

    def start(self) -> None:
        self._acts.run(Event.READY, Event.EXITED, self._bring_up)
        self._feed.open()

    def _bring_up(self) -> None:
        asked = self._paths.fence_peer
        if not os.access(asked, os.X_OK):
            raise NotInstalled(f"{asked}, which DRBD asks when it has lost its peer, is not installed")
        bring_up()

    def terminate(self) -> None:
        self._feed.close()
        self._acts.run(Event.GONE, Event.STOP_FAILED, take_down)

    kill = terminate

    async def reload(self, written: Collection[str]) -> None:
        if self._runs and str(self._paths.drbd_res) in written:
            await asyncio.to_thread(bring_up)

    def adopt(self, inherited: Inherited) -> Life:
        if not inherited.is_written:
            _begin_syncs()
        self._feed.open()
        life = super().adopt(inherited)
        self._runs = life.state is UnitState.RUNNING
        return life

    @classmethod
    def is_up(cls, unit: Unit, paths: Paths) -> bool | None:
        return read_replica() is not None


def _begin_syncs() -> None:
    """A first installation leaves them held up."""
    try:
        allow_syncs()
    except EscadmError as error:
        log.warning("%s", error.message)


class Promotion(Asked):
    """Being Primary. It is tried as soon as the gate is open, and again while DRBD only needs time.

    keepalived notices a dead peer before DRBD does: until its pings have failed, DRBD refuses a second Primary. An
    attempt makes it ping at once.
    """

    def __init__(self, unit: Unit, post: Post, tools: Tools) -> None:
        super().__init__(unit, post, tools)
        self._feed = tools.replicas
        self._gate = tools.gate
        self._doubt = ""
        self._leave = asyncio.Event()
        self._starting: asyncio.Task[None] | None = None
        self._stopping: asyncio.Task[None] | None = None

    @property
    def doubt(self) -> str:
        return self._doubt

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
        if why != self._doubt:
            log.info("%s: %s", self._unit.name, why)
        self._doubt = why
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

    @classmethod
    def is_up(cls, unit: Unit, paths: Paths) -> bool | None:
        replica = read_replica()
        return replica is not None and replica.is_primary
