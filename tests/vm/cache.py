"""What is made once and kept between runs: by whoever needs it first, while the others wait for it."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from escadm.errors import Failed

WAIT = 1800.0
KEPT = 7 * 86400.0
"""Several work trees may share the cache; what none of them has used for so long is outdated."""


def root() -> Path:
    """The directory of the cache: escadm-vm in $XDG_CACHE_HOME or ~/.cache."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "escadm-vm"


def key(*parts: str | bytes) -> str:
    """A short name for everything that a cached thing was made of."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(b"%d:" % len(data) + data)
    return digest.hexdigest()[:16]


def remove(directory: Path) -> None:
    """Remove a directory of the cache; Failed, with nothing touched, if anything is mounted in it."""
    below = f"{directory.resolve()}/"
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    if mounted := [point for point in points if f"{point}/".startswith(below)]:
        raise Failed(f"cannot remove {directory}: something is mounted there", f"umount {' '.join(reversed(mounted))}")
    with suppress(FileNotFoundError):  # the rack of machines removes its own
        shutil.rmtree(directory)


@contextmanager
def held(name: str, patience: float = WAIT) -> Iterator[None]:
    """Nobody else makes or removes what has this name meanwhile: waits for its turn, Failed after ``patience``."""
    root().mkdir(parents=True, exist_ok=True)
    with (root() / f"lock-{name}").open("w") as file:
        end = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    raise Failed(f"cannot use {root()}: another run has had {name} for {patience:g} s") from None
                time.sleep(0.1)
        yield


@contextmanager
def folder(prefix: str) -> Iterator[Path]:
    """A new directory that is removed at the end, and later by others if this process has no time for that."""
    root().mkdir(parents=True, exist_ok=True)
    with held("folders"):
        for stale in root().glob(f"{prefix}-*"):
            if is_free(stale):
                remove(stale)
        made = Path(tempfile.mkdtemp(dir=root(), prefix=f"{prefix}-"))
        owner = os.open(made, os.O_RDONLY | os.O_CLOEXEC)
        fcntl.flock(owner, fcntl.LOCK_EX)
    try:
        yield made
    finally:
        os.close(owner)
        shutil.rmtree(made, ignore_errors=True)


def is_free(directory: Path) -> bool:
    """Whether the process that made the directory lives no more, and has left it."""
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def path(kind: str, name: str) -> Path:
    """Where :func:`made` has it."""
    return root() / f"{kind}-{name}"


def made(kind: str, name: str, make: Callable[[Path], None], kept: float = KEPT) -> Path:
    """The directory KIND-NAME, filled by ``make`` if it is not there; others unused for ``kept`` seconds go."""
    target = path(kind, name)
    with held(target.name):
        if target.is_dir():
            os.utime(target)
            return target
        with folder("new") as outer:
            inner = outer / target.name
            inner.mkdir()
            make(inner)
            inner.rename(target)
    for other in root().glob(f"{kind}-*"):
        with suppress(FileNotFoundError, Failed), held(other.name, 0.0):  # whoever uses it now keeps it
            if time.time() - other.stat().st_mtime > kept:
                remove(other)
    return target
