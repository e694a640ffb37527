"""First things first: what is on a disk, DRBD's meta-data, the first copy, the file system. Only commands that an
administrator types come here; nothing of it is ever a repair inside a start."""

from __future__ import annotations

import os
import re
import stat
import tempfile
from collections.abc import Container
from pathlib import Path

from escadm.core.replication import last_words
from escadm.errors import Failed
from escadm.system.run import Completed, run

QUICK = 20.0
LONG = 600.0
ANY_CODE = range(256)
RESOURCE = "esc"
WRONG_DISK = "set drbd.disk in esc-config.yaml to the right device"


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


def user_of(disk: str) -> str:
    """Who uses the disk now (a mount, DRBD, another kernel user), as a sentence's end; empty when nobody does."""
    wanted = Path(disk).stat().st_rdev
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields = line.split()
        major, minor = fields[2].split(":")
        if os.makedev(int(major), int(minor)) == wanted:
            return f"mounted at {fields[4]}"
    try:
        os.close(os.open(disk, os.O_RDONLY | os.O_EXCL))
    except OSError as error:
        return f"in use by the kernel ({error.strerror})"
    return ""


def has_meta_data() -> bool:
    """Whether the disk of the resource has DRBD's meta-data for it. Failed where that cannot be told."""
    told = _drbdadm("dump-md", timeout=QUICK, ok=ANY_CODE)
    text = told.stdout + told.stderr
    if told.code == 0 or "unclean" in text:  # after a power cut they are, until the volume is up again
        return True
    if "No valid meta data" in text:
        return False
    raise Failed(f"cannot tell whether the disk has DRBD's meta-data: {last_words(text) or told.code}")


def create_meta_data() -> None:
    """Write new meta-data at the end of the disk. What DRBD knew of it before is lost."""
    told = _drbdadm("create-md", "--force", timeout=LONG, ok=ANY_CODE)
    if told.code != 0:
        raise Failed(f"cannot write DRBD's meta-data: {last_words(told.stdout + told.stderr) or told.code}")


def wipe(disk: str) -> None:
    """Remove every signature that blkid and wipefs know."""
    run(["wipefs", "--all", "--force", disk], timeout=QUICK)


def make_primary_source() -> None:
    """Declare the data of this node the good one (the first copy runs from here), and become Primary."""
    _drbdadm("primary", "--force", timeout=QUICK)


def make_file_system(device: str, fstype: str) -> None:
    """A new file system on the replicated device."""
    options = ["-F"] if fstype.startswith("ext") else []
    run([f"mkfs.{fstype}", "-q", *options, device], timeout=LONG)


def _drbdadm(*words: str, timeout: float, ok: Container[int] = (0,)) -> Completed:
    """drbdadm over the real configuration, but never with a question to the usage counter on the network."""
    text = 'global { usage-count no; }\ninclude "/etc/drbd.d/esc.res";\n'
    with tempfile.TemporaryDirectory(prefix="escadm-") as folder:
        file = Path(folder, "drbd.conf")
        file.write_text(text)
        try:
            return run(["drbdadm", "-c", str(file), *words, RESOURCE], timeout=timeout, ok=ok)
        except Failed as error:
            raise Failed(error.message, error.hint.replace(f" -c {file}", "")) from error
