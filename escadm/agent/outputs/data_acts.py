"""What is done about the data because of the peer: the decision's act, in a thread, until its effect is seen."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from escadm.agent.inputs.drbd_events import ReplicaFeed
from escadm.core.drbd.state import Replica
from escadm.core.rules.data import Act
from escadm.errors import EscadmError
from escadm.log import get
from escadm.system.drbd.commands import abandon, outdate

ACTS_AGAIN = 1.0

log = get(__name__)

Until = Callable[[Callable[[], bool]], Awaitable[None]]


class DataActs:
    """One act at a time. ``seen()`` is the volume as it is known now, ``until(true)`` waits for a turn's end where
    ``true()`` holds, ``wake`` asks for another turn."""

    def __init__(
        self, feed: ReplicaFeed, seen: Callable[[], Replica | None], until: Until, wake: Callable[[], None]
    ) -> None:
        self._feed = feed
        self._seen = seen
        self._until = until
        self._wake = wake
        self._task: asyncio.Task[None] | None = None

    @property
    def running(self) -> bool:
        """Whether an act is under way, or its effect is awaited."""
        return self._task is not None and not self._task.done()

    def do(self, act: Act, why: str) -> None:
        """Begin the act. What is not seen to be done within ACTS_AGAIN seconds may be decided again."""
        if act is Act.OUTDATE:
            log.warning("drbd: %s: its data is declared outdated", why)
        else:
            log.warning("drbd: the writes that wait are given up, nobody was told that they are done: %s", why)
        work = {Act.OUTDATE: outdate, Act.ABANDON: abandon}[act]
        self._task = asyncio.get_running_loop().create_task(self._do(work))

    async def _do(self, work: Callable[[], None]) -> None:
        before = self._seen()
        try:
            await asyncio.to_thread(work)
        except EscadmError as error:
            log.warning("drbd: %s", error.message)
        self._feed.look()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._until(lambda: self._seen() != before), ACTS_AGAIN)
        asyncio.get_running_loop().call_soon(self._wake)
