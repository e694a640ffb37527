"""Who may use the machines' image and saved states now; tests/cache.py keeps them between runs."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager

from escadm.errors import Failed
from tests.cache import key, made, remove, root

__all__ = ["key", "locked", "made", "remove", "root"]

WAIT = 1800.0


@contextmanager
def held(name: str) -> Iterator[None]:
    """Nobody else makes or removes what has this name meanwhile: waits for its turn."""
    root().mkdir(parents=True, exist_ok=True)
    with (root() / f"lock-{name}").open("w") as file:
        end = time.monotonic() + WAIT
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    raise Failed(f"cannot use {root()}: another run has had it for {WAIT:g} s") from None
                time.sleep(0.5)
        for stale in root().glob("run-*"):  # of a run that was killed
            remove(stale)
        yield
