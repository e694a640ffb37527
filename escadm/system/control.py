"""The client's half of the agent's control socket, and how both halves name a socket at any depth.

One JSON line out; JSON lines back: ``{"unit", "state", "detail"}`` and ``{"say"}`` on the way, and at the end
``{"done": true, "code", "message", "hint"}``. The agent acknowledges a request at once with ``{"say": ""}``.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path

from escadm.errors import AgentNotRunning, Failed, NotPermitted
from escadm.paths import Paths
from escadm.system import alive
from escadm.system.systemd import is_booted, unit_exists

PATIENCE = 5.0
UNIT = "esc_service.service"


@contextlib.contextmanager
def reachable(path: Path) -> Iterator[str]:
    """A name of ``path`` short enough for a socket address (107 bytes), whatever the root is."""
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)


def listen(path: Path) -> socket.socket:
    """The agent's half: a listening socket at ``path`` (mode 0600); what a dead agent left there is replaced."""
    path.unlink(missing_ok=True)
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with reachable(path) as name:
            server.bind(name)
        path.chmod(0o600)
        server.listen()
    except OSError:
        server.close()
        raise
    return server


def ask(paths: Paths, request: Mapping[str, object], *, patience: float = PATIENCE) -> Iterator[Mapping[str, object]]:
    """Hand ``request`` to the agent and yield its answers, the one with ``done`` last.

    Raises NotPermitted, AgentNotRunning, or Failed when the agent hangs or goes away. It hangs when it has not
    acknowledged within ``patience`` seconds, or when later it is silent and gives no sign of life for as long.
    """
    if paths.is_host and os.geteuid() != 0:
        raise NotPermitted("only root may do this", "try again with sudo")
    pid = alive.holder(paths.lock)
    if pid is None:
        raise AgentNotRunning("the agent is not running", start_hint(paths))
    if alive.is_stopped(pid):
        raise Failed(f"the agent (pid {pid}) is stopped and does not answer", f"let it go on with: kill -CONT {pid}")
    with _connect(paths) as connection:
        connection.settimeout(patience)
        yield from _exchange(connection, request, paths, pid)


def has_unit(paths: Paths) -> bool:
    """Whether the agent is run by systemd here, as UNIT."""
    return is_booted(paths) and unit_exists(UNIT, paths)


def start_hint(paths: Paths) -> str:
    """How an agent is started here."""
    return f"start it with: {'service esc_service start' if has_unit(paths) else 'escadm agent'}"


def _connect(paths: Paths) -> socket.socket:
    path = paths.control
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with reachable(path) as name:
            connection.connect(name)
    except PermissionError:
        connection.close()
        raise NotPermitted(f"cannot talk to the agent: {path}: permission denied", "try again with sudo") from None
    except (FileNotFoundError, ConnectionRefusedError):
        connection.close()
        raise AgentNotRunning("the agent is not running", start_hint(paths)) from None
    return connection


def _exchange(
    connection: socket.socket, request: Mapping[str, object], paths: Paths, pid: int
) -> Iterator[Mapping[str, object]]:
    waiting = b""
    acknowledged = False
    try:
        connection.sendall(json.dumps(request).encode() + b"\n")
        while True:
            try:
                block = connection.recv(65536)
            except TimeoutError:
                if acknowledged and _lives(paths, pid, connection.gettimeout() or PATIENCE):
                    continue
                raise Failed(f"the agent (pid {pid}) hangs: it does not answer", f"its log is {paths.log}") from None
            if not block:
                raise Failed("the agent went away before it was done", f"its log is {paths.log}")
            *lines, waiting = (waiting + block).split(b"\n")
            for line in lines:
                acknowledged = True
                answer = _parse(line)
                yield answer
                if answer.get("done"):
                    return
    except (ConnectionResetError, BrokenPipeError):
        raise Failed("the agent went away before it was done", f"its log is {paths.log}") from None


def _lives(paths: Paths, pid: int, patience: float) -> bool:
    age = alive.beat_age(paths.beat)
    return not alive.is_stopped(pid) and (age is None or age <= patience)


def _parse(line: bytes) -> Mapping[str, object]:
    try:
        answer = json.loads(line)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise Failed("cannot make sense of the agent's answer", "are this command and the agent of the same version?")
    return answer
