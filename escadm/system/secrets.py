"""secrets.env: the product's credentials and settings, which every service gets as variables of its environment."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from escadm.core.environment_file import parse
from escadm.log import get
from escadm.paths import Paths
from escadm.system.files import read as read_text

log = get(__name__)


def read(paths: Paths) -> dict[str, str]:
    """The variables of secrets.env, none where there is no such file. Their values do not show themselves.

    Read as systemd's ``EnvironmentFile=`` does it: what is no ``NAME=VALUE`` is passed over, and said in the log.
    Raises Failed or NotPermitted when the file cannot be read.
    """
    text = read_text(paths.secrets)
    if text is None:
        return {}
    found = parse(text)
    for line in found.stray:
        log.warning("%s:%d: this line is no NAME=VALUE: it is passed over", paths.secrets, line)
    if found.is_open:
        log.warning("%s: a quote is not closed: the last value goes on to the end of the file", paths.secrets)
    if stat.S_IMODE(paths.secrets.stat().st_mode) & 0o077:
        log.warning("%s can be read by others: chmod 600 it", paths.secrets)
    return {**found.variables}


@contextmanager
def changing(paths: Paths) -> Iterator[None]:
    """Let nobody else change secrets.env meanwhile; whoever else asks waits. Clears away what a power cut has left."""
    folder = paths.secrets.parent
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        for unfinished in folder.glob(f".{paths.secrets.name}.*"):
            unfinished.unlink()
        yield
    finally:
        os.close(descriptor)
