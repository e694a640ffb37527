"""One look at a service: does it answer now?"""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from urllib.parse import SplitResult, urlsplit

from escadm.core.probes import Exec, Http, Tcp
from escadm.errors import EscadmError
from escadm.system.run import run

LONGEST_STATUS_LINE = 4096


def probe(
    probe: Tcp | Http | Exec,
    *,
    user: str | None = None,
    environment: Mapping[str, str] | None = None,
    working_directory: str | None = None,
) -> str | None:
    """None = good, otherwise one sentence why not. Blocks for the probe's own time limit at most.

    An ``exec`` probe runs as ``user`` with ``environment`` in ``working_directory``. Of an ``http`` answer only the
    status counts, no redirect is followed, no proxy used, no certificate verified: the question is whether it lives.
    """
    try:
        match probe:
            case Tcp():
                with socket.create_connection((probe.host, probe.port), timeout=probe.timeout):
                    return None
            case Http():
                return _http(probe)
            case Exec():
                run(probe.argv, timeout=probe.timeout, env=environment, user=user, cwd=working_directory)
                return None
    except EscadmError as error:
        return error.message
    except TimeoutError:
        return f"{_name(probe)} does not answer within {probe.timeout:g} s"
    except (OSError, ValueError) as error:
        return f"{_name(probe)}: {_reason(error)}"


def _name(probe: Tcp | Http | Exec) -> str:
    match probe:
        case Tcp():
            return f"port {probe.port} of {probe.host}"
        case Http():
            return probe.url
        case Exec():
            return probe.argv[0]


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    return getattr(error, "strerror", None) or str(error)


def _http(probe: Http) -> str | None:
    deadline = time.monotonic() + probe.timeout
    url = urlsplit(probe.url)
    port = url.port or (443 if url.scheme == "https" else 80)
    with socket.create_connection((url.hostname or "", port), timeout=probe.timeout) as plain:
        _limit(plain, deadline)
        if url.scheme == "https":
            with _encrypted(plain, url.hostname or "") as sock:
                status = _status(sock, url, deadline)
        else:
            status = _status(plain, url, deadline)
    return None if status < 400 else f"{probe.url} answers with status {status}"


def _encrypted(sock: socket.socket, host: str) -> socket.socket:
    import ssl  # noqa: PLC0415  (a service without TLS need not pay for it)

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(sock, server_hostname=host)


def _status(sock: socket.socket, url: SplitResult, deadline: float) -> int:
    """The status of a GET. Reads the first line only: a server that drips must not outlive the time limit."""
    target = (url.path or "/") + (f"?{url.query}" if url.query else "")
    host = url.netloc.rpartition("@")[2]
    request = f"GET {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: escadm\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    sock.sendall(request.encode("ascii"))
    line = b""
    while b"\n" not in line and len(line) < LONGEST_STATUS_LINE:
        _limit(sock, deadline)
        more = sock.recv(LONGEST_STATUS_LINE)
        if not more:
            raise ValueError("the connection was closed without an answer")
        line += more
    version, _, rest = line.partition(b" ")
    code = rest[:3]
    if not version.startswith(b"HTTP/") or not code.isdigit():
        raise ValueError("the answer is not HTTP")
    return int(code)


def _limit(sock: socket.socket, deadline: float) -> None:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    sock.settimeout(left)
