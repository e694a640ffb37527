"""The node's own interfaces and addresses, told by netlink whenever one changes."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from escadm.core.interfaces import Interfaces
from escadm.errors import EscadmError
from escadm.log import get
from escadm.system.net import drain, interfaces, open_address_events

SETTLE = 0.02
LOOK_AGAIN = 1.0

log = get(__name__)


class AddressFeed:
    """``interfaces``: as they are now, None until they could be looked at; ``on_change`` is called when they change.

    A change counts SETTLE seconds after its first event: many come in a row, and some are over at once.
    """

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change = [on_change]
        self._events: socket.socket | None = None
        self._due: asyncio.TimerHandle | None = None
        self.interfaces: Interfaces | None = None

    def open(self, on_change: Callable[[], None]) -> None:
        """Look now, and from now on whenever something changes, of which ``on_change`` hears as well."""
        self._on_change.append(on_change)
        self._events = open_address_events()
        asyncio.get_running_loop().add_reader(self._events, self._hear)
        self._look()

    def close(self) -> None:
        """Hear nothing more; what was seen last stays."""
        if self._due is not None:
            self._due.cancel()
        if self._events is not None:
            asyncio.get_running_loop().remove_reader(self._events)
            self._events.close()
            self._events = None

    def _hear(self) -> None:
        if self._events is not None:
            drain(self._events)
        self._look_in(SETTLE)

    def _look_in(self, seconds: float) -> None:
        if self._due is None:
            self._due = asyncio.get_running_loop().call_later(seconds, self._look)

    def _look(self) -> None:
        self._due = None
        try:
            seen = interfaces()
        except EscadmError as error:
            log.warning("%s", error.message)
            self._look_in(LOOK_AGAIN)
            return
        if seen != self.interfaces:
            self.interfaces = seen
            for hear in self._on_change:
                hear()
