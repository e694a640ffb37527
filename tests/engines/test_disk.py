"""What is on a disk: a real loop device, the real blkid, wipefs and mkfs."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from escadm.errors import Failed
from escadm.system import disk
from escadm.system.run import Completed
from tests.engines.conftest import SIZE


def nobody(done: int, whole: int) -> None:
    """A progress that nobody looks at."""


def write(device: str, place: int, data: bytes) -> None:
    with Path(device).open("r+b") as file:
        file.seek(place)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def make_ext4(device: str, *size: str) -> None:
    subprocess.run(["mkfs.ext4", "-q", "-F", device, *size], check=True)


def test_a_blank_disk(loop: str) -> None:
    assert disk.signature(loop) == ""
    assert disk.user_of(loop) == ""


def test_what_is_on_it_is_told_and_wiped(loop: str) -> None:
    make_ext4(loop)
    assert disk.signature(loop) == "ext4"
    subprocess.run(["tune2fs", "-L", "old data", loop], check=True, capture_output=True)
    assert disk.signature(loop) == "ext4 labelled old data"
    make_ext4(loop)
    assert disk.signature(loop) == "ext4"
    disk.wipe(loop)
    assert disk.signature(loop) == ""


def test_a_partition_table_is_something_too(loop: str) -> None:
    entry = bytes.fromhex("00000000 83000000 00080000 00080000")
    with Path(loop).open("r+b") as device:
        device.write(b"\0" * 446 + entry + b"\0" * 48 + b"\x55\xaa")
    assert disk.signature(loop) == "dos"


def test_a_disk_that_is_none(tmp_path: Path, image: Path) -> None:
    hint = "\n  set drbd.disk in esc-config.yaml to the right device"
    with pytest.raises(Failed) as caught:
        disk.signature(str(tmp_path / "nothing"))
    assert str(caught.value) == f"cannot look at the disk {tmp_path}/nothing: No such file or directory{hint}"
    with pytest.raises(Failed) as caught:
        disk.signature(str(image))
    assert str(caught.value) == f"cannot use {image}: it is not a block device{hint}"


def test_an_answer_of_blkid_that_is_none(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "run", lambda argv, **_: Completed(tuple(argv), 8, "", ""))
    with pytest.raises(Failed, match=rf"^cannot tell what is on {loop}: blkid ended with code 8$"):
        disk.signature(loop)


def test_who_uses_it(loop: str, tmp_path: Path) -> None:
    make_ext4(loop)
    point = tmp_path / "point"
    point.mkdir()
    subprocess.run(["mount", loop, str(point)], check=True)
    try:
        assert disk.user_of(loop) == f"mounted at {point}"
    finally:
        subprocess.run(["umount", str(point)], check=True)
    assert disk.user_of(loop) == ""


def test_a_user_that_is_no_mount(loop: str) -> None:
    """DRBD, LVM, swap or a mounted partition: all of them claim the loop as this does."""
    claim = os.open(loop, os.O_RDONLY | os.O_EXCL)
    try:
        assert disk.user_of(loop) == "in use by the kernel (Device or resource busy)"
    finally:
        os.close(claim)
    assert disk.user_of(loop) == ""


def test_what_drbd_hides(loop: str) -> None:
    assert disk.content(loop) == ""
    make_ext4(loop, "12000")
    write(loop, SIZE - 4096 + 60, bytes.fromhex("8374026b"))
    assert disk.content(loop) == "ext4"


def test_how_large_things_are(loop: str) -> None:
    assert disk.size_of(loop) == SIZE
    make_ext4(loop, "12000")
    assert disk.ext_size(loop) == 12000 * 1024


def test_blank_is_every_byte_zero(loop: str) -> None:
    seen: list[tuple[int, int]] = []
    assert disk.is_blank(loop, lambda done, whole: seen.append((done, whole)))
    assert seen[0] == (disk.CHUNK, SIZE)
    assert seen[-1] == (SIZE, SIZE)


@pytest.mark.parametrize("place", [0, 5 << 20, SIZE - 1])
def test_one_byte_is_data(loop: str, place: int) -> None:
    write(loop, place, b"\x01")
    seen: list[int] = []
    assert not disk.is_blank(loop, lambda done, _: seen.append(done))
    assert len(seen) == place >> 20  # it stops there


def test_a_copy_holds_all_and_takes_the_room_of_what_is_used(loop: str, tmp_path: Path) -> None:
    write(loop, 3 << 20, os.urandom(100_000))
    write(loop, (9 << 20) + 77, b"x")
    target = tmp_path / "new" / "copy.img"
    size = SIZE - 36864
    assert disk.copy_used(loop, size, target, nobody) == 3 * disk.PIECE
    with Path(loop).open("rb") as source:
        assert target.read_bytes() == source.read(size)
    state = target.stat()
    assert (state.st_mode & 0o777, target.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert state.st_blocks * 512 <= 4 * disk.PIECE
    assert list(target.parent.iterdir()) == [target]


def test_a_copy_of_nothing(loop: str, tmp_path: Path) -> None:
    target = tmp_path / "copy.img"
    assert disk.copy_used(loop, SIZE, target, nobody) == 0
    assert target.stat().st_size == SIZE


def test_a_copy_that_does_not_fit_leaves_nothing(loop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(loop, 3 << 20, b"data")
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "older.img.part").write_text("a power cut has left this")
    monkeypatch.setattr(disk, "RESERVE", 1 << 60)
    with pytest.raises(disk.NoRoom) as caught:
        disk.copy_used(loop, SIZE, tmp_path / "new" / "copy.img", nobody)
    assert caught.value.message == f"cannot keep a copy: there is no room for it in {tmp_path}/new"
    assert list((tmp_path / "new").iterdir()) == []


def test_an_interrupted_copy_leaves_nothing(loop: str, tmp_path: Path) -> None:
    def interrupt(done: int, whole: int) -> None:
        if done > whole // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        disk.copy_used(loop, SIZE, tmp_path / "new" / "copy.img", interrupt)
    assert list((tmp_path / "new").iterdir()) == []


def test_a_disk_that_ends_too_early(loop: str, tmp_path: Path) -> None:
    with pytest.raises(Failed, match=rf"^cannot read {loop} at byte {SIZE}: it ends there$"):
        disk.copy_used(loop, SIZE + 1, tmp_path / "copy.img", nobody)
    assert not (tmp_path / "copy.img").exists()
