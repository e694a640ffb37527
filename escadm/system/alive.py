"""Whether the agent lives: the lock that it holds, and the sign of life that it gives."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import struct
import time
from pathlib import Path

from escadm.errors import Failed

# struct flock of 64-bit Linux: type, whence, start, length, pid (native alignment, padded at the end)
_FLOCK = struct.Struct("hhqqi0q")


def acquire(lock: Path) -> int:
    """Take the agent's lock and write our pid into its file; the caller keeps the descriptor for its whole life.

    It is a POSIX record lock: children do not inherit it, and it ends with the process, however that ends. It
    would also end if this process closed any other descriptor of the file: never call :func:`holder` for a lock
    of our own. Raises Failed when another agent has it.
    """
    lock.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if not isinstance(error, BlockingIOError | PermissionError):
            raise
        raise Failed(
            f"another agent is running (pid {holder(lock)})", "stop it first with: service esc_service stop"
        ) from None
    os.fchmod(descriptor, 0o644)
    pid = f"{os.getpid()}\n".encode()
    os.pwrite(descriptor, pid, 0)  # over what is there, not after dropping it: a full /run would give no new room
    os.ftruncate(descriptor, len(pid))
    return descriptor


def holder(lock: Path) -> int | None:
    """The pid of the process that holds the lock, or None; takes nothing and needs only to read the file.

    The kernel names the process; where it lives in another pid namespace (0), the file's text does.
    """
    try:
        descriptor = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        question = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        kind, _, _, _, pid = _FLOCK.unpack(fcntl.fcntl(descriptor, fcntl.F_GETLK, question))
        if kind == fcntl.F_UNLCK:
            return None
        return int(pid) or _written_pid(os.pread(descriptor, 32, 0))
    finally:
        os.close(descriptor)


def _written_pid(text: bytes) -> int:
    with contextlib.suppress(ValueError):
        return int(text)
    return 0


def is_stopped(pid: int) -> bool:
    """Whether the process is stopped by a signal (SIGSTOP, ^Z, a debugger), so that it lives but does nothing."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return False
    return stat.rpartition(b")")[2].split()[0] in (b"T", b"t")


def command_line(pid: int) -> list[str]:
    """The words that the process was started with (/proc/PID/cmdline), none when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").split("\0")
    except OSError:
        return []


def identity() -> dict[str, object]:
    """What an agent adds to the snapshot that it publishes, so that a reader knows whose word it is."""
    return {"agent": {"pid": os.getpid(), "boot_id": boot_id()}}


@functools.cache
def boot_id() -> str:
    """The kernel's name for this boot of the machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def write_beat(path: Path) -> None:
    """Leave the boot-time clock's reading as a sign of life. One short write: a reader never sees half of it."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        os.pwrite(descriptor, b"%020.6f\n" % time.clock_gettime(time.CLOCK_BOOTTIME), 0)
    finally:
        os.close(descriptor)


def beat_age(path: Path) -> float | None:
    """Seconds since the last sign of life; None when there is none of this boot."""
    try:
        written = float(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - written
    return max(age, 0.0) if age > -0.001 else None
