"""Who else has the virtual address: asked by ARP while this node has it, and nobody else should."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from ipaddress import IPv4Address

from escadm.core.claims import SETTLE, Claim, Claims
from escadm.core.specs import KeepalivedSpec
from escadm.errors import EscadmError
from escadm.log import get
from escadm.system.arp import ask, claims, open_claims

ASK_EVERY = 10.0
LOOK_AGAIN = 1.0
MOST_CLAIMS = 16

log = get(__name__)


class ClaimFeed:
    """``on_change`` hears of news alone: a claim that begins to count, or has grown old.

    It asks and looks only while the address is guarded (:meth:`guard`); what it saw is forgotten with the end of that.
    """

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self._loop = asyncio.get_running_loop()
        self._place: tuple[str, IPv4Address] | None = None
        self._guards = False
        self._socket: socket.socket | None = None
        self._next: asyncio.TimerHandle | None = None
        self._aging: asyncio.TimerHandle | None = None
        self._complaint = ""
        self._claims: dict[str, Claim] = {}  # the newest at the end
        self._counted: frozenset[str] = frozenset()

    @property
    def seen(self) -> Claims:
        """Who said so, and when; whether that counts is for others to judge."""
        return dict(self._claims)

    def watch(self, spec: KeepalivedSpec | None) -> None:
        """It is about this virtual address from now on; about none without one, or if it is of IPv6."""
        place = (spec.vip_interface, spec.vip) if spec and isinstance(spec.vip, IPv4Address) else None
        if place != self._place:
            self.guard(False)
            self._place = place

    def guard(self, wanted: bool) -> None:
        """Whether nobody else may have the address from now on."""
        if wanted is self._guards:
            return
        self._guards = wanted
        if wanted:
            self._ask()
        else:
            self._close()
            self._claims, self._counted, self._complaint = {}, frozenset(), ""

    def close(self) -> None:
        """Look no more."""
        self.watch(None)

    def _ask(self) -> None:
        """Ask now, and again after a while."""
        if self._place is None:
            return
        try:
            if self._socket is None:
                self._socket = open_claims(*self._place)
                self._loop.add_reader(self._socket, self._read)
            ask(self._socket, *self._place)
        except EscadmError as error:
            self._lose(error.message)
        else:
            self._complaint = ""
            self._next = self._loop.call_later(ASK_EVERY, self._ask)

    def _close(self) -> None:
        for handle in (self._next, self._aging):
            if handle is not None:
                handle.cancel()
        self._next, self._aging = None, None
        if self._socket is not None:
            self._loop.remove_reader(self._socket)
            self._socket.close()
            self._socket = None

    def _lose(self, why: str) -> None:
        """What cannot be seen now may be seen later; what was seen last grows old meanwhile."""
        if why != self._complaint:
            log.warning("%s", why)
            self._complaint = why
        self._close()
        self._next = self._loop.call_later(LOOK_AGAIN, self._ask)
        self._judge()

    def _read(self) -> None:
        if self._socket is None or self._place is None:
            return
        try:
            for hardware in claims(self._socket):
                self._note(hardware)
        except OSError as error:
            self._lose("cannot look at who has {1} on {0}: {2}".format(*self._place, error.strerror))
        else:
            self._judge()

    def _note(self, hardware: str) -> None:
        now = self._loop.time()
        before = self._claims.pop(hardware, None)
        is_new = before is None or now >= before.old_at
        self._claims[hardware] = Claim(now if before is None or is_new else before.since, now)
        if len(self._claims) > MOST_CLAIMS:
            del self._claims[next(iter(self._claims))]
        if is_new and self._next is not None and self._next.when() > now + SETTLE:
            self._next.cancel()
            self._next = self._loop.call_at(now + SETTLE, self._ask)

    def _judge(self) -> None:
        """Tell whose claims count if that is news, and look again when the next one will have grown old."""
        now = self._loop.time()
        count = {hardware: each.old_at for hardware, each in self._claims.items() if each.counts(now)}
        if self._aging is not None:
            self._aging.cancel()
        self._aging = self._loop.call_at(min(count.values()), self._judge) if count else None
        if frozenset(count) != self._counted:
            self._counted = frozenset(count)
            self._on_change()
