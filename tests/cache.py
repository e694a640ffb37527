"""What the tests build once and keep: directories below escadm-vm in $XDG_CACHE_HOME or ~/.cache."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from escadm.errors import Failed

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
    shutil.rmtree(directory)


def made(kind: str, name: str, make: Callable[[Path], None], kept: float = KEPT) -> Path:
    """The directory KIND-NAME, filled by ``make`` if it is not there; others unused for ``kept`` seconds go.

    Who comes while another process makes one of this kind waits for it.
    """
    target = root() / f"{kind}-{name}"
    root().mkdir(parents=True, exist_ok=True)
    with (root() / f"{kind}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if target.is_dir():
            os.utime(target)
            return target
        for stale in root().glob(f"making-{kind}-*"):  # of a run that was killed
            remove(stale)
        with tempfile.TemporaryDirectory(dir=root(), prefix=f"making-{kind}-") as folder:
            make(Path(folder))
            for other in root().glob(f"{kind}-*"):
                if time.time() - other.stat().st_mtime > kept:
                    remove(other)
            Path(folder).chmod(0o755)
            Path(folder).rename(target)
            Path(folder).mkdir()  # what TemporaryDirectory removes at its end
    return target
