"""A disk as it lies there: what is on it and who uses it, whether it is blank, and a copy of what it holds."""

from __future__ import annotations

import errno
import mmap
import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from escadm.errors import Failed
from escadm.system.files import sync_folder
from escadm.system.mount import mount_point_of
from escadm.system.run import ANY_CODE, run

QUICK = 20.0
WRONG_DISK = "set drbd.disk in esc-config.yaml to the right device"
CHUNK = 1 << 20
PIECE = 1 << 16
ZEROS = bytes(CHUNK)
RESERVE = 64 << 20
"""Bytes that a copy leaves free where it is written."""

Progress = Callable[[int, int], None]
"""Hears of bytes done, of all; often."""


class NoRoom(Failed):
    """The copy does not fit where it was to be written; nothing of it is left."""


def signature(disk: str) -> str:
    """What the first and last blocks say is on the disk (``ext4``, ``LVM2_member``, …), empty for nothing known.

    Raises Failed where the disk cannot be looked at: absent, no block device.
    """
    try:
        mode = Path(disk).stat().st_mode
    except OSError as error:
        raise Failed(f"cannot look at the disk {disk}: {error.strerror}", WRONG_DISK) from error
    if not stat.S_ISBLK(mode):
        raise Failed(f"cannot use {disk}: it is not a block device", WRONG_DISK)
    told = run(["blkid", "-p", "-o", "export", disk], timeout=QUICK, ok=ANY_CODE)
    if told.code == 2:
        return ""
    fields = dict(line.split("=", 1) for line in told.stdout.splitlines() if "=" in line)
    found = fields.get("TYPE") or fields.get("PTTYPE")
    if found is None:
        raise Failed(f"cannot tell what is on {disk}: blkid ended with code {told.code}")
    label = re.sub(r"\\(.)", r"\1", fields.get("LABEL", ""))  # blkid puts a backslash before what a shell would read
    return f"{found} labelled {label}" if label else found


def content(disk: str) -> str:
    """The first signature that is not DRBD's own, which may hide it from :func:`signature`; empty for none."""
    told = run(["wipefs", "--noheadings", "--output", "TYPE", disk], timeout=QUICK).stdout.split()
    return next((name for name in told if name != "drbd"), "")


def user_of(disk: str) -> str:
    """Who uses the disk now (a mount, DRBD, another kernel user), as a sentence's end; empty when nobody does."""
    if point := mount_point_of(disk):
        return f"mounted at {point}"
    try:
        os.close(os.open(disk, os.O_RDONLY | os.O_EXCL))
    except OSError as error:
        return f"in use by the kernel ({error.strerror})"
    return ""


def size_of(disk: str) -> int:
    """Bytes on the disk."""
    descriptor = os.open(disk, os.O_RDONLY)
    try:
        return os.lseek(descriptor, 0, os.SEEK_END)
    finally:
        os.close(descriptor)


def ext_size(disk: str) -> int:
    """How many of the disk's bytes the ext2, ext3 or ext4 on it takes."""
    told = run(["dumpe2fs", "-h", disk], timeout=QUICK).stdout
    found = dict(re.findall(r"^(Block count|Block size): +(\d+)$", told, re.MULTILINE))
    if len(found) != 2:
        raise Failed(f"cannot tell how large the file system on {disk} is")
    return int(found["Block count"]) * int(found["Block size"])


def wipe(disk: str) -> None:
    """Remove every signature that blkid and wipefs know."""
    run(["wipefs", "--all", "--force", disk], timeout=QUICK)


def is_blank(disk: str, progress: Progress) -> bool:
    """Whether every byte is zero. Reads as far as the first one that is not."""
    return next(_used(disk, size_of(disk), progress), None) is None


def copy_used(disk: str, size: int, target: Path, progress: Progress) -> int:
    """Write the first ``size`` bytes of the disk to the new file ``target``, for root alone, without the zeros.

    Returns the bytes that take room in it. It has its name when it is complete and on the disk; whatever ends this
    before leaves nothing. Raises NoRoom.
    """
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    for left in target.parent.glob("*.part"):  # by a power cut
        left.unlink()
    with ExitStack() as stack:
        stack.callback(part.unlink, missing_ok=True)
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        stack.callback(os.close, descriptor)
        try:
            written = 0
            for place, chunk in _used(disk, size, progress):
                written += _write(descriptor, place, chunk)
            os.ftruncate(descriptor, size)
            os.fsync(descriptor)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise
            raise NoRoom(f"cannot keep a copy: there is no room for it in {target.parent}") from error
        part.rename(target)
        sync_folder(target.parent)
    return written


def _write(descriptor: int, place: int, chunk: bytes) -> int:
    """Write what is not zero, unless the file system would be filled with it; how much that was."""
    room = os.fstatvfs(descriptor)
    if room.f_bavail * room.f_frsize < RESERVE + len(chunk):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    written = 0
    for start in range(0, len(chunk), PIECE):
        piece = chunk[start : start + PIECE]
        if piece != ZEROS[: len(piece)]:
            written += os.pwrite(descriptor, piece, place + start)
    return written


def _used(disk: str, size: int, progress: Progress) -> Iterator[tuple[int, bytes]]:
    """The chunks of the first ``size`` bytes that are not all zero, with their places.

    Read past the page cache, which knows nothing of what DRBD has written below it.
    """
    descriptor = os.open(disk, os.O_RDONLY | os.O_DIRECT | os.O_CLOEXEC)
    try:
        with mmap.mmap(-1, CHUNK) as buffer:
            place = 0
            while place < size:
                got = min(_read(disk, descriptor, buffer, place), size - place)
                chunk = buffer[:got]
                if chunk != ZEROS[:got]:
                    yield place, chunk
                place += got
                progress(place, size)
    finally:
        os.close(descriptor)


def _read(disk: str, descriptor: int, buffer: mmap.mmap, place: int) -> int:
    try:
        got = os.preadv(descriptor, [buffer], place)
    except OSError as error:
        raise Failed(f"cannot read {disk} at byte {place}: {error.strerror}") from error
    if not got:
        raise Failed(f"cannot read {disk} at byte {place}: it ends there")
    return got
