"""DRBD's question, asked through its ``fence-peer`` handler and waited for here: what has become of the peer?"""

from __future__ import annotations

import asyncio

from escadm.agent.inputs.inputs import Inputs
from escadm.agent.node import Node
from escadm.core.drbd.fencing import Answer
from escadm.core.states import UnitState
from escadm.errors import Failed

ANSWERS_WITHIN = 3.0


async def ask_for_peer(node: Node) -> Answer:
    """The answer, once it is known.

    A Primary, whose writes wait, gets no answer but the true one; a promotion is refused after ANSWERS_WITHIN seconds
    without one, and tried again by whoever wants it. Nobody needs an answer any longer once the connection is there
    again, and none may come once the volume goes down (see take_down in escadm.system.drbd.commands). Raises Failed
    where there is no answer.
    """
    inputs = node.inputs
    limit = None if inputs.replica is not None and inputs.replica.is_primary else ANSWERS_WITHIN
    is_back = _Return(inputs)

    def goes_down() -> bool:
        return node.stage.state("drbd") in (UnitState.STOPPING, UnitState.KILLING)

    found: Answer | None = None

    def is_over() -> bool:
        nonlocal found
        found = node.decision.answer
        return found is not None or is_back() or goes_down()

    inputs.asked += 1
    inputs.volume.look()
    try:
        async with asyncio.timeout(limit):
            await node.turns.until(is_over)
    except TimeoutError:
        raise Failed("it is not known what the peer does") from None
    finally:
        inputs.asked -= 1
        node.turns.wake()
    if goes_down():
        raise Failed("the volume is being taken down")
    if found is None:
        raise Failed("DRBD has its connection to the peer again")
    return found


class _Return:
    """Whether DRBD has lost its connection, and has it again, since the first question."""

    def __init__(self, inputs: Inputs) -> None:
        self._inputs = inputs
        self._was_lost = False

    def __call__(self) -> bool:
        replica = self._inputs.replica
        connected = replica is not None and replica.is_connected
        self._was_lost = self._was_lost or (replica is not None and not connected)
        return self._was_lost and connected
