"""A node in the loop of a test: real processes, files and sockets below a folder, and nothing left behind.

For tests of time and faults a unit may have a driver of the test's own; see Scripted.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Collection, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from escadm.agent.drivers.driver import Driver, Post, Tools
from escadm.agent.drivers.probing import mark_prefix
from escadm.agent.inputs.drbd_events import ReplicaFeed
from escadm.agent.inputs.looks import Looks
from escadm.agent.inputs.vrrp_fifo import RoleFeed
from escadm.agent.node import Node
from escadm.agent.outputs.memory import Memory
from escadm.core.drbd.state import may_promote
from escadm.core.graph import start_order
from escadm.core.lifecycle import Event
from escadm.core.plan import Plan, Unit
from escadm.core.probes import Alive, Probe
from escadm.core.specs import Kind, ProcessSpec
from escadm.paths import Paths
from escadm.system.process import kill
from escadm.system.processes import look

LIMIT = 60.0
"""A test that waits for so long has failed; nothing takes a noticeable part of it, however busy the machine is."""
SLEEP = ("sleep", "600")
LOOPBACK = f"127.{os.getpid() // 254 % 254 + 1}.{os.getpid() % 254 + 1}."
"""Addresses that no other test has at the same time: their ports are one process's alone."""
QUICK = Alive(0.01)


def run(work: Coroutine[Any, Any, None]) -> None:
    """The test as the main task of a loop. An error that only the loop has heard of fails it as well."""
    heard: list[dict[str, Any]] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: heard.append(context))
        async with asyncio.timeout(LIMIT * 2):
            await work

    asyncio.run(main())
    assert not heard, heard


async def wait_for(condition: Callable[[], object], what: str = "") -> None:
    try:
        async with asyncio.timeout(LIMIT):
            while not condition():  # noqa: ASYNC110  (what is waited for may lie outside of the loop)
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"in vain: {what or 'a condition'}") from None


def unit(name: str, *argv: str, needs: tuple[str, ...] = (), ready: Probe = QUICK, **more: Any) -> Unit:
    """A service; ``sleep`` where no command is given."""
    spec = more.pop("spec", ProcessSpec(argv or SLEEP))
    return Unit(name, more.pop("kind", Kind.PROCESS), needs, spec, ready=ready, **more)


def python(name: str, code: str, **more: Any) -> Unit:
    """A service in Python."""
    return unit(name, sys.executable, "-S", "-c", code, **more)


def plan(*units: Unit) -> Plan:
    """A plan in start order."""
    named = {each.name: each for each in units}
    return Plan({name: named[name] for name in start_order({each.name: each.needs for each in units})})


@asynccontextmanager
async def node_of(paths: Paths, planned: Plan, memory: Memory | None = None) -> AsyncIterator[Node]:
    """A node that goes down in order at the end, whatever happened."""
    node = Node(paths, planned, memory or Memory())
    node.turns.wake()
    try:
        yield node
    finally:
        await node.stop_for_good()
        node.end()


def sweep(paths: Paths) -> None:
    """No service of this root survives its test."""
    for name, leader in look().leaders(mark_prefix(paths)).items():
        while left := look().members(mark_prefix(paths) + name, leader):
            kill(left)


def status(paths: Paths) -> dict[str, Any]:
    """The published snapshot."""
    found: dict[str, Any] = json.loads(paths.status.read_text())
    return found


def state_file(paths: Paths) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(paths.state.read_text())
    return found


def tools(paths: Paths, **more: Any) -> Tools:
    """What a driver works with when no node is around it."""
    made = Tools(
        paths,
        Looks(scoped=paths.is_host),
        RoleFeed(paths, lambda _: None),
        ReplicaFeed(lambda _: None),
        may_promote,
        lambda: None,
    )
    return replace(made, **more)


class Scripted(Driver):
    """A driver that does as it is told: each verb posts what ``answers`` has for it, after so many seconds."""

    def __init__(self, post: Post, answers: dict[str, tuple[float, Event, str] | None], told: list[str]) -> None:
        self.leader = None
        self.post = post
        self.answers = answers
        self.told = told
        self.doubts = ""

    @property
    def doubt(self) -> str:
        return self.doubts

    def start(self) -> None:
        self._do("start")

    def terminate(self) -> None:
        self._do("terminate")

    def kill(self) -> None:
        self._do("kill")

    async def reload(self, written: Collection[str]) -> None:
        self.told.append(f"reload {', '.join(written)}")

    def _do(self, verb: str) -> None:
        self.told.append(verb)
        answer = self.answers.get(verb)
        if answer is not None:
            delay, event, reason = answer
            asyncio.get_running_loop().call_later(delay, self.post, event, reason)


OBEDIENT: dict[str, tuple[float, Event, str] | None] = {
    "start": (0.0, Event.READY, ""),
    "terminate": (0.0, Event.GONE, ""),
    "kill": (0.0, Event.GONE, ""),
}


class ScriptedNode(Node):
    """A node whose drivers are the test's: ``drivers_of(unit, post)``."""

    def __init__(self, paths: Paths, planned: Plan, drivers_of: Callable[[Unit, Post], Driver]) -> None:
        self._drivers_of = drivers_of
        super().__init__(paths, planned, Memory())

    def make_driver(self, unit: Unit, post: Post) -> Driver:
        return self._drivers_of(unit, post)


def descriptors() -> set[str]:
    """The descriptors of this process, each with what it is."""
    found = set()
    for each in Path("/proc/self/fd").iterdir():
        try:
            found.add(f"{each.name} {each.readlink()}")
        except OSError:  # the one of this very listing
            continue
    return found


class Events:
    """DRBD's events as a shell script tells them, and the listeners that were started to it."""

    def __init__(self) -> None:
        self.script = "echo exists -; exec sleep 600"
        self.listeners: list[subprocess.Popen[bytes]] = []

    def open_events(self) -> subprocess.Popen[bytes]:
        made = subprocess.Popen(
            ["sh", "-c", self.script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        assert made.stdin is not None
        made.stdin.close()
        self.listeners.append(made)
        return made
