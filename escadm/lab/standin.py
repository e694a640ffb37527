"""An honest stand-in for a service that is not installed.

Usage: ``python -m escadm.lab.standin NAME --port N [--delay SECONDS] [--host ADDRESS] [OPTION...]``.

It serves HTTP after a start-up delay, says in every answer that it is a stand-in and on which node, and ends on TERM.
What follows the options (a resource's ``option``) is taken and printed.
"""

from __future__ import annotations

import signal
import socket
import sys
import time

USAGE = "usage: python -m escadm.lab.standin NAME --port N [--delay SECONDS] [--host ADDRESS] [OPTION...]"


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; without ``host`` on every address, so that the VIP is served as soon as it is here."""
    if not host and socket.has_dualstack_ipv6():
        return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family)


def answer(connection: socket.socket, body: bytes) -> None:
    """Answer one request, whatever it asks; a probe that only connects gets nothing."""
    with connection:
        connection.settimeout(2.0)
        try:
            if connection.recv(65536):
                head = f"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n\r\n"
                connection.sendall(head.encode() + body)
        except OSError:
            pass


def serve(name: str, port: int, delay: float, host: str) -> None:
    """Serve until the process is ended."""
    time.sleep(delay)
    body = f"{name} on {socket.gethostname()} (stand-in)\n".encode()
    with listen(host, port) as server:
        print(f"{name} (stand-in) answers on port {port}", flush=True)
        while True:
            answer(server.accept()[0], body)


def main(arguments: list[str]) -> None:
    """Parse by hand: argparse would cost as much as the rest of the start."""
    options = {"--port": "", "--delay": "0", "--host": ""}
    rest = []
    words = iter(arguments)
    for word in words:
        if word in options:
            options[word] = next(words, "")
        else:
            rest.append(word)
    if not rest or not options["--port"].isdigit():
        raise SystemExit(USAGE)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print(f"{' '.join(rest)} (stand-in) starts", flush=True)
    serve(rest[0], int(options["--port"]), float(options["--delay"]), options["--host"])


if __name__ == "__main__":
    main(sys.argv[1:])
