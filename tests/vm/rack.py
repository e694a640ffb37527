"""The rack: a process that holds two machines' power supply, their switch, and the client's network.

    python -m tests.vm.rack CONTROL DIRECTORY

It moves into network and mount namespaces of its own, mounts a tmpfs over DIRECTORY there (another program that makes
this machine's disk wait would make the machines stand still), makes the client's interface (a tap) and switches frames
between it and the machines' sockets. Their overlays, disks and consoles are in DIRECTORY. CONTROL is the
descriptor of a socket with its maker: JSON messages,
each answered. When that closes, however the maker ended, the machines die, and with this process the
namespaces: nothing stays behind.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import selectors
import signal
import socket
import struct
import subprocess
import sys
from contextlib import ExitStack, nullcontext, suppress
from pathlib import Path
from typing import Any

CLONE_NEWNET, CLONE_NEWNS = 0x40000000, 0x00020000
TUNSETIFF = 0x400454CA
IFF_TAP_WITHOUT_HEADER = 0x1002
LARGEST = 65536
BURST = 64
"""Frames that are taken from one port before the others have their turn."""
QUEUE = "/proc/sys/net/unix/max_dgram_qlen"


def pair(kind: socket.SocketKind) -> tuple[socket.socket, socket.socket]:
    """Ours, which never waits, and theirs."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, kind)
    for each in (ours, theirs):
        each.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    ours.setblocking(False)
    return ours, theirs


class Port:
    """One end of a cable. Sends without waiting: what the other side has no room for is lost, as on any wire."""

    def fileno(self) -> int:
        raise NotImplementedError

    def receive(self) -> bytes:
        raise NotImplementedError

    def send(self, frame: bytes) -> None:
        raise NotImplementedError


class MachinePort(Port):
    """The cable to a machine: a pair of sockets, the other one of which the machine gets as it is switched on."""

    def __init__(self) -> None:
        self.socket, there = pair(socket.SOCK_DGRAM)
        there.close()

    def fileno(self) -> int:
        return self.socket.fileno()

    def receive(self) -> bytes:
        return self.socket.recv(LARGEST)

    def send(self, frame: bytes) -> None:
        self.socket.send(frame)


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
        self.blocked: set[tuple[str, str]] = set()
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
            if name != source and (source, name) not in self.blocked:
                # a machine without power, or one whose queue is full: the frame is lost
                with suppress(OSError):
                    self.ports[name].send(frame)


class Rack:
    """What the messages mean. Every method takes a message's fields and returns the answer."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.machines: dict[str, subprocess.Popen[bytes]] = {}
        self.switches: dict[str, Switch] = {}
        self.selector = selectors.EpollSelector()
        self.line: socket.socket | None = None
        """A machine's serial line, to be handed out with the next answer."""

    def switch(self, link: str, machines: list[str], client: list[str]) -> None:
        """A switch for ``link``, with the machines' ports; the client's too if it has addresses there."""
        ports: dict[str, Port] = {name: MachinePort() for name in machines}
        switch = self.switches[link] = Switch(ports)
        if client:
            ports["client"] = TapPort(link)
            for address in client:
                subprocess.run(["ip", "address", "add", address, "dev", link], check=True)
            subprocess.run(["ip", "link", "set", link, "up"], check=True)
            self.selector.register(ports["client"], selectors.EVENT_READ, (switch, "client"))

    def start(self, name: str, argv: list[str]) -> None:
        """Switch a machine on. ``{agent}`` and ``{LINK}`` in ``argv`` are descriptors. Its memory is a file here."""
        with ExitStack() as stack:
            theirs = {link: stack.enter_context(self._plug(link, name)) for link in self.switches}
            self.line, theirs["agent"] = socket.socketpair()
            stack.enter_context(theirs["agent"])
            numbers = {key: each.fileno() for key, each in theirs.items()}
            command = ["setpriv", "--pdeathsig", "KILL", "--", *(word.format_map(numbers) for word in argv)]
            with (self.directory / f"{name}.console").open("ab") as console:
                self.machines[name] = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=console,
                    stderr=console,
                    pass_fds=list(numbers.values()),
                    start_new_session=True,
                    env={**os.environ, "TMPDIR": str(self.directory)},
                )

    def _plug(self, link: str, name: str) -> socket.socket:
        """A new cable between the switch and the machine; the machine's end."""
        switch = self.switches[link]
        port = switch.ports[name]
        assert isinstance(port, MachinePort)
        with suppress(KeyError):  # the cable of the first time has never been looked at
            self.selector.unregister(port)
        port.socket.close()
        port.socket, theirs = pair(socket.SOCK_DGRAM)
        self.selector.register(port, selectors.EVENT_READ, (switch, name))
        return theirs

    def runs(self, name: str) -> bool:
        """Whether the machine has power."""
        return name in self.machines and self.machines[name].poll() is None

    def pids(self) -> list[int]:
        """The processes of the machines that have power."""
        return [machine.pid for name, machine in self.machines.items() if self.runs(name)]

    def kill(self, name: str) -> None:
        """Take the power away, at once: a machine is a group of processes."""
        if name in self.machines:
            self.signal(name, signal.SIGKILL)
            self.machines[name].wait()

    def signal(self, name: str, number: int) -> None:
        """Send a signal to all processes of a machine."""
        if self.runs(name):
            os.killpg(self.machines[name].pid, number)

    def block(self, link: str, pairs: list[list[str]]) -> None:
        """Drop silently what goes from the first to the second of each of these ports, and nothing else."""
        self.switches[link].blocked = {(source, target) for source, target in pairs}

    def serve(self, control: socket.socket) -> None:
        """Until the control socket closes."""
        self.selector.register(control, selectors.EVENT_READ)
        while True:
            for key, _ in self.selector.select():
                if key.fileobj is not control:
                    switch, name = key.data
                    switch.turn(name)
                    continue
                message = control.recv(LARGEST)
                if not message:
                    return
                answer = json.dumps(self.answer(json.loads(message))).encode()
                line, self.line = self.line, None
                with line or nullcontext():
                    socket.send_fds(control, [answer], [line.fileno()] if line else [])

    def answer(self, message: dict[str, Any]) -> dict[str, Any]:
        name = message.pop("do")
        try:
            return {"value": getattr(self, name)(**message)}
        except (OSError, subprocess.SubprocessError) as error:
            return {"error": str(error)}

    def end(self) -> None:
        for name in self.machines:
            self.kill(name)
        subprocess.run(["umount", "--lazy", self.directory], check=False)
        with suppress(OSError):
            self.directory.rmdir()


def main() -> None:
    """Serve the socket whose descriptor is the first argument, in the directory that is the second."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # a Ctrl-C is the maker's business; its end is ours
    rack = Rack(Path(sys.argv[2]))
    with socket.socket(fileno=int(sys.argv[1])) as control:
        try:
            if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET | CLONE_NEWNS):
                raise OSError(ctypes.get_errno(), "cannot make namespaces")
            subprocess.run(["mount", "--make-rprivate", "/"], check=True)
            subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=700", "machines", sys.argv[2]], check=True)
            with suppress(OSError):
                Path(QUEUE).write_text("512")  # frames that wait in a socket; the default of 10 loses too many
            subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
            control.send(b'{"value": "ready"}')
            rack.serve(control)
        finally:
            rack.end()


if __name__ == "__main__":
    main()
