"""When the next turn is, and who waits for its end.

It is soon, but never so that turns take more than half of the loop's time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

LONGEST_REST = 0.1
"""Seconds: a turn is as long as that only by the clock, on a machine that has been stopped or is short of memory."""


class Turns:
    """Has ``turn`` called; many wishes make one turn. One that comes to its end says so by :meth:`answer`."""

    def __init__(self, turn: Callable[[], None]) -> None:
        self._turn = turn
        self._loop = asyncio.get_running_loop()
        self._due = False
        self._hurried = False
        self._over = False
        self._rests_until = 0.0
        self._latest: asyncio.TimerHandle | None = None
        self._waiting: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []

    def wake(self) -> None:
        """Take a turn, soon."""
        if not self._due:
            self._due = True
            self._loop.call_at(self._rests_until, self._take)

    def hurry(self) -> None:
        """Said within a turn: it has left something to do, and the next one comes without a rest."""
        self._hurried = True

    def come_by(self, at: float | None) -> None:
        """Take a turn at that time by the loop's clock if nothing wakes before; None = whenever. The newest counts."""
        if self._latest is not None:
            self._latest.cancel()
        self._latest = self._loop.call_at(at, self.wake) if at is not None else None

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait until ``true()`` holds at the end of a turn; an error in it is raised here."""
        future: asyncio.Future[None] = self._loop.create_future()
        self._waiting.append((true, future))
        self.wake()
        await future

    def answer(self) -> None:
        """Said at the end of a turn: who waits for what is true now waits no longer."""
        self._waiting = [pair for pair in self._waiting if not _is_answered(*pair)]

    def end(self) -> None:
        """Take no turn any more, whoever wakes."""
        self._over = True

    def _take(self) -> None:
        if self._over:
            return
        self._due = self._hurried = False
        began = self._loop.time()
        self._turn()
        if self._hurried:
            self.wake()
        else:
            now = self._loop.time()
            self._rests_until = now + min(now - began, LONGEST_REST)


def _is_answered(true: Callable[[], bool], future: asyncio.Future[None]) -> bool:
    """Whether nobody waits any longer: the question is answered with yes or with an error, or was given up."""
    if future.done():
        return True
    try:
        if true():
            future.set_result(None)
    except Exception as error:
        future.set_exception(error)
    return future.done()
