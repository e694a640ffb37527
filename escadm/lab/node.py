"""A node of the lab: what is private to it, how it is plugged in, and what can be asked of it."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from escadm.core.specs import Address
from escadm.errors import Failed
from escadm.lab import namespaces
from escadm.lab.namespaces import Machine
from escadm.lab.network import Network
from escadm.paths import Paths
from escadm.system.run import Completed

PRIVATE = {"/etc/keepalived": r"keepalived\.conf(\..*)?", "/etc/drbd.d": r".*\.res(\..*)?", "/var/log": ".*"}
"""Besides /opt/cisco: what each node has for itself and keeps over a power cut. /run is its own too, and is lost.

A new node has there what this machine has, without what matches: the engines' packages bring files that they need.
"""

NAMES = ("a", "b", "client")
ANY_CODE = range(-64, 256)
PATHS = Paths()


@dataclass
class Node:
    """``a``, ``b`` or the client. ``machine`` is None while the power is off."""

    name: str
    address: Address
    data: Path
    machine: Machine | None = None

    @property
    def hostname(self) -> str:
        return "client" if self.name == "client" else f"node-{self.name}"

    @property
    def port(self) -> str:
        """Its port of the switch."""
        return f"port-{self.name}"

    @property
    def mac(self) -> str:
        """The same after each power cut, as a real machine's: neighbours know it still."""
        return f"02:65:73:63:00:{NAMES.index(self.name) + 1:02x}"

    @property
    def powered(self) -> bool:
        """Whether its PID 1 runs."""
        return self.machine is not None and self.machine.alive

    @property
    def up(self) -> Machine:
        """The machine; Failed when the power is off."""
        if self.machine is None or not self.machine.alive:
            raise Failed(f"cannot reach {self.hostname}: its power is off", f"escadm lab fault power-on {self.name}")
        return self.machine

    # --- commands and files ---------------------------------------------------------------------------------

    def exec(self, argv: Sequence[str], *, check: bool = True, timeout: float = 60.0) -> Completed:
        """Run a command on the node. With ``check`` an exit code other than 0 raises Failed."""
        codes = (0,) if check else ANY_CODE
        return namespaces.call(self.up.enter([str(word) for word in argv]), timeout=timeout, ok=codes)

    def escadm(self, *words: str, check: bool = True, timeout: float = 60.0) -> Completed:
        """Run ``escadm WORDS`` on the node."""
        return self.exec([sys.executable, "-m", "escadm", *words], check=check, timeout=timeout)

    def status(self) -> dict[str, Any]:
        """The document of ``escadm status --json``, whatever it says."""
        done = self.escadm("status", "--json", check=False, timeout=10.0)
        try:
            document: dict[str, Any] = json.loads(done.stdout)
        except json.JSONDecodeError:
            raise Failed(f"cannot read the status of {self.hostname}: {done.stderr or done.stdout}") from None
        return document

    def path(self, absolute: str | Path) -> Path:
        """Where this side finds a file of the node. What is not private to it can be found while it is powered."""
        text = str(absolute)
        for private in ("/opt/cisco", *PRIVATE):
            if text == private or text.startswith(private + "/"):
                return self.data / text.lstrip("/")
        return Path(f"/proc/{self.up.pid}/root") / text.lstrip("/")

    def read(self, absolute: str | Path) -> str | None:
        """The text of a file of the node, None when there is none. A link leads to another file of the node."""
        path = self.path(absolute)
        try:
            return self.read(path.readlink()) if path.is_symlink() else path.read_text(errors="replace")
        except FileNotFoundError:
            return None

    def write(self, absolute: str | Path, text: str) -> None:
        """Replace a file of the node, making the directories above it."""
        path = self.path(absolute)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    @property
    def role(self) -> str | None:
        """The word in ``keepalived_state``; None when there is none or the power is off."""
        return (self.read(PATHS.role) or "").strip() or None if self.powered else None

    def addresses(self, interface: str) -> list[str]:
        """The addresses on an interface, as ``ADDRESS/PREFIX``."""
        document = json.loads(self.exec(["ip", "-json", "address", "show", "dev", interface]).stdout)
        return [f"{each['local']}/{each['prefixlen']}" for each in document[0]["addr_info"]]

    @property
    def console(self) -> Path:
        """What its PID 1 and the agent write to stderr."""
        return self.data / "console.log"

    @property
    def log(self) -> Path:
        """The agent's log."""
        return self.path(PATHS.log)

    # --- processes ------------------------------------------------------------------------------------------

    def processes(self) -> list[psutil.Process]:
        """Every process of the node but PID 1 and what was brought in from outside."""
        return self._children(recursive=True)

    def _children(self, *, recursive: bool = False) -> list[psutil.Process]:
        pid = self.up.pid
        try:
            return psutil.Process(pid).children(recursive=recursive)
        except psutil.NoSuchProcess:
            raise Failed(f"cannot look at the processes of {self.hostname}: its power went off") from None

    def agent(self) -> psutil.Process | None:
        """The running agent: a child of PID 1 whose command ends in ``escadm agent``."""
        for child in self._children():
            try:
                words = child.cmdline()
            except psutil.NoSuchProcess:
                continue
            if words[-1:] == ["agent"] and any(Path(word).name == "escadm" for word in words):
                return child
        return None

    def keepalived(self) -> psutil.Process | None:
        """keepalived's parent process."""
        for process in self.processes():
            try:
                above = process.parent()
                if process.name() == "keepalived" and (above is None or above.name() != "keepalived"):
                    return process
            except psutil.NoSuchProcess:
                continue
        return None


def furnish(own: Path, machines: Path, not_ours: str) -> None:
    """Make the directory with copies of the machine's files that may be read, but for those that match ``not_ours``."""
    own.mkdir(parents=True)
    for file in machines.iterdir() if os.access(machines, os.R_OK | os.X_OK) else ():
        if file.is_file() and os.access(file, os.R_OK) and not re.fullmatch(not_ours, file.name):
            shutil.copy(file, own)


def set_up(node: Node) -> list[list[str]]:
    """The commands that make a node's own files, run in its namespaces before its PID 1."""
    commands = []
    for private, not_ours in PRIVATE.items():
        if Path(private).is_dir():
            own = node.data / private.lstrip("/")
            if not own.exists():
                furnish(own, Path(private), not_ours)
            commands.append(["mount", "--bind", str(own), private])
    # /opt/cisco must be private, even where the machine has none; the rest of /opt may hold this very program
    opt = node.data / "opt"
    (opt / "cisco").mkdir(parents=True, exist_ok=True)
    for entry in sorted(Path("/opt").iterdir()):
        own = opt / entry.name
        if entry.name == "cisco" or own.is_symlink():
            continue
        if entry.is_symlink():
            own.symlink_to(entry.readlink())
            continue
        if entry.is_dir():
            own.mkdir(exist_ok=True)
        else:
            own.touch()
        commands.append(["mount", "--rbind", str(entry), str(own)])
    return [
        *commands,
        ["mount", "--rbind", str(opt), "/opt"],
        ["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run"],
        ["mkdir", "/run/lock"],
        # where the kernel refuses a new sysfs (a container with parts of /sys masked), the machine's own must do
        ["sh", "-c", "mount -t sysfs sysfs /sys 2>/dev/null || :"],
    ]


def plug_in(node: Node, outer: Machine, network: Network) -> None:
    """Lay the cable from the switch to the node and give the node its address."""
    nodad = " nodad" if node.address.version == 6 else ""
    wire = (
        f"link add {node.port} type veth peer name {network.interface} address {node.mac} netns {node.up.pid}\n"
        f"link set {node.port} master br0 up\n"
    )
    own = (
        "link set lo up\n"
        f"address add {node.address}/{network.prefix} dev {network.interface}{nodad}\n"
        f"link set {network.interface} up\n"
    )
    namespaces.call(outer.enter(["ip", "-batch", "-"], network_only=True), wire)
    namespaces.call(node.up.enter(["ip", "-batch", "-"], network_only=True), own)


def switch(network: Network) -> list[list[str]]:
    """The commands that make the switch; gateways of the configuration are addresses of it, so that they answer."""
    gateways = [["ip", "address", "add", f"{address}/{network.prefix}", "dev", "br0"] for address in network.gateways]
    return [
        ["ip", "link", "set", "lo", "up"],
        ["ip", "link", "add", "br0", "type", "bridge", "forward_delay", "0", "mcast_snooping", "0"],
        *gateways,
        ["ip", "link", "set", "br0", "up"],
    ]
