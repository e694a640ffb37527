"""First things on a disk: a real loop device, the real drbdmeta, blkid, wipefs and mkfs; no kernel module is needed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from escadm.errors import Failed, NotInstalled
from escadm.system import volume
from escadm.system.run import Completed
from escadm.system.run import run as real_run

SIZE = 16 << 20
UNCLEAN = bytes.fromhex("8374026c")
CLEAN = bytes.fromhex("8374026b")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    file = tmp_path / "image"
    with file.open("wb") as made:
        made.truncate(SIZE)
    return file


@pytest.fixture
def disk(image: Path) -> Iterator[str]:
    losetup = ["losetup", "--find", "--show", "--direct-io=off", str(image)]
    name = subprocess.run(losetup, check=True, capture_output=True, text=True).stdout.strip()
    yield name
    subprocess.run(["losetup", "--detach", name], check=True)


@pytest.fixture
def drbd(disk: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The resource on ``disk``, for the commands of DRBD 8.4 as they are under that module."""
    resource = tmp_path / "esc.res"
    resource.write_text(
        f"resource esc {{ device /dev/drbd1; disk {disk}; meta-disk internal;"
        " floating 127.0.0.1:7789; floating 127.0.0.2:7789; }\n"
    )

    def run(argv: Sequence[str], *, timeout: float, ok: range | tuple[int, ...] = (0,)) -> Completed:
        if argv[0] != "drbdadm":
            return real_run(argv, timeout=timeout, ok=ok)
        file = Path(argv[2])
        assert file.read_text() == 'global { usage-count no; }\ninclude "/etc/drbd.d/esc.res";\n'
        file.write_text(f'global {{ usage-count no; }}\ninclude "{resource}";\n')
        return real_run(argv, timeout=timeout, ok=ok, env={"DRBD_DRIVER_VERSION_OVERRIDE": "8.4.0"})

    monkeypatch.setattr(volume, "run", run)
    return disk


def test_a_blank_disk(disk: str) -> None:
    assert volume.signature(disk) == ""
    assert volume.user_of(disk) == ""


def test_what_is_on_it_is_told_and_wiped(disk: str) -> None:
    volume.make_file_system(disk, "ext4")
    assert volume.signature(disk) == "ext4"
    subprocess.run(["tune2fs", "-L", "old data", disk], check=True, capture_output=True)
    assert volume.signature(disk) == "ext4 labelled old data"
    volume.make_file_system(disk, "ext4")
    assert volume.signature(disk) == "ext4"
    volume.wipe(disk)
    assert volume.signature(disk) == ""


def test_a_partition_table_is_something_too(disk: str) -> None:
    entry = bytes.fromhex("00000000 83000000 00080000 00080000")
    with Path(disk).open("r+b") as device:
        device.write(b"\0" * 446 + entry + b"\0" * 48 + b"\x55\xaa")
    assert volume.signature(disk) == "dos"


def test_a_disk_that_is_none(tmp_path: Path, image: Path) -> None:
    hint = "\n  set drbd.disk in esc-config.yaml to the right device"
    with pytest.raises(Failed) as caught:
        volume.signature(str(tmp_path / "nothing"))
    assert str(caught.value) == f"cannot look at the disk {tmp_path}/nothing: No such file or directory{hint}"
    with pytest.raises(Failed) as caught:
        volume.signature(str(image))
    assert str(caught.value) == f"cannot use {image}: it is not a block device{hint}"


def test_an_answer_of_blkid_that_is_none(disk: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(volume, "run", lambda argv, **_: Completed(tuple(argv), 8, "", ""))
    with pytest.raises(Failed, match=rf"^cannot tell what is on {disk}: blkid ended with code 8$"):
        volume.signature(disk)


def test_who_uses_it(disk: str, tmp_path: Path) -> None:
    volume.make_file_system(disk, "ext4")
    point = tmp_path / "point"
    point.mkdir()
    subprocess.run(["mount", disk, str(point)], check=True)
    try:
        assert volume.user_of(disk) == f"mounted at {point}"
    finally:
        subprocess.run(["umount", str(point)], check=True)
    assert volume.user_of(disk) == ""


def test_a_user_that_is_no_mount(disk: str) -> None:
    """DRBD, LVM, swap or a mounted partition: all of them claim the disk as this does."""
    claim = os.open(disk, os.O_RDONLY | os.O_EXCL)
    try:
        assert volume.user_of(disk) == "in use by the kernel (Device or resource busy)"
    finally:
        os.close(claim)
    assert volume.user_of(disk) == ""


def test_meta_data_are_written_and_found(drbd: str) -> None:
    assert not volume.has_meta_data()
    volume.create_meta_data()
    assert volume.has_meta_data()
    assert volume.signature(drbd) == "drbd"
    volume.create_meta_data()
    assert volume.has_meta_data()
    volume.wipe(drbd)
    assert not volume.has_meta_data()
    assert volume.signature(drbd) == ""


def test_meta_data_of_a_node_whose_power_was_cut_are_meta_data(drbd: str) -> None:
    """They are unclean then, and dump-md refuses to show them."""
    volume.create_meta_data()
    with Path(drbd).open("r+b") as device:
        content = device.read()
        assert content.count(CLEAN) == 1
        device.seek(content.index(CLEAN))
        device.write(UNCLEAN)
    assert volume.has_meta_data()
    assert volume.signature(drbd) == "drbd"


def test_a_file_system_beside_meta_data(drbd: str) -> None:
    volume.create_meta_data()
    subprocess.run(["mkfs.ext4", "-q", "-F", drbd, "12000"], check=True)
    assert volume.has_meta_data()
    assert volume.signature(drbd) in ("drbd", "ext4")


@pytest.mark.parametrize(
    "complaint", ["Device '1' is configured!\nCommand 'drbdmeta 1 v08 x' terminated with exit code 20\n", ""]
)
def test_meta_data_that_cannot_be_looked_at_are_not_absent(complaint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(volume, "run", lambda argv, **_: Completed(tuple(argv), 20, "", complaint))
    why = complaint.partition("\n")[0] or "20"
    with pytest.raises(Failed) as caught:
        volume.has_meta_data()
    assert caught.value.message == f"cannot tell whether the disk has DRBD's meta-data: {why}"
    with pytest.raises(Failed) as caught:
        volume.create_meta_data()
    assert caught.value.message == f"cannot write DRBD's meta-data: {why}"


def test_the_words_of_drbdadm(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def run(argv: Sequence[str], **_: object) -> Completed:
        asked.append([*argv[:2], *argv[3:]])
        return Completed(tuple(argv), 0, "", "")

    monkeypatch.setattr(volume, "run", run)
    volume.make_primary_source()
    volume.create_meta_data()
    assert asked == [
        ["drbdadm", "-c", "primary", "--force", "esc"],
        ["drbdadm", "-c", "create-md", "--force", "esc"],
    ]


def test_the_passing_file_is_nobodys_concern(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(argv: Sequence[str], **_: object) -> Completed:
        raise Failed("drbdadm: exited with code 17", f"the command was: {' '.join(argv)}")

    monkeypatch.setattr(volume, "run", run)
    with pytest.raises(Failed) as caught:
        volume.make_primary_source()
    assert str(caught.value) == "drbdadm: exited with code 17\n  the command was: drbdadm primary --force esc"

    def absent(argv: Sequence[str], **_: object) -> Completed:
        raise NotInstalled("drbdadm is not installed")

    monkeypatch.setattr(volume, "run", absent)
    with pytest.raises(NotInstalled):
        volume.has_meta_data()
