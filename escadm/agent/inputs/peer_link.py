"""One path between the two agents: its socket, its session, and when it counts as silent."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import replace

from escadm.agent.inputs.identity import Identity
from escadm.core.impostors import LASTS, Impostors
from escadm.core.peer import parse
from escadm.core.role import Peer
from escadm.core.session import ID_BYTES, STRANGE, Session
from escadm.core.specs import Address
from escadm.errors import EscadmError
from escadm.log import get
from escadm.system.datagram import Datagram, Path, open_path

PORT = 5112
RETRY_BIND = 1.0
LOST_AFTER = 3.5  # intervals
RENEW_AFTER = 10  # datagrams in a row whose sender does not hear us

log = get(__name__)


class PeerLink:
    """One path (own address, peer's address). Sends ``content()``, and keeps ``peer`` up to date; ``on_change`` hears
    when it changes, or when there is news of strangers."""

    def __init__(
        self,
        path: tuple[Address, Address],
        interval: float,
        content: Callable[[], bytes],
        on_change: Callable[[], None],
        identity: Identity,
    ) -> None:
        self._source, self._address = path
        self._interval = interval
        self._content = content
        self._on_change = on_change
        self._identity = identity
        self._loop = asyncio.get_running_loop()
        self._path: Path | None = None
        self._session: Session | None = None
        self._impostors = Impostors(str(self._address))
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._said = b""
        self._unheard = 0
        self._closed = False
        self._trouble = ""  # what the log has already
        self.peer = Peer(str(self._address))
        self.heard_at: float | None = None

    async def open(self) -> None:
        """Listen at this node's own address; where that is not there (yet), try again until it is."""
        while not self._closed:
            try:
                self._begin()
            except (OSError, EscadmError) as error:
                why = ": ".join(str(error).split("\n  "))
                self._tell_trouble(f"cannot listen for the peer on {self._source}, UDP port {PORT}: {why}")
                await asyncio.sleep(RETRY_BIND)
            else:
                return

    def _begin(self) -> None:
        cipher = self._identity.load()
        self._path = open_path(self._source, PORT)
        self._session = Session(cipher, self._identity, os.urandom(ID_BYTES))
        self._trouble = ""
        self._loop.add_reader(self._path.sock, self._readable)
        self._send()

    def close(self) -> None:
        self._closed = True
        self._leave_path()
        for timer in self._timers.values():
            timer.cancel()

    def _leave_path(self) -> None:
        if self._path is not None:
            self._loop.remove_reader(self._path.sock)
            self._path.close()
            self._path = None

    def say(self) -> None:
        """Send at once if there is news."""
        if self._path is not None and self._content() != self._said:
            self._send()

    def age(self) -> None:
        """What was heard so far is old from now on."""
        self.peer = replace(self.peer, stale=self.peer.heard)

    # --- whose word counts ---

    def stranger(self) -> str:
        """Who else speaks with the peer's address, as a sentence; empty where nobody does."""
        self._impostors.expire(self._loop.time())
        return self._impostors.sentence()

    def offered(self) -> list[bytes]:
        """The keys of strangers who want to be the peer."""
        self._impostors.expire(self._loop.time())
        return list(self._impostors.keys)

    def begin_anew(self) -> None:
        """The peer has another key. What was heard so far counts until it is silent for too long, as ever: who asks for
        another key says nothing of what the peer does."""
        self._impostors = Impostors(str(self._address))
        if self._session is not None:
            self._session = Session(self._session.cipher, self._identity, os.urandom(ID_BYTES))
        self._on_change()
        self._send()

    # --- what comes in ---

    def _readable(self) -> None:
        datagram = self._path.receive() if self._path else None
        if datagram is not None and datagram.sender == (str(self._address), PORT):
            self._receive(datagram)

    def _receive(self, datagram: Datagram) -> None:
        if self._session is None or self._path is None:
            return
        found = self._session.receive(datagram.data, is_near=datagram.is_near)
        if found.doubt:
            self._doubt(found.doubt, found.key)
        if found.reply is not None:
            self._path.send(found.reply, self._address, PORT)
        if found.content is not None:
            self._hear(found.content)
        if found.speak:
            self._send_to_all(self._session.sealed(self._content()))

    def _hear(self, content: bytes) -> None:
        heard = parse(content, str(self._address))
        if heard is None:
            self._doubt(STRANGE, None)
            return
        self.heard_at = self._loop.time()
        self._after("lost", self._interval * LOST_AFTER, self._silence)
        self._unheard = 0 if heard.hears_us is not False else self._unheard + 1
        if self._unheard >= RENEW_AFTER and self._session is not None:
            self._session.renew()
            self._unheard = 0
        first = not self.peer.heard
        self._become(heard)
        if first:
            log.info("peer %s is connected (%s)", self._address, heard.role)
            self._send()

    def _doubt(self, doubt: str, key: bytes | None) -> None:
        """Somebody else: told once, and shown for a while."""
        if self._impostors.note(doubt, key, self._loop.time()):
            log.warning("%s", self._impostors.describe(doubt))
            self._on_change()
        self._after("stranger", LASTS, self._on_change)

    # --- what goes out ---

    def _send(self) -> None:
        if self._closed or self._path is None or self._session is None:
            return
        self._after("next", self._interval, self._regular)
        self._said = self._content()
        self._send_to_all(self._session.regular(self._said))

    def _send_to_all(self, datagrams: list[bytes]) -> None:
        for each in datagrams:
            if self._path is not None:
                self._path.send(each, self._address, PORT)

    def _regular(self) -> None:
        """A silent peer may be this node's own fault: its address may have gone elsewhere."""
        if not self.peer.heard and self._path is not None and self._has_moved():
            self._leave_path()
            self._opening = self._loop.create_task(self.open())
            return
        self._send()

    def _has_moved(self) -> bool:
        try:
            return self._path is not None and self._path.is_stale()
        except (OSError, EscadmError):
            return True

    # --- inside ---

    def _after(self, name: str, seconds: float, act: Callable[[], None]) -> None:
        """``act`` once, after so many seconds without another such call."""
        if name in self._timers:
            self._timers[name].cancel()
        if not self._closed:
            self._timers[name] = self._loop.call_later(seconds, act)

    def _tell_trouble(self, trouble: str) -> None:
        """Once, while it lasts: it comes back with every attempt."""
        if trouble != self._trouble:
            log.warning("%s", trouble)
            self._trouble = trouble

    def _silence(self) -> None:
        log.warning("peer %s is silent", self._address)
        self._become(Peer(str(self._address), reasons=self.peer.reasons, pairing=self.peer.pairing))

    def _become(self, peer: Peer) -> None:
        if peer != self.peer:
            self.peer = peer
            self._on_change()
