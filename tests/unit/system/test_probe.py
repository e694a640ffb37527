from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from escadm.core.probes import Exec, Http, Tcp
from escadm.system.probe import probe


@contextmanager
def server(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """A port on loopback whose one client is handed to ``answer``."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)

        def serve() -> None:
            with contextlib.suppress(OSError):
                client, _ = listener.accept()
                with client:
                    client.settimeout(10)
                    answer(client)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def saying(text: str, heard: list[str] | None = None) -> Callable[[socket.socket], None]:
    def answer(client: socket.socket) -> None:
        request = client.recv(65536).decode()
        if heard is not None:
            heard.append(request)
        client.sendall(text.encode())

    return answer


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    return port


def test_tcp() -> None:
    with server(lambda client: None) as port:
        assert probe(Tcp(port)) is None
    port = free_port()
    assert probe(Tcp(port)) == f"port {port} of 127.0.0.1: connection refused"


def test_a_name_that_does_not_resolve() -> None:
    said = probe(Tcp(80, host="no-such-host.invalid"))
    assert said is not None
    assert said.startswith("port 80 of no-such-host.invalid: ")


@pytest.mark.parametrize("status", [200, 204, 302, 399])
def test_a_status_below_400_is_good_and_no_redirect_is_followed(status: int) -> None:
    heard: list[str] = []
    answer = f"HTTP/1.1 {status} Whatever\r\nLocation: http://192.0.2.1/\r\n\r\n"
    with server(saying(answer, heard)) as port:
        assert probe(Http(f"http://127.0.0.1:{port}/a/b?c=d")) is None
    assert heard[0].startswith(f"GET /a/b?c=d HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n")


@pytest.mark.parametrize("status", [400, 404, 500, 503])
def test_a_status_from_400_is_told(status: int) -> None:
    with server(saying(f"HTTP/1.0 {status}\r\n\r\n")) as port:
        url = f"http://127.0.0.1:{port}"
        assert probe(Http(url)) == f"{url} answers with status {status}"


def test_proxies_of_the_environment_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    with server(saying("HTTP/1.1 200 OK\r\n\r\n")) as port:
        assert probe(Http(f"http://127.0.0.1:{port}/")) is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "the connection was closed without an answer"),
        ("SSH-2.0-OpenSSH_9.2\r\n", "the answer is not HTTP"),
        ("HTTP/1.1 abc\r\n", "the answer is not HTTP"),
        ("x" * 5000, "the answer is not HTTP"),
    ],
)
def test_what_is_not_http(text: str, reason: str) -> None:
    with server(saying(text)) as port:
        assert probe(Http(f"http://127.0.0.1:{port}/")) == f"http://127.0.0.1:{port}/: {reason}"


def test_a_server_that_is_silent_or_drips_does_not_outlive_the_limit() -> None:
    def drip(client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client.sendall(b"H")
                time.sleep(0.05)

    def be_silent(client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while client.recv(65536):
                pass

    for answer in (be_silent, drip):
        with server(answer) as port:
            url = f"http://127.0.0.1:{port}/"
            start = time.monotonic()
            assert probe(Http(url, timeout=0.4)) == f"{url} does not answer within 0.4 s"
            assert time.monotonic() - start < 3


def test_exec(tmp_path: Path) -> None:
    assert probe(Exec(("true",))) is None
    said = probe(Exec(("sh", "-c", "echo no database >&2; exit 2")))
    assert said == "sh: exited with code 2: no database"
    assert probe(Exec(("/no/such/check",))) == "/no/such/check is not installed"
    assert probe(Exec(("sleep", "30"), timeout=0.1)) == "sleep: no end after 0.1 s"


def test_exec_runs_as_the_service_would(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    script = '[ "$(id -un) $COLOUR $PWD" = "nobody blue /" ]'
    check = Exec(("sh", "-c", script))
    assert probe(check, user="nobody", environment={"COLOUR": "blue"}, working_directory="/") is None
    assert probe(check, user="nobody", environment={"COLOUR": "red"}, working_directory="/") is not None


def test_the_heavy_libraries_stay_out() -> None:
    script = """
import sys, escadm.system.probe
print([name for name in ("ssl", "http.client", "urllib.request") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"
