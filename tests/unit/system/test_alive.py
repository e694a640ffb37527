"""The agent's lock and its sign of life."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from escadm.errors import Failed
from escadm.system import alive

HOLD = """
import sys, pathlib, subprocess
from escadm.system import alive
alive.acquire(pathlib.Path(sys.argv[1]))
child = subprocess.Popen(["sleep", "60"], close_fds=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
print(child.pid, flush=True)
sys.stdin.read()
"""


@contextmanager
def held(lock: Path) -> Iterator[tuple[int, int]]:
    """Another process that holds ``lock``, with a child: their pids."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    child = int(process.stdout.readline())
    try:
        yield process.pid, child
    finally:
        process.kill()
        process.communicate()
        os.kill(child, signal.SIGKILL)


def wait_for_state(pid: int, stopped: bool) -> None:
    limit = time.monotonic() + 5
    while alive.is_stopped(pid) is not stopped:
        assert time.monotonic() < limit
        time.sleep(0.01)


def test_nobody_holds_a_lock_that_is_not_there(tmp_path: Path) -> None:
    assert alive.holder(tmp_path / "agent.lock") is None


def test_nobody_holds_a_file_that_is_merely_there(tmp_path: Path) -> None:
    lock = tmp_path / "agent.lock"
    lock.write_text("1\n")
    assert alive.holder(lock) is None


def test_the_holder_is_told_and_a_second_agent_refused(tmp_path: Path) -> None:
    lock = tmp_path / "run" / "agent.lock"
    with held(lock) as (pid, _):
        assert alive.holder(lock) == pid
        assert lock.read_text() == f"{pid}\n"
        with pytest.raises(Failed) as caught:
            alive.acquire(lock)
        assert caught.value.message == f"another agent is running (pid {pid})"


def test_the_lock_ends_with_the_agent_and_not_with_its_children(tmp_path: Path) -> None:
    lock = tmp_path / "agent.lock"
    with held(lock) as (pid, child):
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        os.kill(child, 0)
        assert alive.holder(lock) is None


def test_the_lock_is_readable_by_everyone_whatever_the_umask(tmp_path: Path) -> None:
    lock = tmp_path / "agent.lock"
    lock.write_text("12345678901\n")
    lock.chmod(0o600)
    before = os.umask(0o077)
    try:
        descriptor = alive.acquire(lock)
    finally:
        os.umask(before)
    os.close(descriptor)
    assert lock.stat().st_mode & 0o777 == 0o644
    assert lock.read_text() == f"{os.getpid()}\n"


def test_a_stopped_process_is_seen(tmp_path: Path) -> None:
    with held(tmp_path / "agent.lock") as (pid, _):
        assert not alive.is_stopped(pid)
        os.kill(pid, signal.SIGSTOP)
        wait_for_state(pid, True)
        os.kill(pid, signal.SIGCONT)
        wait_for_state(pid, False)


def test_a_process_that_is_gone_is_not_stopped() -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    assert not alive.is_stopped(process.pid)


def test_the_beat_tells_its_age(tmp_path: Path) -> None:
    beat = tmp_path / "beat"
    assert alive.beat_age(beat) is None
    alive.write_beat(beat)
    age = alive.beat_age(beat)
    assert age is not None
    assert 0 <= age < 5
    beat.write_text(f"{time.clock_gettime(time.CLOCK_BOOTTIME) - 12}\n")
    alive.write_beat(beat)
    later = alive.beat_age(beat)
    assert later is not None
    assert later < 5


@pytest.mark.parametrize("text", ["", "soon", "99999999999.0"])
def test_a_beat_of_another_boot_or_garbage_is_none(tmp_path: Path, text: str) -> None:
    beat = tmp_path / "beat"
    beat.write_text(text)
    assert alive.beat_age(beat) is None


def test_identity_names_this_process_and_this_boot() -> None:
    assert alive.identity() == {"agent": {"pid": os.getpid(), "boot_id": alive.boot_id()}}
