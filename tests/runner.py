"""``python -m tests.runner [PYTEST ARGUMENTS]``: those tests, or all tests on both releases, in lanes; see tests/run.

The lanes run beside each other: the quick suites, here and then in the other release's system, mostly compute; the
virtual machines mostly wait.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.releases import HERE, OTHER, PYTHON, TREE, entering

# those that wait the longest come first
QUICK = (
    "tests/lab",
    "tests/test_demo.py",
    "tests/packaging",
    "tests/cli",
    "tests/engines",
    "tests/golden",
    "tests/test_quality.py",
    "tests/unit",
)
HERE_ALONE = ("tests/model",)
"""A search over values: another release's Python would find the same."""
WORKERS = ("-n", "auto", "--dist", "loadfile", "--no-loadscope-reorder")
# the longest come first, one by one: tests/vm/conftest.py
MACHINES = ("-n", "4", "--dist", "load", "--maxschedchunk", "1")
ALONE_PARALLEL = {
    **dict.fromkeys(("tests/unit", "tests/engines", "tests/golden", "tests/cli"), WORKERS),
    "tests/vm": MACHINES,
}
SLOWEST = 10


@dataclass
class Phase:
    """One run of pytest, on one release."""

    name: str
    release: str
    arguments: Sequence[str]
    folder: Path
    seconds: float = 0.0
    code: int = -1
    tests: list[dict[str, Any]] = field(default_factory=list)

    def run(self) -> None:
        """Returns when it has ended; what it says is in a file, what it found in ``tests``."""
        say(f"{self.name}: begins; what it says is in {self.log}")
        begin = time.monotonic()
        report = self.folder / f"{self.name}.json"
        argv = [PYTHON, "-m", "pytest", "-q", "-p", "tests.report", "--report", str(report), *self.arguments]
        with self.log.open("wb") as log:
            try:
                entered = entering(self.release, argv, share=[self.folder])
            except Exception as error:  # the lane has failed, and the other one goes on
                log.write(f"{error}\n".encode())
                return
            with subprocess.Popen(
                ["setpriv", "--pdeathsig", "INT", *entered],
                cwd=TREE,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            ) as process:
                RUNNING.append(process)
                self.code = process.wait()
        self.seconds = time.monotonic() - begin
        self.tests = json.loads(report.read_text()) if report.exists() else []
        say(f"{self.name}: {len(self.tests)} tests in {self.seconds:.0f} s, exit code {self.code}")

    @property
    def log(self) -> Path:
        return self.folder / f"{self.name}.log"

    @property
    def is_good(self) -> bool:
        return self.code == 0 and bool(self.tests)

    def summary(self) -> str:
        """What pytest says after its dots; all of it where it has not come that far."""
        text = self.log.read_text(errors="replace")
        if self.code not in (0, 1):
            return text
        begin = text.find("\n====")
        return text[begin + 1 :] if begin >= 0 else ""


RUNNING: list[subprocess.Popen[bytes]] = []


def say(text: str) -> None:
    print(text, flush=True)


def run_all() -> int:
    """All tests; the exit code."""
    for number in (signal.SIGINT, signal.SIGTERM):  # what begins in the background has the first one ignored
        signal.signal(number, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="escadm-tests-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        quick = [
            Phase(f"quick-{HERE}", HERE, [*WORKERS, *HERE_ALONE, *QUICK], folder),
            Phase(f"quick-{OTHER}", OTHER, [*WORKERS, *QUICK], folder),
        ]
        machines = [Phase("machines", HERE, [*MACHINES, "tests/vm"], folder)]
        lanes = (quick, machines)
        pool = ThreadPoolExecutor(len(lanes))
        try:
            for lane in [pool.submit(_run_lane, lane) for lane in lanes]:
                lane.result()
        except KeyboardInterrupt:
            _interrupted()
            shutil.rmtree(folder, ignore_errors=True)
            os._exit(130)  # the lanes' threads would go on to their next phase
        return _tell([*quick, *machines])


def _run_lane(phases: Sequence[Phase]) -> None:
    for phase in phases:
        phase.run()


def _interrupted() -> None:
    """Everything that was started cleans up and ends."""
    for process in RUNNING:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
    for process in RUNNING:
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
    say("interrupted")


def _tell(phases: Sequence[Phase]) -> int:
    for phase in phases:
        if summary := phase.summary():
            say(f"\n--- {phase.name}\n{summary.rstrip()}")
    tests = [test for phase in phases for test in phase.tests]
    say(f"\nthe {SLOWEST} slowest tests:")
    for test in sorted(tests, key=lambda test: -float(test["seconds"]))[:SLOWEST]:
        say(f"{test['seconds']:8.1f} s  {test['release']}  {test['test']}")
    say("")
    for phase in phases:
        say(f"{phase.name}: {phase.seconds:.0f} s")
    for release in (HERE, OTHER):
        say(f"{release}: {_counted([test for test in tests if test['release'] == release])}")
    good = all(phase.is_good for phase in phases)
    if not good and not any(test["outcome"] == "failed" for test in tests):
        say("a lane has failed as a whole: see above")
    say(f"all: {_counted(tests)}")
    return 0 if good else 1


def _counted(tests: Sequence[dict[str, Any]]) -> str:
    count = Counter(str(test["outcome"]) for test in tests)
    words = f"{count['passed']} passed, {count['failed']} failed"
    return words + (f", {count['skipped']} skipped" if count["skipped"] else "")


def run_some(arguments: Sequence[str]) -> int:
    """Those alone, here; a whole suite that waits a lot in several processes."""
    workers = next((ALONE_PARALLEL[word.rstrip("/")] for word in arguments if word.rstrip("/") in ALONE_PARALLEL), ())
    os.execv(sys.executable, [sys.executable, "-m", "pytest", *workers, *arguments])  # noqa: S606


if __name__ == "__main__":
    sys.exit(run_some(sys.argv[1:]) if sys.argv[1:] else run_all())
