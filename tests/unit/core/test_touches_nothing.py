"""The guard of the pure packages' tests is itself at work."""

import os
import socket
import subprocess
import time
from collections.abc import Callable

import pytest


def connect() -> None:
    with socket.socket(socket.AF_UNIX) as out:
        out.connect("/nowhere")


def send() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.sendto(b"x", ("127.0.0.1", 9))


WAYS_OUT: dict[str, Callable[[], object]] = {
    "subprocess": lambda: subprocess.run(["true"], check=True),
    "system": lambda: os.system("true"),  # noqa: S605
    "fork": os.fork,
    "connect": connect,
    "send": send,
    "sleep": lambda: time.sleep(0),
}


@pytest.mark.parametrize("way", WAYS_OUT)
def test_every_way_out_raises(way: str, touches_nothing: type[BaseException]) -> None:
    with pytest.raises(touches_nothing):
        WAYS_OUT[way]()
