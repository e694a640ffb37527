"""The client that measures: ``python -m escadm.lab.client TARGET --interval SECONDS --output FILE``.

It opens a new TCP connection to TARGET (``http://HOST:PORT/PATH`` or ``HOST:PORT``) every interval, never waiting for
the last one, so that an address that answers nothing does not stall it. One line for each attempt that has ended::

    SENT ENDED ANSWER NODE

Times are the monotonic clock's. ANSWER is ``ok``, ``refused`` (a host is there, the service is not), ``silence`` (no
answer within the limit) or ``error``. NODE is what a stand-in called itself, ``-`` where nobody said.
"""

from __future__ import annotations

import errno
import re
import selectors
import signal
import socket
import sys
import time
from dataclasses import dataclass
from typing import TextIO

LIMIT = 0.5
SAID = re.compile(rb" on (\S+) \(stand-in\)")


@dataclass(frozen=True)
class Target:
    """Where to connect and what to send there; nothing = the connection itself is the answer."""

    host: str
    port: int
    request: bytes

    @classmethod
    def parse(cls, text: str) -> Target:
        """``http://HOST[:PORT][/PATH]`` or ``HOST:PORT``; an IPv6 HOST in brackets."""
        found = re.fullmatch(r"(http://)?(?:\[([^]]+)]|([^:/\s]+))(?::(\d+))?(/.*)?", text)
        if not found or not (found[1] or found[4]):
            raise SystemExit(f"cannot ask {text}: give http://HOST:PORT/ or HOST:PORT")
        host = found[2] or found[3]
        request = f"GET {found[5] or '/'} HTTP/1.0\r\nHost: {host}\r\n\r\n" if found[1] else ""
        return cls(host, int(found[4] or 80), request.encode())


@dataclass
class Attempt:
    """One connection on its way."""

    connection: socket.socket
    sent: float
    connected: bool = False
    received: bytes = b""


class Poller:
    """All attempts on their way, and the file in which their ends are written down."""

    def __init__(self, target: Target, output: TextIO) -> None:
        self.target, self.output = target, output
        self.selector = selectors.DefaultSelector()
        self.attempts: list[Attempt] = []

    def begin(self) -> None:
        """Open a new connection without waiting for it."""
        family = socket.AF_INET6 if ":" in self.target.host else socket.AF_INET
        attempt = Attempt(socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK), time.monotonic())
        self.attempts.append(attempt)
        code = attempt.connection.connect_ex((self.target.host, self.target.port))
        if code not in (0, errno.EINPROGRESS):
            self.end(attempt, "error")
        else:
            self.selector.register(attempt.connection, selectors.EVENT_WRITE, attempt)

    def step(self, attempt: Attempt) -> None:
        """Go on with an attempt that something has happened to."""
        if not attempt.connected:
            self.connected(attempt)
            return
        try:
            data = attempt.connection.recv(65536)
        except OSError:
            self.end(attempt, "error")
            return
        attempt.received += data
        if not data:
            self.end(attempt, "ok" if attempt.received.startswith(b"HTTP/") else "error")

    def connected(self, attempt: Attempt) -> None:
        """The connection is there, or is not to be."""
        code = attempt.connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self.end(attempt, "refused" if code == errno.ECONNREFUSED else "error")
        elif not self.target.request:
            self.end(attempt, "ok")
        else:
            attempt.connected = True
            attempt.connection.send(self.target.request)
            self.selector.modify(attempt.connection, selectors.EVENT_READ, attempt)

    def end(self, attempt: Attempt, answer: str) -> None:
        """Write down how an attempt ended."""
        said = SAID.search(attempt.received)
        node = said[1].decode() if said else "-"
        self.output.write(f"{attempt.sent:.6f} {time.monotonic():.6f} {answer} {node}\n")
        self.attempts.remove(attempt)
        if attempt.connection in self.selector.get_map():
            self.selector.unregister(attempt.connection)
        attempt.connection.close()

    def run(self, interval: float) -> None:
        """Until the process is ended."""
        due = time.monotonic()
        while True:
            now = time.monotonic()
            if now >= due:
                self.begin()
                due = max(due + interval, now)
            for attempt in [each for each in self.attempts if now - each.sent > LIMIT]:
                self.end(attempt, "silence")
            for key, _ in self.selector.select(max(0.0, due - time.monotonic())):
                self.step(key.data)


def main(arguments: list[str]) -> None:
    """Poll until TERM or INT."""
    options = {"--interval": "0.01", "--output": "/dev/stdout"}
    rest = []
    words = iter(arguments)
    for word in words:
        if word in options:
            options[word] = next(words, "")
        else:
            rest.append(word)
    if len(rest) != 1:
        raise SystemExit("usage: python -m escadm.lab.client URL|HOST:PORT [--interval SECONDS] [--output FILE]")
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    with open(options["--output"], "a", buffering=1) as output:  # noqa: PTH123
        Poller(Target.parse(rest[0]), output).run(float(options["--interval"]))


if __name__ == "__main__":
    main(sys.argv[1:])
