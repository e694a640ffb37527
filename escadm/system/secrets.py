"""secrets.env: the product's credentials and settings, which every service gets as variables of its environment."""

from __future__ import annotations

import fcntl
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from escadm.core.environment_file import EnvironmentFile, parse
from escadm.core.specs import ProcessSpec
from escadm.log import get
from escadm.paths import Paths
from escadm.system.files import read as read_text

LOADER = "LD_"
SECRET = re.compile(r"PASS|SECRET|TOKEN|CREDENTIAL|KEY", re.IGNORECASE)

log = get(__name__)


def read(paths: Paths, *, tell: bool = False) -> dict[str, str]:
    """The variables of secrets.env, none where there is no such file. Their values do not show themselves.

    Read as systemd's ``EnvironmentFile=`` does it: what is no ``NAME=VALUE`` is passed over; ``tell``: said in the log.
    Those for the dynamic loader (``LD_…``) are passed over as well: they go over a command line, which everybody sees.
    Raises Failed or NotPermitted when the file cannot be read.
    """
    text = read_text(paths.secrets)
    if text is None:
        return {}
    found = parse(text)
    taken: dict[str, str] = {name: each for name, each in found.variables.items() if not name.startswith(LOADER)}
    if tell:
        _tell(paths.secrets, found, found.variables.keys() - taken.keys())
    return taken


def _tell(file: Path, found: EnvironmentFile, left_out: Iterable[str]) -> None:
    for line in found.stray:
        log.warning("%s:%d: this line is no NAME=VALUE: it is passed over", file, line)
    for name in sorted(left_out):
        log.warning("%s: %s is passed over: it belongs into `environment` of a resource", file, name)
    if found.is_open:
        log.warning("%s: a quote is not closed: the last value goes on to the end of the file", file)
    if stat.S_IMODE(file.stat().st_mode) & 0o077:
        log.warning("%s can be read by others: chmod 600 it", file)


def with_secrets(spec: ProcessSpec, variables: Mapping[str, str]) -> ProcessSpec:
    """The service with these variables too; its own settings go before them."""
    return replace(spec, environment=(*variables.items(), *spec.environment))


def hidden(text: str, variables: Mapping[str, str]) -> str:
    """What a service's command has said, without the values of the variables that sound secret."""
    values = {"".join(each) for name, each in variables.items() if SECRET.search(name)}
    for value in sorted(values, key=len, reverse=True):
        text = text.replace(value, "***") if value else text
    return text


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
