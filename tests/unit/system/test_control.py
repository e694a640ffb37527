"""The client of the control socket, against a socket that answers by script."""

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from escadm.errors import AgentNotRunning, Failed
from escadm.paths import Paths
from escadm.system import alive, control

DONE = {"done": True, "code": 0, "message": "", "hint": ""}
HOLD = """
import sys, pathlib
from escadm.system import alive
alive.acquire(pathlib.Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def paths(tmp_path: Path) -> Iterator[Paths]:
    """A root, deeper than a socket's address may be long, in which somebody holds the agent's lock."""
    root = tmp_path / ("deep" * 30)
    root.mkdir()
    paths = Paths(root)
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(paths.lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    assert process.stdout.readline() == "held\n"
    yield paths
    process.kill()
    process.communicate()


def serve(paths: Paths, answer: Callable[[socket.socket, dict[str, object]], object]) -> threading.Thread:
    """An agent's half in a thread: takes one connection, reads the request, and hands both to ``answer``."""
    server = control.listen(paths.control)

    def work() -> None:
        with server:
            connection, _ = server.accept()
        with connection:
            answer(connection, json.loads(connection.makefile("rb").readline()))

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def line(document: object) -> bytes:
    return json.dumps(document).encode() + b"\n"


def test_answers_come_in_order_until_done(paths: Paths) -> None:
    seen: list[object] = []

    def answer(connection: socket.socket, request: dict[str, object]) -> None:
        seen.append(request)
        # cut at odd places: a stream has no lines of its own
        text = line({"say": ""}) + line({"unit": "pgsql", "state": "running", "detail": ""}) + line(DONE)
        connection.sendall(text[:20])
        connection.sendall(text[20:])

    thread = serve(paths, answer)
    answers = list(control.ask(paths, {"do": "start", "resources": ["pgsql"]}))
    thread.join()
    assert seen == [{"do": "start", "resources": ["pgsql"]}]
    assert answers == [{"say": ""}, {"unit": "pgsql", "state": "running", "detail": ""}, DONE]


def test_the_socket_is_the_owners_alone(paths: Paths) -> None:
    with control.listen(paths.control):
        assert paths.control.stat().st_mode & 0o777 == 0o600


def test_no_agent(tmp_path: Path) -> None:
    with pytest.raises(AgentNotRunning) as caught:
        list(control.ask(Paths(tmp_path), {"do": "start"}))
    assert caught.value.message == "the agent is not running"
    assert caught.value.hint == "start it with: escadm agent"


def test_a_socket_that_nobody_listens_to(paths: Paths) -> None:
    with pytest.raises(AgentNotRunning):
        list(control.ask(paths, {"do": "start"}))
    control.listen(paths.control).close()
    with pytest.raises(AgentNotRunning):
        list(control.ask(paths, {"do": "start"}))


def test_an_agent_that_goes_away(paths: Paths) -> None:
    thread = serve(paths, lambda connection, _: connection.sendall(line({"say": ""}) + b'{"unit"'))
    with pytest.raises(Failed, match="went away"):
        list(control.ask(paths, {"do": "start"}))
    thread.join()


def test_an_agent_that_does_not_acknowledge_hangs(paths: Paths) -> None:
    over = threading.Event()
    thread = serve(paths, lambda *_: over.wait(10))
    with pytest.raises(Failed, match="hangs"):
        list(control.ask(paths, {"do": "start"}, patience=0.1))
    over.set()
    thread.join()


def test_an_agent_that_takes_long_after_it_acknowledged_is_waited_for(paths: Paths) -> None:
    over = threading.Event()

    def answer(connection: socket.socket, _: dict[str, object]) -> None:
        connection.sendall(line({"say": ""}))
        over.wait(0.5)
        alive.write_beat(paths.beat)
        connection.sendall(line(DONE))

    thread = serve(paths, answer)
    assert list(control.ask(paths, {"do": "start"}, patience=0.1))[-1] == DONE
    thread.join()


def test_an_agent_whose_heart_stops_after_it_acknowledged_hangs(paths: Paths) -> None:
    over = threading.Event()
    paths.beat.write_text("0.5\n")

    def answer(connection: socket.socket, _: dict[str, object]) -> None:
        connection.sendall(line({"say": ""}))
        over.wait(10)

    thread = serve(paths, answer)
    with pytest.raises(Failed, match="hangs"):
        list(control.ask(paths, {"do": "start"}, patience=0.1))
    over.set()
    thread.join()


def test_an_answer_that_is_no_answer(paths: Paths) -> None:
    thread = serve(paths, lambda connection, _: connection.sendall(b"hello\n"))
    with pytest.raises(Failed, match="cannot make sense"):
        list(control.ask(paths, {"do": "start"}))
    thread.join()


def test_no_descriptor_is_left_open(paths: Paths) -> None:
    before = sorted(os.listdir("/proc/self/fd"))  # noqa: PTH208
    with pytest.raises(AgentNotRunning):
        list(control.ask(paths, {"do": "start"}))
    assert sorted(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
