"""When the next turn is: soon, but never so that turns take more than half of the loop's time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

LONGEST_REST = 0.1
"""Seconds: a turn is as long as that only by the clock, on a machine that has been stopped or is short of memory."""


class Turns:
    """Has ``turn`` called; many wishes make one turn."""

    def __init__(self, turn: Callable[[], None]) -> None:
        self._turn = turn
        self._loop = asyncio.get_running_loop()
        self._due = False
        self._hurried = False
        self._rests_until = 0.0

    def wake(self) -> None:
        """Take a turn, soon."""
        if not self._due:
            self._due = True
            self._loop.call_at(self._rests_until, self._take)

    def hurry(self) -> None:
        """Said within a turn: it has left something to do, and the next one comes without a rest."""
        self._hurried = True

    def _take(self) -> None:
        self._due = self._hurried = False
        began = self._loop.time()
        self._turn()
        if self._hurried:
            self.wake()
        else:
            now = self._loop.time()
            self._rests_until = now + min(now - began, LONGEST_REST)
