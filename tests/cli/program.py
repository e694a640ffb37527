"""The real program as a process, on a pipe or on a terminal, as root or as nobody."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
ANSI = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
PROGRAM = [sys.executable, "-m", "escadm"]
# All of it is imported before the rights are given up: the checkout may lie where only root can read.
AS_NOBODY = """
import importlib, os, pkgutil, sys
import escadm
for module in pkgutil.walk_packages(escadm.__path__, "escadm."):
    if module.name != "escadm.__main__":
        importlib.import_module(module.name)
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
escadm.cli.app.main()
"""


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    code: int
    out: str
    err: str = ""


def environment(**extra: str) -> dict[str, str]:
    """A plain environment: nothing of the tester's own terminal or root gets in."""
    base = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "LANG": "C.UTF-8", "TERM": "xterm-256color"}
    return base | extra


def escadm(*arguments: str | Path, nobody: bool = False, **extra: str) -> Outcome:
    """Run ``escadm ARGUMENTS`` with its output in pipes; ``extra`` is added to the environment."""
    command = [sys.executable, "-c", AS_NOBODY] if nobody else PROGRAM
    done = subprocess.run(
        [*command, *map(str, arguments)], capture_output=True, text=True, timeout=60, env=environment(**extra), cwd="/"
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


def on_terminal(*arguments: str | Path, columns: int = 80, **extra: str) -> Outcome:
    """Run ``escadm ARGUMENTS`` on a terminal; what it shows, escape codes included."""
    leader, follower = pty.openpty()
    size = {"COLUMNS": str(columns), "LINES": "40"}
    process = subprocess.Popen(
        [*PROGRAM, *map(str, arguments)],
        stdin=follower, stdout=follower, stderr=subprocess.PIPE, env=environment(**size) | extra, cwd="/",
    )  # fmt: skip
    os.close(follower)
    shown = b"".join(_blocks(leader))
    os.close(leader)
    _, err = process.communicate(timeout=60)
    return Outcome(process.returncode, shown.decode().replace("\r\n", "\n"), err.decode())


def _blocks(descriptor: int) -> Iterator[bytes]:
    while True:
        try:
            block = os.read(descriptor, 65536)
        except OSError:  # the terminal's end
            return
        if not block:
            return
        yield block


@contextmanager
def background(*arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
    """``escadm ARGUMENTS`` going on; ended with SIGKILL if it does not end by itself.

    It hears Ctrl-C also where the tests run in a shell's background, which ignores it.
    """
    process = subprocess.Popen(
        ["env", "--default-signal=INT", *PROGRAM, *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(), cwd="/",
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def plain(text: str) -> str:
    """What is left without the escape codes."""
    return ANSI.sub("", text)


@contextmanager
def agent(root: Path, document: object = None, **options: object) -> Iterator[int]:
    """A stand-in for the agent below ``root``: holds the lock, publishes ``document``, beats, answers. Its pid.

    ``answers``: what it sends to each request, in place of an end without a word. ``beat`` False: it gives no sign
    of life.
    """
    order = json.dumps({"document": document, "beat": True, "answers": None, **options})
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("agent.py")), str(root), order],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        yield process.pid
    finally:
        process.kill()
        process.communicate()


def stop_process(pid: int) -> None:
    """Have the process stopped, and wait until it is."""
    os.kill(pid, signal.SIGSTOP)
    limit = time.monotonic() + 5
    while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
        assert time.monotonic() < limit
        time.sleep(0.01)
