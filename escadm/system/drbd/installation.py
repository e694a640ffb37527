"""First things first: DRBD's meta-data, which data are the good ones, the first copy, the file system. Only commands
that an administrator types come here; nothing of it is ever a repair inside a start."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Container
from pathlib import Path

from escadm.core.drbd.state import explain_refusal, last_words
from escadm.errors import Failed
from escadm.system.drbd.commands import RESOURCE
from escadm.system.run import ANY_CODE, Completed, run

QUICK = 20.0
LONG = 600.0
NEVER_USED = "0000000000000004:"
"""The generation of data in meta-data that were just made: DRBD's UUID_JUST_CREATED."""


def room_for_data(disk_size: int) -> int:
    """How many bytes DRBD leaves to the data where its meta-data stand at the end of a disk.

    A superblock, the activity log of 32 KiB, and a bit for each 4 KiB, as drbdmeta lays them out.
    """
    bitmap = -(-disk_size // (4096 * 8))
    return disk_size - (4096 + 32768 + -(-bitmap // 4096) * 4096)


def has_meta_data() -> bool:
    """Whether the disk of the resource has DRBD's meta-data for it. Failed where that cannot be told."""
    told = _drbdadm("dump-md", timeout=QUICK, ok=ANY_CODE)
    text = told.stdout + told.stderr
    if told.code == 0 or "unclean" in text:  # after a power cut they are, until the volume is up again
        return True
    if "No valid meta data" in text:
        return False
    raise Failed(f"cannot tell whether the disk has DRBD's meta-data: {last_words(text) or told.code}")


def was_never_used() -> bool:
    """Whether the meta-data are as they were made: no data here have ever been declared, or copied here."""
    told = _drbdadm("get-gi", timeout=QUICK, ok=ANY_CODE)
    return any(line.startswith(NEVER_USED) for line in told.stdout.splitlines())


def create_meta_data() -> None:
    """Write new meta-data at the end of the disk. What DRBD knew of it before is lost."""
    told = _drbdadm("create-md", "--force", timeout=LONG, ok=ANY_CODE)
    if told.code != 0:
        raise Failed(f"cannot write DRBD's meta-data: {last_words(told.stdout + told.stderr) or told.code}")


def attach_alone() -> None:
    """Bring up the disk without the connection, so that the peer cannot touch it; as far as it is not so already."""
    run(["modprobe", "drbd"], timeout=QUICK, ok=ANY_CODE)
    for verb in ("new-resource", "new-minor"):
        _drbdadm(verb, timeout=QUICK, ok=ANY_CODE)
    _change("attach the disk", "attach")


def declare_good() -> None:
    """This node's data are the ones to go on with: a new generation of them, UpToDate.

    The peer is not asked, and nobody is asked about the peer: the policy that would do so is off meanwhile.
    """
    for kind in ("disk-options", "net-options"):  # where DRBD 8.4 has it, and where DRBD 9 does
        _drbdadm(kind, "--fencing=dont-care", timeout=QUICK, ok=ANY_CODE)
    try:
        _change("declare the data good", "primary", "--force")
        _change("become Secondary again", "secondary")
    finally:
        _drbdadm("adjust", timeout=QUICK, ok=ANY_CODE)


# --- blank disks: no channel but DRBD's own is there, and all that a node without data can tell through it is whether
# it lets a sync begin. Before the first copy that has no other use.


def mark_blank() -> None:
    """Let the peer know that this disk was read and found blank. allow_syncs() of escadm.system.drbd.commands takes it
    back, and so does the end of the volume."""
    _change("tell the peer that this disk is blank", "pause-sync")


def blank_marks() -> tuple[bool, bool]:
    """Whether this node has marked its disk as blank, and whether the peer has."""
    told = run(["drbdsetup", "events2", "--now", RESOURCE], timeout=QUICK).stdout
    found = re.search(r" resync-suspended:(\S+)", told)
    words = found[1].split(",") if found else []
    return "user" in words, "peer" in words


def skip_first_copy() -> None:
    """Declare two connected disks that nobody has used to be equal, and the data UpToDate on both."""
    _change("declare the disks equal", "new-current-uuid", "--clear-bitmap")


def make_primary_source() -> None:
    """Declare the data of this node the good one (the first copy runs from here), and become Primary."""
    _change("become the source of the first copy", "primary", "--force")


def make_file_system(device: str, fstype: str) -> None:
    """A new file system on the replicated device."""
    options = ["-F"] if fstype.startswith("ext") else []
    run([f"mkfs.{fstype}", "-q", *options, device], timeout=LONG)


def _change(what: str, *words: str) -> None:
    told = _drbdadm(*words, timeout=QUICK, ok=ANY_CODE)
    if told.code != 0:
        raise Failed(f"cannot {what}: {explain_refusal(told.stdout + told.stderr)[0]}")


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
