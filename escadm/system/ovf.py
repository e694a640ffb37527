"""Where a machine finds its OVF environment: VMware's guestinfo, a CD-ROM, or a file that is named."""

from __future__ import annotations

import errno
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from escadm.core.ovf import LARGEST
from escadm.core.problem import Problem, Where
from escadm.errors import Failed, InvalidEnvironment, NotPermitted
from escadm.paths import Paths
from escadm.system.iso9660 import read_file
from escadm.system.run import ANY_CODE, Run, environment

NAME = "ovf-env.xml"
TOOL = "vmtoolsd"
GUESTINFO = "guestinfo.ovfEnv"
WITHIN = 30.0
STDIN = "-"
DEVICES = ("sr[0-9]*", "hd[a-z]", "xvd[a-z]")
NO_MEDIUM = (errno.ENOMEDIUM, errno.ENXIO, errno.ENODEV)
NO_VALUE = ("no value found", "virtual machine")
"""What vmtoolsd says, in small letters, where there is no such value, or no VMware below."""


@dataclass(frozen=True, slots=True)
class Document:
    """An OVF environment as it was found: its bytes, and the name of where it comes from."""

    data: bytes
    origin: str
    encoding: str | None = None

    def __repr__(self) -> str:
        return f"Document({self.origin!r}, {len(self.data)} bytes)"


@dataclass(frozen=True, slots=True)
class Search:
    """What was found, None = nothing; ``warnings``: places that could not be looked into."""

    document: Document | None
    warnings: tuple[str, ...] = ()


def find(paths: Paths, run: Run) -> Search:
    """The environment of this machine: what vmtoolsd has, else what a CD-ROM has. Below a root: its CD-ROMs alone."""
    warnings: list[str] = []
    if paths.is_host and shutil.which(TOOL, path=environment()["PATH"]):
        found = _guestinfo(run, warnings)
        if found is not None:
            return Search(found, tuple(warnings))
    for device in sorted(each for pattern in DEVICES for each in paths.below("/dev").glob(pattern)):
        found = _on_disc(device, warnings)
        if found is not None:
            return Search(found, tuple(warnings))
    return Search(None, tuple(warnings))


def from_file(name: str) -> Document:
    """The environment in a file, or on stdin for ``-``. No more of it is read than may be taken."""
    if name == STDIN:
        try:
            with os.fdopen(os.dup(0), "rb") as stdin:
                return Document(stdin.read(LARGEST + 1), "<stdin>")
        except OSError as error:
            raise Failed(f"cannot read stdin: {(error.strerror or str(error)).lower()}") from None
    try:
        with Path(name).open("rb") as file:
            return Document(file.read(LARGEST + 1), name)
    except PermissionError:
        raise NotPermitted(f"cannot read {name}: permission denied", "try again with sudo") from None
    except OSError as error:
        raise Failed(f"cannot read {name}: {(error.strerror or str(error)).lower()}") from None


def _guestinfo(run: Run, warnings: list[str]) -> Document | None:
    done = run([TOOL, "--cmd", f"info-get {GUESTINFO}"], timeout=WITHIN, ok=ANY_CODE)
    if done.code != 0:
        if not any(words in (done.stdout + done.stderr).lower() for words in NO_VALUE):
            warnings.append(f"cannot tell whether VMware has an OVF environment: {TOOL} exited with code {done.code}")
        return None
    if "\ufffd" in done.stdout:  # bytes that are no UTF-8, in a password perhaps
        raise InvalidEnvironment([Problem(Where(GUESTINFO), "", "is not UTF-8")])
    text = done.stdout.strip()
    return Document(text.encode(), GUESTINFO, "utf-8") if text else None


def _on_disc(device: Path, warnings: list[str]) -> Document | None:
    try:
        data = read_file(device, NAME, LARGEST)
    except OSError as error:
        if error.errno not in NO_MEDIUM:
            warnings.append(f"cannot read {device}: {(error.strerror or str(error)).lower()}")
        return None
    return None if data is None else Document(data, f"{device}:{NAME}")
