"""What the two agents of a pair tell each other: small UDP datagrams between the nodes' own addresses, VRRP's and,
where these are others, DRBD's: whoever has two paths should not believe the peer dead because one of them is.

Each says what it is (keepalived's state, the role reached, fitness and why) a few times in the interval after which
silence counts. Nothing here gives a role; it answers "could the peer take over?" and "do we both think the same?".
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, cast

from escadm.core.evidence import decode
from escadm.core.role import Peer
from escadm.core.types import Address, Role, Vrrp
from escadm.log import get

PORT = 5112
RETRY_BIND = 1.0
LOST_AFTER = 3.5  # intervals
MOST_REASONS = 10
LONGEST_TEXT = 200

log = get(__name__)


def heartbeat_interval(advert_interval: float) -> float:
    """Seconds between two datagrams: as often as VRRP speaks, but between 0.2 s and 1 s."""
    return min(max(advert_interval, 0.2), 1.0)


class PeerLinks:
    """The link on every path (own address, peer's address), VRRP's first. ``peer`` is what was heard last on any."""

    def __init__(
        self,
        paths: Sequence[tuple[Address, Address]],
        interval: float,
        tell: Callable[[], Mapping[str, object]],
        on_change: Callable[[], None],
    ) -> None:
        self.route = (paths, interval)
        self._on_change = on_change
        self._links = [
            PeerLink(source, peer, interval, tell, partial(self._changed, index))
            for index, (source, peer) in enumerate(paths)
        ]
        self.peer = self._links[0].peer

    @property
    def heard_at(self) -> float | None:
        """When the last datagram came, by the loop's clock; None before the first."""
        return max((link.heard_at for link in self._links if link.heard_at is not None), default=None)

    async def open(self) -> None:
        await asyncio.gather(*(link.open() for link in self._links))

    def close(self) -> None:
        for link in self._links:
            link.close()

    def say(self) -> None:
        """Send at once, on every path, if there is news."""
        for link in self._links:
            link.say()

    def age(self) -> None:
        """What was heard so far is old: something else is known of the peer by now. The next datagram is new again."""
        for link in self._links:
            link.age()
        self.peer = replace(self.peer, stale=self.peer.heard)

    def _changed(self, index: int) -> None:
        """A path that has fallen silent says nothing as long as another one speaks."""
        first = self._links[0].peer
        newest = next((link.peer for link in (self._links[index], *self._links) if link.peer.heard), first)
        peer = replace(newest, address=first.address, near=first.heard)
        if peer != self.peer:
            self.peer = peer
            self._on_change()


class PeerLink(asyncio.DatagramProtocol):
    """One path. Sends what ``tell()`` returns, and keeps ``peer`` up to date; ``on_change`` hears when it changes."""

    def __init__(
        self,
        source: Address,
        peer: Address,
        interval: float,
        tell: Callable[[], Mapping[str, object]],
        on_change: Callable[[], None],
    ) -> None:
        self._source = source
        self._address = peer
        self._interval = interval
        self._tell = tell
        self._on_change = on_change
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.DatagramTransport | None = None
        self._next: asyncio.TimerHandle | None = None
        self._lost: asyncio.TimerHandle | None = None
        self._said = b""
        self._closed = False
        self._trouble = ""  # what the log has already
        self.peer = Peer(str(self._address))
        self.heard_at: float | None = None

    async def open(self) -> None:
        """Bind to this node's own address; where that is not there (yet), try again until it is."""
        while not self._closed:
            try:
                await self._loop.create_datagram_endpoint(lambda: self, local_addr=(str(self._source), PORT))
            except OSError as error:
                self._warn(f"cannot listen for the peer on {self._source}, UDP port {PORT}: {error}")
                await asyncio.sleep(RETRY_BIND)
            else:
                return

    def close(self) -> None:
        self._closed = True
        for handle in (self._next, self._lost):
            if handle is not None:
                handle.cancel()
        if self._transport is not None:
            self._transport.close()

    def say(self) -> None:
        """Send at once if there is news."""
        if self._transport is not None and self._message() != self._said:
            self._send()

    def age(self) -> None:
        """What was heard so far is old from now on."""
        self.peer = replace(self.peer, stale=self.peer.heard)

    # --- asyncio's calls ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)
        if self._closed:
            self._transport.close()
        self._trouble = ""
        self._send()

    def datagram_received(self, data: bytes, address: tuple[Any, ...]) -> None:
        if address[:2] != (str(self._address), PORT):
            return
        heard = parse(data, str(self._address))
        if heard is None:
            self._warn(f"not understood, from the peer {self._address}", f": {data[:80]!r}")
            return
        self._trouble = ""
        self.heard_at = self._loop.time()
        if self._lost is not None:
            self._lost.cancel()
        self._lost = self._loop.call_later(self._interval * LOST_AFTER, self._silence)
        first = not self.peer.heard
        self._become(heard)
        if first:
            log.info("peer %s is connected (%s)", self._address, heard.role)
            self._send()

    def error_received(self, exc: Exception) -> None:
        """ICMP says that nobody listens there: the silence will tell."""

    # --- inside ---

    def _message(self) -> bytes:
        return json.dumps({"escadm": 1, **self._tell()}, separators=(",", ":")).encode()

    def _send(self) -> None:
        if self._next is not None:
            self._next.cancel()
        if self._closed or self._transport is None or self._transport.is_closing():
            return
        self._next = self._loop.call_later(self._interval, self._send)
        self._said = self._message()
        self._transport.sendto(self._said, (str(self._address), PORT))

    def _warn(self, trouble: str, example: str = "") -> None:
        """Once, while it lasts: it comes back with every datagram and every attempt."""
        if trouble != self._trouble:
            log.warning("%s%s", trouble, example)
            self._trouble = trouble

    def _silence(self) -> None:
        log.warning("peer %s is silent", self._address)
        self._become(Peer(str(self._address), reasons=self.peer.reasons, pairing=self.peer.pairing))

    def _become(self, peer: Peer) -> None:
        if peer != self.peer:
            self.peer = peer
            self._on_change()


def parse(data: bytes, address: str) -> Peer | None:
    """A datagram as a Peer that was heard; None for anything that is not one of ours."""
    try:
        told = json.loads(data)
        if told["escadm"] != 1:
            return None
        role, gateway = told.get("role"), told.get("gateway")
        return Peer(
            address,
            heard=True,
            vrrp=Vrrp(told["vrrp"]),
            role=Role(role) if role else None,
            fit=told["fit"] is True,
            settled=told.get("settled") is True,
            reasons=tuple(_plain(reason) for reason in told.get("reasons", ()))[:MOST_REASONS],
            pairing={_plain(key): _plain(value) for key, value in told.get("pairing", {}).items()},
            replica=decode(told.get("replica")),
            holds=told.get("holds") is True,
            gateway=gateway if isinstance(gateway, bool) else None,
            has_volume=told.get("has_volume") is not False,
            asks=told.get("asks") is True,
            runs=told.get("runs") is True,
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _plain(text: object) -> str:
    """One short line that a terminal takes as text: it will stand in ``status``."""
    return "".join(each if each.isprintable() else " " for each in str(text)[:LONGEST_TEXT])
