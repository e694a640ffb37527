"""keepalived's words: it proposes a role through its notify FIFO.

We own the FIFO (it outlives keepalived and the agent, and what is written while nobody reads is kept), read it line by
line, and let the newest word count, SETTLE seconds after the first that has not, and SETTLE_LOSS where it takes the
role away: when somebody removes the VIP, keepalived says BACKUP and, some milliseconds later, MASTER again, and no
service has to be stopped for that.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import stat
from collections.abc import Callable
from typing import Protocol

from escadm.core.rules.word import WordAct
from escadm.core.specs import VRRP_INSTANCE, KeepalivedSpec
from escadm.core.states import Vrrp
from escadm.log import get
from escadm.paths import Paths

SETTLE = 0.02
SETTLE_LOSS = 0.05
REMARK = re.compile(r'INSTANCE "[^"]*" MASTER_RX_LOWER_PRI \d+')
"""Said when two masters have met and this one stays; VRRP has settled that already."""
LINE = re.compile(r'INSTANCE "(?P<name>[^"]*)" (?P<state>[A-Z]+)(?: \d+)?')

log = get(__name__)


class Speaker(Protocol):
    """Who speaks: the keepalived that was started, or adopted, last."""

    def word(self) -> None:
        """It has spoken."""

    def question(self, act: WordAct, spec: KeepalivedSpec, why: str) -> None:
        """Do what is to be done about a word of its that cannot be true."""


class RoleFeed:
    """The read end of ``vrrp_notify_fifo``; calls ``on_vrrp(state)`` for the newest state, once it has settled."""

    speaker: Speaker | None = None

    def __init__(self, paths: Paths, on_vrrp: Callable[[Vrrp], None]) -> None:
        self._path = paths.fifo
        self._on_vrrp = on_vrrp
        self._descriptor: int | None = None
        self._rest = b""
        self.newest = Vrrp.UNKNOWN
        self._counts = Vrrp.UNKNOWN
        self._due: asyncio.TimerHandle | None = None

    def open(self) -> None:
        """Make the FIFO where it is missing, and (re)open it where it is another one than the one we read."""
        if self._descriptor is not None:
            with contextlib.suppress(OSError):
                if os.path.samestat(os.fstat(self._descriptor), self._path.stat()):
                    return
            self.close()
        if not (self._path.exists() and stat.S_ISFIFO(self._path.stat().st_mode)):
            self._path.unlink(missing_ok=True)
            os.mkfifo(self._path, 0o600)
        # Read and write: with a writer of its own the FIFO never comes to its end.
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._rest = b""
        asyncio.get_running_loop().add_reader(self._descriptor, self.read)

    def close(self) -> None:
        """Hear nothing more."""
        if self._descriptor is not None:
            asyncio.get_running_loop().remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = None

    def read(self) -> bool:
        """Take all lines that are there; True if keepalived has said anything about our instance."""
        heard = False
        while self._descriptor is not None:
            try:
                data = os.read(self._descriptor, 65536)
            except BlockingIOError:
                return heard
            *lines, self._rest = (self._rest + data).split(b"\n")
            for line in lines:
                heard = self._take(line.decode(errors="replace")) or heard
        return heard

    def _take(self, line: str) -> bool:
        match = LINE.fullmatch(line)
        if match is None or match["name"] != VRRP_INSTANCE or match["state"] not in Vrrp.__members__:
            if line and not REMARK.fullmatch(line):
                log.warning("keepalived: not understood: %r", line[:200])
            return False
        log.info("keepalived says %s", match["state"])
        self.say(Vrrp(match["state"]))
        return True

    def say(self, state: Vrrp) -> None:
        """Let ``state`` be the newest word; it counts after SETTLE seconds, unless a newer one comes first."""
        self.newest = state
        if self._due is None:
            lost = state is Vrrp.BACKUP and self._counts is Vrrp.MASTER
            self._due = asyncio.get_running_loop().call_later(SETTLE_LOSS if lost else SETTLE, self._settled)

    def learn(self, state: Vrrp) -> None:
        """Let ``state`` be the newest word although nobody has said it; nobody is told either."""
        self.newest = state

    def question(self, act: WordAct, spec: KeepalivedSpec, why: str) -> None:
        """Have its speaker do what is to be done about a word that cannot be true."""
        if self.speaker is not None:
            self.speaker.question(act, spec, why)

    def _settled(self) -> None:
        self._due = None
        self._counts = self.newest
        if self.speaker is not None and self.newest is not Vrrp.STOP:
            self.speaker.word()
        self._on_vrrp(self.newest)
