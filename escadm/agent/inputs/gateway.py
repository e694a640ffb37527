"""The gateway: whether a third machine answers, which tells a dead peer from a network that is gone here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from escadm.agent.inputs.listener import Listener
from escadm.core.situation import Gateway
from escadm.core.specs import Address
from escadm.log import get
from escadm.system.ping import open_ping

LOST_AFTER = 2.5  # intervals; sooner than the peer counts as silent
GONE_AFTER = 3.0  # intervals more
ASK_AGAIN = 1.0
ANSWER = b"bytes from"

log = get(__name__)


class GatewayFeed:
    """``reached``: whether any gateway has answered within LOST_AFTER intervals; None where none is configured, and
    until the first has answered or failed to. ``gone``: that it has not been for so long that the peer, should it be
    cut off from them too, has noticed and said so. ``answered_at``: when any answered last, by the loop's clock.
    ``on_change`` is called when either of the first two changes, and see :meth:`await_answer`."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self._addresses: Sequence[Address] = ()
        self._interval = 1.0
        self._listeners: list[Listener] = []
        self._lost: asyncio.TimerHandle | None = None
        self._complaints: set[str] = set()
        self._sure: asyncio.TimerHandle | None = None
        self.reached: bool | None = None
        self.gone = False
        self.answered_at: float | None = None
        self._awaited = False

    @property
    def seen(self) -> Gateway:
        """All of it as one value, and whether there is one to ask."""
        return Gateway(bool(self._addresses), self.reached, self.gone, self.answered_at)

    def ask(self, addresses: Sequence[Address], interval: float) -> None:
        """Ask these from now on, each every ``interval`` seconds, and no others; none at all is fine."""
        if (tuple(addresses), interval) == (tuple(self._addresses), self._interval):
            return
        self.close()
        self._addresses, self._interval = tuple(addresses), interval
        self._listeners = [self._listener(address) for address in self._addresses]
        for listener in self._listeners:
            listener.open()
        if self._addresses:
            self._expect()

    def await_answer(self, *, awaited: bool) -> None:
        """Whether the next answer is news. It is asked for at once then."""
        begins = awaited and not self._awaited
        self._awaited = awaited
        for listener in self._listeners if begins else ():
            listener.open()

    def close(self) -> None:
        """Ask nobody."""
        for handle in (self._lost, self._sure):
            if handle is not None:
                handle.cancel()
        for listener in self._listeners:
            listener.close()
        self._listeners = []
        self._addresses, self._lost, self._sure = (), None, None
        self.reached, self.gone, self.answered_at = None, False, None

    def _listener(self, address: Address) -> Listener:
        """ping(8) ends where there is no route."""
        return Listener(
            lambda: open_ping(address, self._interval),
            self._on_data,
            lambda why: self._complain(f"cannot ask the gateway {address}: {why}"),
            ASK_AGAIN,
        )

    def _complain(self, message: str) -> None:
        """Once, not with every attempt."""
        if message not in self._complaints:
            log.warning("%s", message)
            self._complaints.add(message)

    def _on_data(self, data: bytes) -> None:
        if ANSWER in data:
            self.answered_at = asyncio.get_running_loop().time()
            self._expect()
            self._become(True)
            if self._awaited:
                self._on_change()

    def _expect(self) -> None:
        if self._lost is not None:
            self._lost.cancel()
        self._lost = asyncio.get_running_loop().call_later(LOST_AFTER * self._interval, self._become, False)

    def _become(self, reached: bool) -> None:
        if reached is self.reached:
            return
        names = " and ".join(map(str, self._addresses))
        if reached:
            log.info("gateway %s answers", names)
        else:
            log.warning("gateway %s does not answer", names)
        self.reached, self.gone = reached, False
        if self._sure is not None:
            self._sure.cancel()
        if not reached:
            self._sure = asyncio.get_running_loop().call_later(GONE_AFTER * self._interval, self._be_sure)
        self._on_change()

    def _be_sure(self) -> None:
        self.gone = True
        self._on_change()
