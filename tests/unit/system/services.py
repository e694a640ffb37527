"""Real processes for tests: started by the door that the agent uses, and none left behind."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from escadm.core.specs import ProcessSpec
from escadm.system.process import ProcessId, kill, spawn
from escadm.system.processes import look

LIMIT = 10.0
NUMBERS = itertools.count()


def wait_for(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end, f"in vain: {what}"
        time.sleep(0.005)


@dataclass
class Services:
    """Starts services with marks of their own below ``folder`` and leaves none of them running."""

    folder: Path
    started: list[tuple[str, subprocess.Popen[bytes], ProcessId]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.prefix = f"test-{os.getpid()}-{next(NUMBERS)}:"

    def start(self, *argv: str, name: str = "pgsql", **spec: object) -> tuple[subprocess.Popen[bytes], ProcessId]:
        mark = self.prefix + name
        child, leader = spawn(
            ProcessSpec(argv, **spec),  # type: ignore[arg-type]
            mark=mark,
            log=self.log,
            environment={"FOLDER": str(self.folder)},
        )
        self.started.append((mark, child, leader))
        return child, leader

    def run(self, code: str, *, until: str = "", name: str = "pgsql") -> tuple[subprocess.Popen[bytes], ProcessId]:
        """A service in Python; returns when it has made the file ``until``."""
        child, leader = self.start(sys.executable, "-S", "-c", PRELUDE + code, name=name)
        if until:
            wait_for((self.folder / until).exists, f"{until}: {self.output}")
        return child, leader

    @property
    def log(self) -> Path:
        return self.folder / "log" / "pgsql.log"

    @property
    def output(self) -> str:
        return self.log.read_text()

    def pid(self, name: str) -> int:
        return int((self.folder / name).read_text())

    def sweep(self) -> None:
        for mark, child, leader in self.started:
            wait_for(partial(is_swept, mark, leader), f"the end of {mark}")
            child.wait(LIMIT)


def swept(mark: str, leader: ProcessId) -> list[ProcessId]:
    """What is left after one more SIGKILL for each of them."""
    kill(look().members(mark, leader))
    return look().members(mark, leader)


def is_swept(mark: str, leader: ProcessId) -> bool:
    return not swept(mark, leader)


PRELUDE = """
import os, signal, sys
folder = os.environ["FOLDER"]
def tell(name):
    with open(f"{folder}/{name}.new", "w") as file:
        file.write(str(os.getpid()))
    os.rename(f"{folder}/{name}.new", f"{folder}/{name}")
def rest():
    signal.alarm(30)  # its end, should the code under test not find it
    while True:
        signal.pause()
"""


DAEMON = """
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        tell("daemon")
        rest()
    os._exit(0)
os.wait()
"""


def pids(found: list[ProcessId]) -> set[int]:
    return {process.pid for process in found}


def found(services: Services, leader: ProcessId | None, name: str = "pgsql") -> set[int]:
    return pids(look().members(services.prefix + name, leader))


def mark_of(pid: int) -> str | None:
    """The mark of the process, None without one."""
    return next((mark for mark, pids in look().marks.items() if pid in pids), None)
