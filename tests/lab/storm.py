"""Random faults in a row on one real pair, and a checker from outside: the kernel's processes and addresses, the words,
and a client of the virtual address.

From the command line: ``python -m tests.lab.storm --faults 500 --seed 1``.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from escadm.errors import EscadmError, Failed
from escadm.lab import Lab
from escadm.lab.node import Node
from escadm.paths import Paths

PATHS = Paths()
MARK = "storm-of-faults"
PORT = 8080
STOPS_IN = 0.7
CONFIG = f"""\
resources:
  quick:
    command: [{sys.executable}, -m, escadm.lab.standin, quick, --port, "{PORT}"]
    depend_on: filesystem
  slow:
    command: [sh, -c, "trap 'sleep {STOPS_IN:g}; exit' TERM; while :; do sleep 0.05; done", {MARK}]
    depend_on: quick
"""
LOOKS_EVERY = 0.1
HEALS_WITHIN = 60.0
BOUND = 8.0
"""Seconds within which of two primaries that hear each other one has left: four to believe it, its stop, and a busy
machine's share."""
FALSE_FOR = 3.0
"""Seconds for which a word and the processes may differ: a role is told once it is reached, by an agent that runs."""


@dataclass
class Checker(threading.Thread):
    """Looks ten times a second. ``apart()``: whether the nodes are kept from hearing each other, or an agent from
    working."""

    lab: Lab
    apart: Callable[[], bool]
    found: list[str] = field(default_factory=list)
    looks: int = 0
    longest: dict[str, float] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        super().__init__(daemon=True)
        self._over = threading.Event()
        self._since: dict[str, float] = {}
        self._vip = str(self.lab.network.vip)

    __hash__ = threading.Thread.__hash__

    def run(self) -> None:
        while not self._over.wait(LOOKS_EVERY):
            self.look()
            self.looks += 1

    def end(self) -> None:
        self._over.set()
        self.join()

    def look(self) -> None:
        now, nodes = time.monotonic(), self.lab.nodes
        together = not self.apart()
        runs = {node.name for node in nodes if _runs(node)}
        vips = {node.name for node in nodes if _has(node, self._vip)}
        words = {node.name: _word(node) for node in nodes}
        healthy = {node.name for node in nodes if _healthy(node)}
        self.seen |= {what for what, is_so in {"services": runs, "address": vips, "health": healthy}.items() if is_so}
        both = {
            "two sets of services": len(runs) == 2,
            "the virtual address is on both nodes": len(vips) == 2,
            "MASTER is told on both nodes": list(words.values()).count("MASTER") == 2,
        }
        for what, is_so in both.items():
            self._lasts(what, now, BOUND, is_so=together and is_so)
        for name, word in words.items():
            false = {
                f"node-{name} says BACKUP and runs the services": word == "BACKUP" and name in runs,
                f"node-{name} says MASTER and has nothing of it": word == "MASTER" and name not in runs | vips,
                f"node-{name} says Healthy, and its services do not run": name in healthy - runs,
            }
            for what, is_so in false.items():
                self._lasts(what, now, FALSE_FOR, is_so=together and is_so)

    def _lasts(self, what: str, now: float, bound: float, *, is_so: bool) -> None:
        if not is_so:
            self._since.pop(what, None)
            return
        lasted = now - self._since.setdefault(what, now)
        self.longest[what] = max(self.longest.get(what, 0.0), lasted)
        if lasted > bound and what not in self.found:
            self.found.append(what)


def _runs(node: Node) -> bool:
    with suppress(EscadmError, psutil.Error):
        for process in node.processes():
            with suppress(psutil.Error):
                if process.cmdline()[-1:] == [MARK]:
                    return True
    return False


def _has(node: Node, address: str) -> bool:
    """Whether the kernel has the address on that node, as its table of routes says."""
    with suppress(EscadmError, OSError, psutil.Error):
        return f"|-- {address}\n" in Path(f"/proc/{node.up.pid}/net/fib_trie").read_text()
    return False


def _healthy(node: Node) -> bool:
    """Whether the node says that it is a primary in good health."""
    with suppress(EscadmError, OSError):
        return "ESC Master Healthy" in (node.read(PATHS.status) or "")
    return False


def _word(node: Node) -> str | None:
    with suppress(EscadmError, OSError):
        return node.role
    return None


class Storm:
    """Faults one after the other: done, left for a moment, undone, and the pair is healthy again."""

    def __init__(self, lab: Lab, seed: int) -> None:
        self.lab = lab
        self.random = random.Random(seed)  # noqa: S311 - faults, not secrets
        self.busy_until = 0.0
        self.apart = False
        self.checker = Checker(lab, self._is_apart)

    def _is_apart(self) -> bool:
        return self.apart or time.monotonic() < self.busy_until

    def run(self, faults: int, say: Callable[[str], None]) -> None:
        """Raises Failed at the first thing that is wrong."""
        self.wait_healthy("at the beginning")
        self.checker.start()
        try:
            for number in range(1, faults + 1):
                story = self.one()
                took = self.wait_healthy(story)
                if self.checker.found:
                    raise Failed(f"{self.checker.found[0]}, after: {story}\n{self.lab.logs()}")
                say(f"{number}: {story}; healthy after {took:.1f} s")
        finally:
            self.checker.end()

    def one(self) -> str:
        """One fault and its end."""
        primary = next((node for node in self.lab.nodes if node.role == "MASTER"), self.lab.nodes[0])
        node = self.random.choice(self.lab.nodes)
        kinds: dict[str, Callable[[Node], None]] = {
            "power cut": self.power,
            "link down": self.link,
            "partition": self.partition,
            "keepalived killed": self.act("keepalived-kill"),
            "agent killed": self.act("agent-kill"),
            "agent hangs": self.hang,
            "agent ended": self.restart,
            "service killed": self.service,
            "own address gone": self.address,
            "VIP taken away": lambda _: self.vip(primary),
            "switchover": lambda _: self.switchover(primary),
        }
        name = self.random.choice(list(kinds))
        kinds[name](node)
        return f"{name} on {node.hostname} ({'primary' if node is primary else 'standby'})"

    def pause(self) -> None:
        time.sleep(self.random.uniform(0.0, 2.5))

    def act(self, kind: str) -> Callable[[Node], None]:
        def fault(node: Node) -> None:
            with suppress(EscadmError):  # it is being restarted already
                self.lab.fault(kind, node.name)
            self.pause()

        return fault

    def power(self, node: Node) -> None:
        self.lab.fault("power-cut", node.name)
        self.pause()
        self.lab.fault("power-on", node.name)

    def link(self, node: Node) -> None:
        self._apart(lambda: self.lab.fault("link-down", node.name), lambda: self.lab.fault("link-up", node.name))

    def partition(self, _: Node) -> None:
        def all_nodes(kind: str) -> None:
            for node in self.lab.nodes:
                self.lab.fault(kind, node.name)

        self._apart(lambda: all_nodes("partition"), lambda: all_nodes("heal"))

    def hang(self, node: Node) -> None:
        self._apart(lambda: self.lab.fault("agent-hang", node.name), lambda: self.lab.fault("agent-resume", node.name))

    def address(self, node: Node) -> None:
        own, interface = f"{node.address}/{self.lab.network.prefix}", self.lab.network.interface

        def change(word: str) -> None:
            node.exec(["ip", "address", word, own, "dev", interface])

        self._apart(lambda: change("delete"), lambda: change("add"))

    def restart(self, node: Node) -> None:
        self.lab.fault("agent-stop", node.name)
        self.lab.wait_for(lambda: node.agent() is None, HEALS_WITHIN, "the agent's end")
        self.pause()
        self.lab.fault("agent-start", node.name)

    def service(self, node: Node) -> None:
        with suppress(EscadmError):  # it does not run there
            self.lab.fault("service-kill", node.name, self.random.choice(["quick", "slow"]))
        self.pause()

    def vip(self, primary: Node) -> None:
        with suppress(EscadmError):
            self.lab.fault("vip-remove", primary.name)
        self.pause()

    def switchover(self, primary: Node) -> None:
        primary.escadm("switchover", check=False)

    def _apart(self, begin: Callable[[], object], end: Callable[[], object]) -> None:
        self.apart = True
        try:
            begin()
            self.pause()
            end()
        finally:
            self.busy_until = time.monotonic() + BOUND
            self.apart = False

    def wait_healthy(self, story: str) -> float:
        """Until both say that they are; seconds."""
        began = time.monotonic()
        wanted = ["ESC Backup Healthy", "ESC Master Healthy"]

        def healthy() -> bool:
            return sorted(str(node.status()["text"]) for node in self.lab.nodes) == wanted

        self.lab.wait_for(healthy, HEALS_WITHIN, f"a healthy pair, after: {story}")
        return time.monotonic() - began


def main() -> int:
    parser = argparse.ArgumentParser(description="Random faults in a row on one pair.")
    parser.add_argument("--faults", type=int, default=500)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder, Lab(Path(folder) / "lab", config=CONFIG, advert=0.2) as lab:
        storm = Storm(lab, options.seed)
        with lab.client(f"http://{lab.network.vip}:{PORT}/", LOOKS_EVERY) as client:
            try:
                storm.run(options.faults, lambda line: print(line, flush=True))
            except EscadmError as error:
                print(f"seed {options.seed}: {error}", file=sys.stderr)
                return 1
        if (gap := client.longest_gap()) is not None:
            print(f"the client's longest time without an answer: {gap.seconds:.1f} s")
        print(f"{storm.checker.looks} looks; what was seen, and for how long at most:")
        for what, seconds in sorted(storm.checker.longest.items()):
            print(f"  {seconds:4.1f} s  {what}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
