"""The blocking acts of a unit, in threads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from escadm.agent.drivers.driver import Post
from escadm.core.lifecycle import Event
from escadm.errors import EscadmError
from escadm.log import get

log = get(__name__)


class Acts:
    """Blocking acts of one unit, each in a thread, one at a time; what comes of each is posted.

    What is asked for while one is under way comes after it, the last word alone.
    """

    def __init__(self, name: str, post: Post) -> None:
        self._name = name
        self._post = post
        self._task: asyncio.Task[None] | None = None
        self._next: tuple[Event, Event, Callable[[], None]] | None = None

    def run(self, good: Event, bad: Event, act: Callable[[], None]) -> None:
        """Have ``act`` done; ``good`` is posted after it, ``bad`` with the reason where it fails."""
        self._next = (good, bad, act)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._work())

    async def _work(self) -> None:
        while self._next is not None:
            (good, bad, act), self._next = self._next, None
            try:
                await asyncio.to_thread(act)
            except (EscadmError, OSError) as error:
                self._post(bad, error.message if isinstance(error, EscadmError) else str(error))
            except Exception as error:
                log.exception("%s: a defect of ours", self._name)
                self._post(bad, f"met a defect of escadm: {error}")
            else:
                self._post(good, "")
