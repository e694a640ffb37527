"""The lab itself: a switch, two nodes and a client, made, broken and removed."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

from escadm.errors import EscadmError, Failed, Usage
from escadm.lab import faults, namespaces, state
from escadm.lab.network import Network
from escadm.lab.node import PATHS, Node, plug_in, set_up, switch
from escadm.lab.watch import Watch

if TYPE_CHECKING:
    from escadm.lab.configuration import Copies

_T = TypeVar("_T")
POLL = 0.02


class Lab:
    """Two nodes, ``a`` and ``b``, and a ``client`` on one switch. As a context manager: up, and down at the end
    unless it was detached.

    ``config`` is the text of an esc-config.yaml, the seed's own without it. Each node gets a copy with stand-ins for
    what is not installed and without replication; ``standalone`` leaves out what makes the nodes a pair. ``advert`` is
    the advert interval and ``delay`` what a stand-in takes to start, in seconds. ``agent`` False starts no agent.
    """

    def __init__(
        self,
        directory: Path | None = None,
        *,
        config: str | None = None,
        file: str = "esc-config.yaml",
        advert: float | None = None,
        delay: float = 0.3,
        standalone: bool = False,
        agent: bool = True,
    ) -> None:
        self.directory = (directory or state.default_directory()).absolute()
        self.config, self.file, self.standalone, self.agent = config, file, standalone, agent
        self.advert, self.delay = advert, delay
        self.notes: tuple[str, ...] = ()
        self._controls: list[socket.socket] = []
        self._state: state.State | None = None
        self._nodes: dict[str, Node] = {}
        self._detached = False

    def __enter__(self) -> Lab:
        self.up()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._detached:
            self.down()

    # --- up and down ----------------------------------------------------------------------------------------

    def up(self) -> None:
        """Make the lab and start the agents. It ends with this process unless :meth:`detach` is called."""
        namespaces.require_programs()
        if state.load(self.directory):
            raise Failed(f"cannot make a lab: one is running in {self.directory}", "escadm lab down")
        from escadm.lab.configuration import prepare  # noqa: PLC0415 - pydantic, which no other command of the lab needs

        copies = prepare(self.config, self.file, advert=self.advert, delay=self.delay, standalone=self.standalone)
        self.notes = copies.notes
        with self._claimed():
            try:
                self._make(copies)
            except BaseException:
                self.down()
                raise

    @contextmanager
    def _claimed(self) -> Iterator[None]:
        """The run directory, ours, empty, and of nobody else as long as the lab is being made."""
        self.directory.mkdir(mode=0o755, parents=True, exist_ok=True)
        if self.directory.stat().st_uid != os.geteuid():
            raise Failed(
                f"cannot use {self.directory}: it belongs to somebody else", "choose another with ESCADM_LAB=DIR"
            )
        lock = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._wipe()
            self.directory.mkdir(exist_ok=True)
            yield
        except BlockingIOError:
            raise Failed(f"cannot make a lab: another command is making one in {self.directory}") from None
        finally:
            os.close(lock)

    def _make(self, copies: Copies) -> None:
        log = self.directory / "switch.log"
        outer, control = namespaces.start(None, switch(copies.network), log, "switch")
        self._controls.append(control)
        self._state = state.State(outer=outer, network=copies.network, ports=copies.ports, agent=self.agent)
        state.save(self.directory, self._state)
        for name, text in zip("ab", copies.texts, strict=True):
            self.node(name).data.mkdir()
            self.node(name).write(PATHS.config, text)
        (self.directory / "client").mkdir()
        for name in ("client", "a", "b"):
            self.power_on(name)

    def power_on(self, name: str) -> None:
        """Start a node, plug it in, and start its agent if the lab has agents."""
        current, node = self.require(), self.node(name)
        if node.powered:
            return
        commands = [] if name == "client" else set_up(node)
        node.machine, control = namespaces.start(current.outer, commands, node.console, node.hostname)
        with control:
            plug_in(node, current.outer, current.network)
            current.machines[name] = node.machine
            state.save(self.directory, current)
            control.send(b"stay")
        if current.agent and name != "client":
            node.machine.send(signal.SIGUSR1)

    def wait_for_agents(self, timeout: float = 20.0) -> None:
        """Until the agents of both nodes have said something."""
        self.wait_for(lambda: all(node.read(PATHS.status) for node in self.nodes), timeout, "both agents")

    def detach(self) -> None:
        """Let the lab run on after this process has ended."""
        for control in self._controls:
            namespaces.let_go(control)
        self._controls.clear()
        self._detached = True

    def down(self) -> None:
        """End everything and remove the run directory's contents; done already is fine."""
        running = self._state or state.load(self.directory)
        if running:
            running.outer.end()
        for control in self._controls:
            control.close()
        self._controls.clear()
        self._state = None
        self._nodes.clear()
        self._wipe()

    def _wipe(self) -> None:
        """Remove what a lab keeps in its run directory."""
        for name in ("a", "b", "client"):
            shutil.rmtree(self.directory / name, ignore_errors=True)
        for name in ("lab.json", "lab.new", "switch.log"):
            (self.directory / name).unlink(missing_ok=True)
        with suppress(OSError):
            self.directory.rmdir()

    # --- what is there --------------------------------------------------------------------------------------

    def require(self) -> state.State:
        """The state of the running lab; Failed when there is none."""
        self._state = self._state or state.load(self.directory)
        if self._state is None:
            raise Failed("no lab is running", "escadm lab up")
        return self._state

    @property
    def network(self) -> Network:
        return self.require().network

    def node(self, name: str) -> Node:
        """``a``, ``b`` or ``client``; always the same object."""
        if name not in self._nodes:
            current = self.require()
            addresses = dict(zip("ab", current.network.nodes, strict=True)) | {"client": current.network.client}
            if name not in addresses:
                raise Usage(f"there is no node {name!r} in the lab", "the nodes are a, b and client")
            self._nodes[name] = Node(name, addresses[name], self.directory / name, current.machines.get(name))
        return self._nodes[name]

    @property
    def ports(self) -> dict[str, int]:
        """The ports of the stand-ins, by name."""
        return self.require().ports

    @property
    def nodes(self) -> tuple[Node, Node]:
        return self.node("a"), self.node("b")

    def holders(self) -> list[Node]:
        """The nodes that have the VIP."""
        vip = f"{self.network.vip}/"
        return [
            node
            for node in self.nodes
            if node.powered and any(each.startswith(vip) for each in node.addresses(self.network.interface))
        ]

    def describe(self) -> list[str]:
        """The lab for people, a line for each machine."""
        network, holders = self.network, self.holders()
        lines = [f"lab in {self.directory}: /{network.prefix} on {network.interface}, VIP {network.vip}"]
        for node in self.nodes:
            says = node.escadm("status", check=False).stdout.strip() if node.powered else "power off"
            lines.append(f"{node.hostname} {node.address}{' and the VIP' if node in holders else ''}: {says}")
        host = f"[{network.vip}]" if network.vip.version == 6 else str(network.vip)
        services = [f"stand-in {name}: http://{host}:{port}/" for name, port in self.ports.items()]
        return [*lines, f"client {network.client}", *services]

    # --- what is done with it -------------------------------------------------------------------------------

    def fault(self, kind: str, node: str | None = None, name: str | None = None) -> str:
        """Break or repair something (see faults.KINDS); what was done, as a sentence."""
        return faults.apply(self, kind, node, name)

    def client(self, target: str, interval: float = 0.01) -> Watch:
        """A client that asks ``target`` (URL or HOST:PORT) again and again; a context manager."""
        return Watch(self.node("client"), target, interval)

    def wait_for(self, predicate: Callable[[], _T | None], timeout: float, what: str) -> _T:
        """Ask ``predicate`` until its answer is true, and return that. Failed with both nodes' logs after ``timeout``.

        An EscadmError counts as "not yet".
        """
        end = time.monotonic() + timeout
        complaint = ""
        while True:
            try:
                if answer := predicate():
                    return answer
            except EscadmError as error:
                complaint = f"\nthe last attempt said: {error}"
            if time.monotonic() >= end:
                raise Failed(f"waited {timeout:g} s for {what}, in vain{complaint}\n{self.logs()}")
            time.sleep(POLL)

    def logs(self, lines: int = 40) -> str:
        """The ends of both nodes' logs, for a report."""
        parts = []
        for node in self.nodes:
            for file in (node.console, node.log):
                if file.exists():
                    tail = file.read_text(errors="replace").splitlines()[-lines:]
                    parts.append("\n".join([f"--- {node.hostname} {file.name}", *tail]))
        return "\n".join(parts)
