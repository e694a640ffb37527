"""What is done about the data because of the peer: the decision's act, in a thread, until its effect is seen."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from escadm.agent.inputs.inputs import Inputs
from escadm.agent.turns import Turns
from escadm.core.rules.data import Act
from escadm.errors import EscadmError
from escadm.log import get
from escadm.system.drbd.commands import abandon, outdate

ACTS_AGAIN = 1.0

log = get(__name__)


class DataActs:
    """One act at a time; its effect is looked for at the end of each turn, and its end makes another one."""

    def __init__(self, inputs: Inputs, turns: Turns) -> None:
        self._inputs = inputs
        self._turns = turns
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
        before = self._inputs.replica
        try:
            await asyncio.to_thread(work)
        except EscadmError as error:
            log.warning("drbd: %s", error.message)
        self._inputs.volume.look()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._turns.until(lambda: self._inputs.replica != before), ACTS_AGAIN)
        asyncio.get_running_loop().call_soon(self._turns.wake)
