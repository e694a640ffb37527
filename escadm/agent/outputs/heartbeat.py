"""The sign of life: given after a turn of the node that the sign itself has asked for, so only by an agent that works.

For the commands it is the beat file; for systemd the watchdog's sign, the status line, and, during a stop that gets
on, more time.
"""

from __future__ import annotations

import asyncio

from escadm.agent.attempt import Attempts
from escadm.agent.node import Node
from escadm.core.lifecycle import KILL_TIMEOUT, Life
from escadm.core.reconcile import DOWN
from escadm.core.states import UnitState
from escadm.system.alive import write_beat
from escadm.system.files import explained
from escadm.system.notify import tell_systemd, watchdog_limit

INTERVAL = 0.5
MORE_TIME = 30.0


class Pulse:
    """Beats for as long as :meth:`run` does."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._loop = asyncio.get_running_loop()
        limit = watchdog_limit()
        self._fed_every = limit / 3 if limit else None
        self._interval = min(INTERVAL, self._fed_every or INTERVAL)
        self._fed = 0.0
        self._text = ""
        self._states: dict[str, UnitState] = {}
        self._moved = self._loop.time()
        node.stage.watchers.append(self._note)

    async def run(self) -> None:
        """A beat after each completed turn, about twice a second."""
        attempts = Attempts(lambda: None)
        while True:
            await self._node.turns.until(lambda: self._node.has_decided)
            if not self._node.outputs.misleads:  # the commands doubt a status without it
                attempts.make("give a sign of life", self._beat)
            attempts.make("tell systemd", self._tell)
            await asyncio.sleep(self._interval)

    def _beat(self) -> None:
        beat = self._node.paths.beat
        with explained("write", beat):
            write_beat(beat)

    def _tell(self) -> None:
        now = self._loop.time()
        news = []
        if self._fed_every is not None and now - self._fed > self._fed_every - self._interval / 2:
            news.append("WATCHDOG=1")
            self._fed = now
        text = self._node.decision.verdict.text
        if text != self._text:
            news.append(f"STATUS={text}")
            self._text = text
        if self._node.wishes.ending and now - self._moved < self._longest_step():
            news.append(f"EXTEND_TIMEOUT_USEC={MORE_TIME * 1e6:.0f}")
        if news:
            tell_systemd("\n".join(news))

    def _note(self, name: str, _before: Life, life: Life) -> None:
        """Another state of a unit is progress; the same one again, for another reason, is none."""
        if self._states.get(name) is not life.state:
            self._states[name] = life.state
            self._moved = self._loop.time()

    def _longest_step(self) -> float:
        """How long a stop may go on without any unit getting on."""
        stage = self._node.stage
        limits = [stage.units[name].stop_timeout for name, life in stage.lives.items() if life.state not in DOWN]
        return max(limits, default=0.0) + 2 * KILL_TIMEOUT
