"""What the node does about a peer that it cannot hear, or DRBD cannot: the verdicts of core.fencing, carried out."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from escadm.core.fencing import Answer, Hold, answer, hold, loses, may_take, outdates_itself, waits
from escadm.core.replication import Gate, Replica
from escadm.core.types import PROMOTION, UnitState
from escadm.errors import EscadmError, Failed
from escadm.log import get
from escadm.system.replication import abandon, outdate

if TYPE_CHECKING:
    from escadm.agent.node import Node

ANSWERS_WITHIN = 3.0
SURE_AFTER = 3.5
HOLDS_AFTER = 4.0
ACTS_AGAIN = 1.0

log = get(__name__)


class Fence:
    """One node's dealings with a lost peer. ``hold``: why it must not become the primary, None when it may.
    ``abandoned``: why its writes were given up, until the role is gone as well; an earlier agent may have done that.

    A silence in the first SURE_AFTER seconds of an agent says nothing: it has only begun to listen.
    """

    def __init__(self, node: Node, abandoned: str = "") -> None:
        self._node = node
        self._asked = 0
        self._task: asyncio.Task[None] | None = None
        self._candidate: tuple[Hold, float] | None = None
        self.abandoned = abandoned
        self.hold: Hold | None = None
        self.listens_anew()

    def listens_anew(self) -> None:
        """The peer could not have been heard until now."""
        self._sure_at = asyncio.get_running_loop().time() + SURE_AFTER

    @property
    def asks(self) -> bool:
        """Whether this node is about to go on without its peer's copy; not while its own is being outdated, or both
        would be in the end."""
        node = self._node
        if self._acts:
            return False
        alone = node.replica is not None and not node.replica.is_connected
        return bool(self._asked) or (alone and node.state(PROMOTION) is UnitState.STARTING)

    def gate(self, replica: Replica | None) -> tuple[Gate, str]:
        """Whether a promotion may be tried now."""
        return may_take(replica, self._node.peer, self._reached)

    async def ask(self) -> Answer:
        """DRBD's question: what has become of the peer? A Primary, whose writes wait, gets no answer but the true one;
        a promotion is refused after ANSWERS_WITHIN seconds without one, and tried again by whoever wants it. Nobody
        needs an answer any longer once the connection is there again, and none may come once the volume goes down
        (see take_down in escadm.system.replication)."""
        node = self._node
        limit = None if node.replica is not None and node.replica.is_primary else ANSWERS_WITHIN
        loop = asyncio.get_running_loop()
        if loop.time() < self._sure_at:
            loop.call_at(self._sure_at, node.wake)
        was_lost = False

        def is_back() -> bool:
            nonlocal was_lost
            connected = node.replica is not None and node.replica.is_connected
            was_lost = was_lost or (node.replica is not None and not connected)
            return was_lost and connected

        def goes_down() -> bool:
            return node.state("drbd") in (UnitState.STOPPING, UnitState.KILLING)

        self._asked += 1
        node.replicas.look()
        try:
            async with asyncio.timeout(limit):
                while (found := self._answer()) is None and not is_back() and not goes_down():
                    await node.until(lambda: self._answer() is not None or is_back() or goes_down())
        except TimeoutError:
            raise Failed("it is not known what the peer does") from None
        finally:
            self._asked -= 1
            node.wake()
        if goes_down():
            raise Failed("the volume is being taken down")
        if found is None:
            raise Failed("DRBD has its connection to the peer again")
        return found

    def _answer(self) -> Answer | None:
        return answer(self._node.replica, self._node.peer, self._reached)

    @property
    def _reached(self) -> bool | None:
        """The gateway's word about a silent peer; none has answered while nobody could have been heard yet."""
        gateway = self._node.gateway
        unsure = asyncio.get_running_loop().time() < self._sure_at or (gateway.is_asked and gateway.reached is None)
        return False if unsure else gateway.reached

    @property
    def _acts(self) -> bool:
        return self._task is not None and not self._task.done()

    def turn(self) -> None:
        """Judge anew whether this node is held back, and do what the peer's state asks for."""
        node = self._node
        self._judge_hold()
        if self._acts:
            return
        if outdates_itself(node.replica, node.peer, asks=self.asks):
            log.warning("drbd: the peer goes on without this node: its data is declared outdated")
            self._do(outdate)
        elif (why := self.why_lost()) and waits(node.replica):
            log.warning("drbd: the writes that wait are given up, nobody was told that they are done: %s", why)
            self.abandoned = why
            self._do(abandon)
        elif self.abandoned and node.is_drained():
            self.abandoned = ""
            node.stage.stale.add("drbd")  # it lost its disk on purpose, and gets it back

    def why_lost(self) -> str:
        """Why the role has to go although nobody may be there to take it; to the end, once writes were given up."""
        return self.abandoned or loses(self._node.replica, self._node.peer, self._node.gateway.reached)

    def _judge_hold(self) -> None:
        """What must last counts after HOLDS_AFTER seconds: a peer that is just leaving its role says so in less."""
        node, loop = self._node, asyncio.get_running_loop()
        spec = node.plan.keepalived
        paths = spec.peer_paths if spec else ()
        precedes = bool(paths) and paths[0][0].packed > paths[0][1].packed
        found = hold(self.hold, node.role, node.vrrp, node.peer, node.gateway.reached, precedes=precedes)
        if found is not None and found.lasts and found != self.hold:
            if self._candidate is None or self._candidate[0] != found:
                self._candidate = found, loop.time()
                loop.call_later(HOLDS_AFTER, node.wake)
            if loop.time() - self._candidate[1] < HOLDS_AFTER:
                found = None
        else:
            self._candidate = None
        if found != self.hold:
            log.warning("held back: %s", found.reason) if found else log.info("no longer held back")
        self.hold = found

    def _do(self, act: Callable[[], None]) -> None:
        self._task = asyncio.get_running_loop().create_task(self._act(act))

    async def _act(self, act: Callable[[], None]) -> None:
        """Done once it is seen; what is not seen within ACTS_AGAIN seconds is judged, and perhaps done, again."""
        node, before = self._node, self._node.replica
        try:
            await asyncio.to_thread(act)
        except EscadmError as error:
            log.warning("drbd: %s", error.message)
        node.replicas.look()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(node.until(lambda: node.replica != before), ACTS_AGAIN)
        asyncio.get_running_loop().call_soon(node.wake)
