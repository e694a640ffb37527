"""An agent with many services beside many processes of others: how long its loop stands, and what a service costs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from escadm.paths import Paths
from tests.benchmarks.table import print_table

HERE = Path(__file__).resolve().parent
MEMORY = "/dev/shm"
"""The agent's files are in memory on a machine that systemd has booted (/run)."""
FOREIGN = 600
SIZES = (40, 200, 500)
PATIENCE = 600.0
HEALTHY = "ESC Standalone Healthy"
STOPPED = "ESC Stopped"


@dataclass(frozen=True)
class Phase:
    """What a start or a stop took. ``work``: the longest piece of work of the loop; ``age``: the oldest beat; each by
    the clock and in the loop's processor time. ``cpu``: all that the agent used.
    """

    name: str
    seconds: float
    work: float
    work_cpu: float
    age: float
    age_cpu: float
    cpu: float


class Agent:
    """``escadm agent`` with so many services that only sleep, measured from its first beat on."""

    def __init__(self, folder: Path, services: int) -> None:
        self.paths = Paths(folder / "root")
        self._report = folder / "report"
        self._program = [sys.executable, str(HERE / "measured_agent.py"), str(self._report)]
        self.paths.config.parent.mkdir(parents=True)
        lines = [f"  s{number:03}: {{command: sleep infinity}}\n" for number in range(services)]
        self.paths.config.write_text("".join(["resources:\n", *lines]))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until all services run."""
        self._report.touch()
        argv = [*self._program, "--root", str(self.paths.root), "agent"]
        self._process = subprocess.Popen(argv, cwd=HERE.parent.parent, stderr=subprocess.DEVNULL)
        self._wait(lambda: self._text() == HEALTHY)

    def ask(self, verb: str) -> None:
        """Have a command carried out, also where it has lost its patience with an agent that does not answer."""
        argv = [sys.executable, "-m", "escadm", "--root", str(self.paths.root), verb]
        subprocess.run(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False, timeout=PATIENCE)
        self._wait(lambda: self._text() == (STOPPED if verb == "stop" else HEALTHY))

    def end(self) -> None:
        """SIGTERM, and wait until it has ended."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait(PATIENCE)

    def kill(self) -> None:
        """The end of whatever is left of it and its services."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if f"ESCADM_UNIT={self.paths.run}:".encode() in (process / "environ").read_bytes():
                    os.kill(int(process.name), signal.SIGKILL)

    def phase(self, name: str, act: Callable[[], None]) -> Phase:
        """Do it, and tell what it took, up to the first beat after it."""
        began, before = time.monotonic(), self._beats()
        act()
        ended = time.monotonic()
        if self._process is not None and self._process.poll() is None:
            self._wait(lambda: self._beats()[-1:] and self._beats()[-1]["at"] > ended)
        beats = self._beats()
        during = [beat for beat in beats if beat["at"] > began] or beats[-1:]
        most = {key: max(beat[key] for beat in during) for key in ("work", "work_cpu", "age", "age_cpu")}
        used = beats[-1]["cpu"] - (before[-1]["cpu"] if before else 0.0)
        return Phase(name, ended - began, cpu=used, **most)

    def _beats(self) -> list[dict[str, float]]:
        lines = self._report.read_text().splitlines(keepends=True) if self._report.exists() else []
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def _text(self) -> str:
        try:
            return str(json.loads(self.paths.status.read_text())["text"])
        except FileNotFoundError:
            return ""

    def _wait(self, condition: Callable[[], object]) -> None:
        end = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > end or self._process is None or self._process.poll() is not None:
                raise AssertionError(f"in vain: {self._text()}")
            time.sleep(0.05)


@contextmanager
def agent_of(services: int) -> Iterator[Agent]:
    """An agent that ends with its services, and its files with it."""
    with TemporaryDirectory(dir=MEMORY if Path(MEMORY).is_dir() else None) as folder:
        agent = Agent(Path(folder), services)
        try:
            yield agent
            agent.end()
        finally:
            agent.kill()


@contextmanager
def foreign_processes(number: int) -> Iterator[None]:
    """Processes that are nobody's business."""
    script = f"for i in $(seq {number}); do sleep infinity & done; echo ready; wait"
    shell = subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, start_new_session=True)
    assert shell.stdout is not None
    shell.stdout.readline()
    try:
        yield
    finally:
        os.killpg(shell.pid, signal.SIGKILL)
        shell.wait()
        shell.stdout.close()


def phases_of(services: int) -> list[Phase]:
    """Start, stop, start, restart and end of one agent."""
    with agent_of(services) as agent:
        found = [agent.phase("begin", agent.start)]
        found += [agent.phase(verb, lambda verb=verb: agent.ask(verb)) for verb in ("stop", "start", "restart")]  # type: ignore[misc]
        return [*found, agent.phase("end", agent.end)]


def run(repetitions: int, sizes: Sequence[int] = SIZES) -> None:
    """Measure each size so often and print the worst of each figure."""
    print(f"one agent beside {FOREIGN} processes of others, the worst of {repetitions}; lag in seconds, by the clock")
    print("and in processor time: the longest piece of work of the loop, the oldest beat")
    rows = [["", "services", "seconds", "work", "(cpu)", "beat", "(cpu)", "ms cpu per service"]]
    with foreign_processes(FOREIGN):
        for services in sizes:
            rounds = [phases_of(services) for _ in range(repetitions)]
            for same in zip(*rounds, strict=True):
                figures = [max(getattr(phase, key) for phase in same) for key in _FIGURES]
                cpu = max(phase.cpu for phase in same) / services * 1000
                rows.append([same[0].name, str(services), *(f"{each:.2f}" for each in figures), f"{cpu:.2f}"])
    print_table(rows)


_FIGURES = ("seconds", "work", "work_cpu", "age", "age_cpu")
