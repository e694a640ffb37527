"""VRRP's adverts on the interface of the pair: who speaks for our virtual router, this node itself included."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from escadm.core.adverts import Advert, Adverts, Sighting
from escadm.core.specs import Address, KeepalivedSpec
from escadm.errors import EscadmError
from escadm.log import get
from escadm.system.adverts import adverts, open_adverts

MOST_SOURCES = 16
LOOK_AGAIN = 1.0

log = get(__name__)


class AdvertFeed:
    """``on_change`` hears of news alone: a source that begins, leaves or falls silent."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self._loop = asyncio.get_running_loop()
        self._spec: KeepalivedSpec | None = None
        self._is_open = False
        self._socket: socket.socket | None = None
        self._again: asyncio.TimerHandle | None = None
        self._silence: asyncio.TimerHandle | None = None
        self._complaint = ""
        self._since: float | None = None
        self._sightings: dict[Address | None, Sighting] = {}  # by source, None for this node
        self._speak: frozenset[Address | None] = frozenset()

    @property
    def seen(self) -> Adverts:
        """Who was seen, and when; whether that is long ago is for others to judge."""
        others = {source: each for source, each in self._sightings.items() if source is not None}
        return Adverts(self._since, self._sightings.get(None), others)

    def open(self) -> None:
        """Look from now on at what is to be watched."""
        self._is_open = True
        self._open()

    def watch(self, spec: KeepalivedSpec | None) -> None:
        """Look at this virtual router, at none without one."""
        before, self._spec = self._spec, spec
        if spec is None or before is None or _place(before) != _place(spec):
            self._close()
            self._sightings, self._speak = {}, frozenset()
            self._complaint = ""
            self._open()

    def close(self) -> None:
        """Look no more."""
        self.watch(None)

    def _open(self) -> None:
        self._again = None
        if self._spec is None or not self._is_open:
            return
        try:
            self._socket = open_adverts(self._spec.interface)
        except EscadmError as error:
            self._lose(error.message)
            return
        self._since, self._complaint = self._loop.time(), ""
        self._loop.add_reader(self._socket, self._read)

    def _close(self) -> None:
        for handle in (self._again, self._silence):
            if handle is not None:
                handle.cancel()
        self._again, self._silence = None, None
        self._since = None
        if self._socket is not None:
            self._loop.remove_reader(self._socket)
            self._socket.close()
            self._socket = None

    def _lose(self, why: str) -> None:
        """What cannot be seen now may be seen later; what was seen last grows old meanwhile."""
        if why != self._complaint:
            log.warning("%s", why)
            self._complaint = why
        saw = self._since is not None
        self._close()
        self._again = self._loop.call_later(LOOK_AGAIN, self._open)
        if saw:
            self._on_change()

    def _read(self) -> None:
        if self._socket is None or self._spec is None:
            return
        try:
            for advert, leaves in adverts(self._socket):
                if advert.router == self._spec.virtual_router_id or self._spec.vip in advert.addresses:
                    self._take(advert, leaves=leaves)
        except OSError as error:
            self._lose(f"cannot look at VRRP's adverts on {self._spec.interface}: {error.strerror}")
        else:
            self._judge()

    def _take(self, advert: Advert, *, leaves: bool) -> None:
        now, source = self._loop.time(), None if leaves else advert.source
        before = self._sightings.pop(source, None)
        since = before.since if before is not None and before.goes_on(now) else now
        self._sightings[source] = Sighting(advert, since, now)  # the newest at the end
        if len(self._sightings) > MOST_SOURCES:
            del self._sightings[next(iter(self._sightings))]

    def _judge(self) -> None:
        """Tell who speaks if that is news, and look again when the next one should have fallen silent."""
        now = self._loop.time()
        speak = {source: each.silent_at for source, each in self._sightings.items() if each.goes_on(now)}
        if self._silence is not None:
            self._silence.cancel()
        self._silence = self._loop.call_at(min(speak.values()), self._judge) if speak else None
        if frozenset(speak) != self._speak:
            self._speak = frozenset(speak)
            self._on_change()


def _place(spec: KeepalivedSpec) -> tuple[object, ...]:
    return spec.interface, spec.virtual_router_id, spec.vip
