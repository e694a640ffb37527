"""One look at the machine's processes for all who ask within one turn of the loop, taken by a thread of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from escadm.log import get
from escadm.system.processes import Processes, look

AGAIN = 1.0
LONGEST_REST = 0.1

log = get(__name__)


class Looks:
    """Who asks is told what a look has seen that began after the question. ``scoped``: the scopes are looked at too.

    Looking takes no more than half of the time, however many questions there are: those that come meanwhile share the
    next look.
    """

    def __init__(self, *, scoped: bool) -> None:
        self._scoped = scoped
        self._asked: list[Callable[[Processes], None]] = []
        self._task: asyncio.Task[None] | None = None
        self._rests_until = 0.0

    def ask(self, then: Callable[[Processes], None]) -> None:
        """Have ``then`` called, in the loop."""
        self._asked.append(then)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._work())

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        told = False
        while self._asked:
            await asyncio.sleep(self._rests_until - loop.time())
            asked, self._asked = self._asked, []
            began = loop.time()
            try:
                seen = await self._look()
            except Exception:
                if not told:
                    log.exception("cannot look at the processes of this machine: trying again")
                told = True
                self._asked = asked + self._asked
                await asyncio.sleep(AGAIN)
                continue
            for then in asked:
                loop.call_soon(then, seen)
            now = loop.time()
            self._rests_until = now + min(now - began, LONGEST_REST)
        self._task = None

    async def _look(self) -> Processes:
        """Not by one of the loop's own threads: as many questions as there are of these may wait for their answers."""
        thread = ThreadPoolExecutor(1, "look")
        try:
            return await asyncio.get_running_loop().run_in_executor(thread, partial(look, scoped=self._scoped))
        finally:
            thread.shutdown(wait=False)
