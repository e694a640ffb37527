"""The rack: a process that holds two machines' power supply, their switch, and the client's network.

    python -m tests.vm.rack CONTROL DIRECTORY

It moves into a network namespace of its own, makes the client's interface there (a tap) and switches Ethernet frames
between it and the machines' sockets in DIRECTORY. CONTROL is the descriptor of a socket with its maker: JSON messages,
each answered. When that closes, however the maker ended, the machines die, DIRECTORY goes, and with this process the
namespace: nothing stays behind.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import selectors
import shutil
import signal
import socket
import struct
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

CLONE_NEWNET = 0x40000000
TUNSETIFF = 0x400454CA
IFF_TAP_WITHOUT_HEADER = 0x1002
LARGEST = 65536
BURST = 64
"""Frames that are taken from one port before the others have their turn."""
CLIENT_MAC = "52:54:00:65:ff:01"
QUEUE = "/proc/sys/net/unix/max_dgram_qlen"


class Port:
    """One end of a cable. Sends without waiting: what the other side has no room for is lost, as on any wire."""

    def fileno(self) -> int:
        raise NotImplementedError

    def receive(self) -> bytes:
        raise NotImplementedError

    def send(self, frame: bytes) -> None:
        raise NotImplementedError


class MachinePort(Port):
    """The cable to a machine: a datagram socket here, one of qemu's there."""

    def __init__(self, there: Path) -> None:
        self.there = str(there)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        self.socket.bind(f"{there}.switch")

    def fileno(self) -> int:
        return self.socket.fileno()

    def receive(self) -> bytes:
        return self.socket.recv(LARGEST)

    def send(self, frame: bytes) -> None:
        self.socket.sendto(frame, self.there)


class TapPort(Port):
    """The cable to this namespace's own interface."""

    def __init__(self, name: str) -> None:
        self.tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        fcntl.ioctl(self.tap, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP_WITHOUT_HEADER))

    def fileno(self) -> int:
        return self.tap

    def receive(self) -> bytes:
        return os.read(self.tap, LARGEST)

    def send(self, frame: bytes) -> None:
        os.write(self.tap, frame)


class Switch:
    """Learns which port an address is at, and floods what it does not know, like any other."""

    def __init__(self, ports: dict[str, Port]) -> None:
        self.ports = ports
        self.blocked: set[frozenset[str]] = set()
        self.known: dict[bytes, str] = {}

    def turn(self, name: str) -> None:
        """Forward what waits at a port."""
        for _ in range(BURST):
            try:
                frame = self.ports[name].receive()
            except OSError:
                return
            self.forward(name, frame)

    def forward(self, source: str, frame: bytes) -> None:
        target, sender = frame[:6], frame[6:12]
        self.known[sender] = source
        where = None if target[0] & 1 else self.known.get(target)
        for name in [where] if where else self.ports:
            if name != source and frozenset((source, name)) not in self.blocked:
                # a machine without power, or one whose queue is full: the frame is lost
                with suppress(OSError):
                    self.ports[name].send(frame)


class Rack:
    """What the messages mean. Every method takes a message's fields and returns the answer."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.machines: dict[str, subprocess.Popen[bytes]] = {}
        self.switches: dict[str, Switch] = {}

    def switch(self, link: str, machines: list[str], client: list[str]) -> None:
        """A switch for ``link``, with the machines' ports; the client's too if it has addresses there."""
        ports: dict[str, Port] = {name: MachinePort(self.directory / f"{name}.{link}") for name in machines}
        if client:
            ports["client"] = TapPort(link)
            # always the same: saved machines remember it
            subprocess.run(["ip", "link", "set", link, "address", CLIENT_MAC], check=True)
            for address in client:
                subprocess.run(["ip", "address", "add", address, "dev", link], check=True)
            subprocess.run(["ip", "link", "set", link, "up"], check=True)
        self.switches[link] = Switch(ports)

    def start(self, name: str, argv: list[str]) -> int:
        """Switch a machine on; its qemu's pid."""
        for stale in self.directory.glob(f"{name}.*"):
            if stale.is_socket() and stale.suffix != ".switch":
                stale.unlink()
        with (self.directory / f"{name}.qemu.log").open("ab") as log:
            command = ["setpriv", "--pdeathsig", "KILL", "--", *argv]
            self.machines[name] = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        return self.machines[name].pid

    def runs(self, name: str) -> bool:
        """Whether the machine has power."""
        return name in self.machines and self.machines[name].poll() is None

    def pids(self) -> list[int]:
        """The processes of the machines that have power."""
        return [machine.pid for name, machine in self.machines.items() if self.runs(name)]

    def kill(self, name: str) -> None:
        """Take the power away, at once."""
        if name in self.machines:
            self.machines[name].kill()
            self.machines[name].wait()

    def block(self, link: str, pairs: list[list[str]]) -> None:
        """Drop silently what goes between these ports, and nothing else."""
        self.switches[link].blocked = {frozenset(pair) for pair in pairs}

    def serve(self, control: socket.socket) -> None:
        """Until the control socket closes."""
        selector = selectors.EpollSelector()
        selector.register(control, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is not control:
                    switch, name = key.data
                    switch.turn(name)
                    continue
                message = control.recv(LARGEST)
                if not message:
                    return
                control.send(json.dumps(self.answer(json.loads(message), selector)).encode())

    def answer(self, message: dict[str, Any], selector: selectors.BaseSelector) -> dict[str, Any]:
        name = message.pop("do")
        try:
            value = getattr(self, name)(**message)
        except (OSError, subprocess.SubprocessError) as error:
            return {"error": str(error)}
        if name == "switch":
            switch = self.switches[message["link"]]
            for port in switch.ports:
                selector.register(switch.ports[port], selectors.EVENT_READ, (switch, port))
        return {"value": value}

    def end(self) -> None:
        for name in self.machines:
            self.kill(name)
        shutil.rmtree(self.directory, ignore_errors=True)


def main() -> None:
    """Serve the socket whose descriptor is the first argument, in the directory that is the second."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # a Ctrl-C is the maker's business; its end is ours
    rack = Rack(Path(sys.argv[2]))
    with socket.socket(fileno=int(sys.argv[1])) as control:
        try:
            if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "cannot make a network namespace")
            with suppress(OSError):
                Path(QUEUE).write_text("512")  # frames that wait in a socket; the default of 10 loses too many
            subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
            control.send(b'{"value": "ready"}')
            rack.serve(control)
        finally:
            rack.end()


if __name__ == "__main__":
    main()
