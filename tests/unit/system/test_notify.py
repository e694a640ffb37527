"""Both ends of sd_notify, over real sockets."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from escadm.system.notify import is_ready, open_listener, tell_systemd


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    with open_listener(tmp_path / "notify" / "pgsql") as made:
        yield made


def send(listener: socket.socket, *messages: bytes) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
        for message in messages:
            out.sendto(message, listener.getsockname())


@pytest.mark.parametrize(
    "messages",
    [
        [b"READY=1"],
        [b"READY=1\n"],
        [b"STATUS=starting\nREADY=1\nMAINPID=7"],
        [b"STATUS=starting", b"MAINPID=7", b"READY=1"],
        [b"READY=1", b"STATUS=ready to accept connections"],
        [b"", b"\xff\xfe\0", b"READY=1"],
    ],
)
def test_ready(listener: socket.socket, messages: list[bytes]) -> None:
    send(listener, *messages)
    assert is_ready(listener)
    assert not is_ready(listener), "each message is read once"


@pytest.mark.parametrize(
    "messages",
    [
        [],
        [b""],
        [b"\n\n"],
        [b"READY=0"],
        [b"READY=10"],
        [b"READY=1 "],
        [b"NOT_READY=1"],
        [b"ready=1"],
        [b"REA", b"DY=1"],
        [b"STATUS=READY=1"],
        [b"STOPPING=1", b"RELOADING=1", b"\xff" * 3000],
    ],
)
def test_not_ready(listener: socket.socket, messages: list[bytes]) -> None:
    send(listener, *messages)
    assert not is_ready(listener)


def test_ready_after_all_the_noise(listener: socket.socket) -> None:
    send(listener, b"STATUS=1", b"garbage")
    assert not is_ready(listener)
    send(listener, b"STATUS=2", b"READY=1")
    assert is_ready(listener)


def test_any_user_may_write_to_the_socket_and_nobody_may_look_around(tmp_path: Path) -> None:
    path = tmp_path / "notify" / "pgsql"
    with open_listener(path) as listener:
        assert path.stat().st_mode & 0o777 == 0o666
        assert path.parent.stat().st_mode & 0o777 == 0o711
        assert not listener.getblocking()
        assert not os.get_inheritable(listener.fileno())


def test_a_socket_that_was_left_behind_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "pgsql"
    with open_listener(path) as old, open_listener(path) as new:
        send(new, b"READY=1")
        assert not is_ready(old)
        assert is_ready(new)


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as manager:
        manager.bind(str(tmp_path / "systemd"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "systemd"))
        yield manager


def test_systemd_is_told(systemd: socket.socket) -> None:
    tell_systemd("READY=1\nSTATUS=Master Healthy")
    assert systemd.recv(4096) == b"READY=1\nSTATUS=Master Healthy"


def test_systemd_is_told_at_an_abstract_address(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"escadm-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as manager:
        manager.bind("\0" + name)
        monkeypatch.setenv("NOTIFY_SOCKET", "@" + name)
        tell_systemd("READY=1")
        assert manager.recv(4096) == b"READY=1"


@pytest.mark.parametrize("address", [None, "", "/nowhere/at/all", "@escadm-test-nobody-listens"])
def test_without_a_manager_nothing_happens(
    address: str | None, systemd: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    if address is None:
        monkeypatch.delenv("NOTIFY_SOCKET")
    else:
        monkeypatch.setenv("NOTIFY_SOCKET", address)
    tell_systemd("READY=1")
    with pytest.raises(BlockingIOError):
        systemd.recv(4096)
