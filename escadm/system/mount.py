"""The file system of the primary: mounted once, unmounted when nobody holds it, named holders when somebody does."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from escadm.core.specs import FilesystemSpec
from escadm.errors import EscadmError, Failed
from escadm.paths import Paths
from escadm.system.run import run

PROC = Path("/proc")
MOST_HOLDERS = 5


@dataclass(frozen=True, slots=True)
class Mounted:
    """A line of mountinfo (proc(5)): ``device`` is MAJOR:MINOR as the kernel writes it."""

    ident: str
    device: str
    point: str
    source: str


def mount(spec: FilesystemSpec, paths: Paths, timeout: float) -> None:
    """Have ``spec`` mounted; without a device the directory alone. Nothing to do when it already is."""
    point = paths.below(spec.mount_point)
    try:
        point.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Failed(f"cannot make the mount point {point}: {error.strerror}") from error
    if spec.device is None or _is_ours(spec.device, point):
        return
    run(["mount", "-t", spec.fstype, "-o", spec.options, "--", spec.device, str(point)], timeout=timeout)


def unmount(spec: FilesystemSpec, paths: Paths, timeout: float) -> None:
    """Have ``spec`` unmounted. Nothing to do when it already is; who holds it stands in the error."""
    point = paths.below(spec.mount_point)
    if not is_mounted(spec, paths):
        return
    try:
        run(["umount", "--", str(point.resolve())], timeout=timeout)
    except EscadmError as error:
        holders = [f"{pid} ({command})" for pid, command in find_holders(point)]
        if not holders:
            raise
        more = f" and {len(holders) - MOST_HOLDERS} more" if len(holders) > MOST_HOLDERS else ""
        raise Failed(
            f"cannot unmount {point}: held by {', '.join(holders[:MOST_HOLDERS])}{more}", "end these processes first"
        ) from error


def is_mounted(spec: FilesystemSpec, paths: Paths) -> bool:
    """Whether ``spec``'s device is mounted where it should be; Failed where something else is mounted there."""
    return spec.device is not None and _is_ours(spec.device, paths.below(spec.mount_point))


def mounted_device(mount_point: Path) -> str | None:
    """What is mounted at ``mount_point`` (the uppermost), as it was given to mount; None = nothing."""
    found = _mounted_at(mount_point)
    return found.source if found else None


def find_holders(mount_point: Path) -> list[tuple[int, str]]:
    """Who has a file, a mapping or a directory of this file system open: (pid, command), by pid.

    Found by mount and device number in /proc; no file of the file system is touched, so nothing can hang.
    """
    found = _mounted_at(mount_point)
    if found is None:
        return []
    pids = sorted(int(each.name) for each in PROC.iterdir() if each.name.isdigit())
    return [(pid, _command(pid)) for pid in pids if _holds(PROC / str(pid), found.device)]


def _is_ours(device: str, point: Path) -> bool:
    """Whether ``device`` is mounted at ``point``; something else there is an error."""
    found = _mounted_at(point)
    if found is None:
        return False
    if not _same_device(device, found):
        raise Failed(
            f"cannot use the mount point {point}: {found.source} is mounted there, not {device}",
            f"unmount it: umount {point}",
        )
    return True


def _same_device(device: str, found: Mounted) -> bool:
    if device == found.source:
        return True
    with suppress(OSError):
        status = Path(device).stat()
        if stat.S_ISBLK(status.st_mode):
            return found.device == f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
        backing = Path("/sys/dev/block", found.device, "loop/backing_file").read_text().rstrip("\n")
        return Path(backing) == Path(device).resolve()
    return False


def mount_point_of(disk: str) -> str:
    """Where the file system that lies straight on the disk is mounted, empty for nowhere. OSError: no such disk."""
    number = Path(disk).stat().st_rdev
    wanted = f"{os.major(number)}:{os.minor(number)}"
    return next((each.point for each in _mounts(PROC / "self") if each.device == wanted), "")


def _mounted_at(point: Path) -> Mounted | None:
    wanted = str(point.resolve())
    last = None
    for each in _mounts(PROC / "self"):
        if each.point == wanted:
            last = each
    return last


def _mounts(process: Path) -> Iterator[Mounted]:
    """The mounts of a process's namespace; none where it has just ended."""
    try:
        lines = (process / "mountinfo").read_text(errors="surrogateescape").splitlines()
    except OSError:
        return
    for line in lines:
        left, _, right = line.partition(" - ")
        fields, tail = left.split(" "), right.split(" ")
        yield Mounted(fields[0], fields[2], _unescape(fields[4]), _unescape(tail[1]))


def _unescape(text: str) -> str:
    """Undo the kernel's octal escapes of blank, tab, newline and backslash."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def _holds(process: Path, device: str) -> bool:
    mounts = [each for each in _mounts(process) if each.device == device]
    return bool(mounts) and (
        _stands_in(process, mounts) or _has_open(process, {each.ident for each in mounts}) or _maps(process, device)
    )


def _stands_in(process: Path, mounts: list[Mounted]) -> bool:
    for link in ("cwd", "root"):
        with suppress(OSError):
            place = str((process / link).readlink())
            if any(place == each.point or place.startswith(each.point + "/") for each in mounts):
                return True
    return False


def _has_open(process: Path, idents: set[str]) -> bool:
    with suppress(OSError):
        for each in (process / "fdinfo").iterdir():
            with suppress(OSError):
                match = re.search(r"^mnt_id:\s*(\d+)$", each.read_text(errors="replace"), re.MULTILINE)
                if match and match[1] in idents:
                    return True
    return False


def _maps(process: Path, device: str) -> bool:
    major, minor = map(int, device.split(":"))
    with suppress(OSError):
        for line in (process / "maps").read_text(errors="replace").splitlines():
            fields = line.split(None, 5)
            if len(fields) > 4 and fields[4] != "0" and fields[3] == f"{major:02x}:{minor:02x}":
                return True
    return False


def _command(pid: int) -> str:
    try:
        return (PROC / str(pid) / "comm").read_text(errors="replace").strip()
    except OSError:
        return "?"
