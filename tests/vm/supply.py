"""The rack's process (tests/vm/rack.py), seen from outside: power, cables, the client's network."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from escadm.errors import Failed
from tests.vm import cache

GATEWAY = "172.16.3.254"
CLIENT = ("172.16.3.1/11", f"{GATEWAY}/11")
"""The client's address, and the one that the nodes may take for their gateway."""
TURN = 30.0


class Supply:
    """It ends with whoever made it, however that ends.

    ``directory`` is where the machines' files are for us, ``inside`` for the machines.
    """

    def __init__(self) -> None:
        with ExitStack() as stack:
            place = stack.enter_context(cache.folder("run"))
            self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            self._control.settimeout(TURN)
            with theirs:
                argv = [sys.executable, "-m", "tests.vm.rack", str(theirs.fileno()), str(place)]
                here = Path(__file__).parents[2]
                self._rack = subprocess.Popen(argv, cwd=here, pass_fds=[theirs.fileno()], start_new_session=True)
            self.inside, self.directory = place, Path(f"/proc/{self._rack.pid}/root{place}")
            self._answer()
            self.ask("switch", link="eth0", machines=["a", "b"], client=list(CLIENT))
            self.ask("switch", link="eth1", machines=["a", "b"], client=[])
            self._stack = stack.pop_all()

    def ask(self, do: str, **fields: Any) -> Any:
        """Send a message and return the answer's value."""
        self._control.send(json.dumps({"do": do, **fields}).encode())
        return self._answer()[0]

    def start(self, name: str, argv: list[str]) -> socket.socket:
        """Switch a machine on, and take its serial line."""
        self._control.send(json.dumps({"do": "start", "name": name, "argv": argv}).encode())
        _, lines = self._answer()
        return socket.socket(fileno=lines[0])

    def _answer(self) -> tuple[Any, list[int]]:
        message, lines, _, _ = socket.recv_fds(self._control, 1 << 16, 1)
        if not message:
            raise Failed("cannot make the machines' switch: its process has ended")
        answer = json.loads(message)
        if "error" in answer:
            raise Failed(f"the machines' switch: {answer['error']}")
        return answer["value"], lines

    @property
    def pid(self) -> int:
        return self._rack.pid

    def close(self) -> None:
        """Everything ends; returns when it has."""
        self._control.close()
        self._rack.wait()
        self._stack.close()
