"""DRBD's meta-data on a real loop device, by the real drbdmeta; no kernel module is needed."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from escadm.errors import Failed, NotInstalled
from escadm.system import disk
from escadm.system.drbd import installation
from escadm.system.run import Completed
from escadm.system.run import run as real_run
from tests.engines.conftest import SIZE

UNCLEAN = bytes.fromhex("8374026c")
CLEAN = bytes.fromhex("8374026b")


@pytest.fixture
def drbd(loop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The resource on the loop device, for the commands of DRBD 8.4 as they are under that module."""
    resource = tmp_path / "esc.res"
    resource.write_text(
        f"resource esc {{ device /dev/drbd1; disk {loop}; meta-disk internal;"
        " floating 127.0.0.1:7789; floating 127.0.0.2:7789; }\n"
    )

    def run(argv: Sequence[str], *, timeout: float, ok: range | tuple[int, ...] = (0,)) -> Completed:
        if argv[0] != "drbdadm":
            return real_run(argv, timeout=timeout, ok=ok)
        file = Path(argv[2])
        assert file.read_text() == 'global { usage-count no; }\ninclude "/etc/drbd.d/esc.res";\n'
        file.write_text(f'global {{ usage-count no; }}\ninclude "{resource}";\n')
        return real_run(argv, timeout=timeout, ok=ok, env={"DRBD_DRIVER_VERSION_OVERRIDE": "8.4.0"})

    monkeypatch.setattr(installation, "run", run)
    return loop


def test_meta_data_are_written_and_found(drbd: str) -> None:
    assert not installation.has_meta_data()
    installation.create_meta_data()
    assert installation.has_meta_data()
    assert disk.signature(drbd) == "drbd"
    installation.create_meta_data()
    assert installation.has_meta_data()
    disk.wipe(drbd)
    assert not installation.has_meta_data()
    assert disk.signature(drbd) == ""


def test_meta_data_of_a_node_whose_power_was_cut_are_meta_data(drbd: str) -> None:
    """They are unclean then, and dump-md refuses to show them."""
    installation.create_meta_data()
    with Path(drbd).open("r+b") as device:
        content = device.read()
        assert content.count(CLEAN) == 1
        device.seek(content.index(CLEAN))
        device.write(UNCLEAN)
    assert installation.has_meta_data()
    assert disk.signature(drbd) == "drbd"


def test_a_file_system_beside_meta_data(drbd: str) -> None:
    installation.create_meta_data()
    subprocess.run(["mkfs.ext4", "-q", "-F", drbd, "12000"], check=True)
    assert installation.has_meta_data()
    assert disk.signature(drbd) in ("drbd", "ext4")


@pytest.mark.parametrize(
    "complaint", ["Device '1' is configured!\nCommand 'drbdmeta 1 v08 x' terminated with exit code 20\n", ""]
)
def test_meta_data_that_cannot_be_looked_at_are_not_absent(complaint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "run", lambda argv, **_: Completed(tuple(argv), 20, "", complaint))
    why = complaint.partition("\n")[0] or "20"
    with pytest.raises(Failed) as caught:
        installation.has_meta_data()
    assert caught.value.message == f"cannot tell whether the disk has DRBD's meta-data: {why}"
    with pytest.raises(Failed) as caught:
        installation.create_meta_data()
    assert caught.value.message == f"cannot write DRBD's meta-data: {why}"


def test_new_meta_data_have_never_been_used(drbd: str) -> None:
    assert not installation.was_never_used()
    installation.create_meta_data()
    assert installation.was_never_used()
    with Path(drbd).open("r+b") as device:
        content = device.read()
        device.seek(content.index(CLEAN))
        device.write(UNCLEAN)
    assert installation.was_never_used()
    generation = [drbd, "internal", "set-gi", "AAAAAAAAAAAAAAAA:0:0:0:1:1"]
    subprocess.run(["drbdmeta", "--force", "1", "v08", *generation], check=True, capture_output=True)
    assert installation.has_meta_data()
    assert not installation.was_never_used()


@pytest.mark.parametrize("surplus", [0, 1024])
def test_the_room_that_is_left_is_what_drbdmeta_says(drbd: str, surplus: int) -> None:
    """It refuses to write over the end of a file system, and takes one that ends right before."""
    room = installation.room_for_data(SIZE)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-b", "1024", drbd, f"{(room + surplus) // 1024}"], check=True)
    if surplus:
        with pytest.raises(Failed, match=r"^cannot write DRBD's meta-data: Operation refused\.$"):
            installation.create_meta_data()
    else:
        installation.create_meta_data()
    assert installation.has_meta_data() == (not surplus)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What drbdadm is asked, all of which it does; without the file of its options."""
    words: list[str] = []

    def run(argv: Sequence[str], **_: object) -> Completed:
        words.append(" ".join(argv if argv[1] != "-c" else [argv[0], *argv[3:]]))
        return Completed(tuple(argv), 0, "", "")

    monkeypatch.setattr(installation, "run", run)
    return words


def test_the_words_of_drbdadm(asked: list[str]) -> None:
    for act in (
        installation.make_primary_source,
        installation.create_meta_data,
        installation.mark_blank,
        installation.skip_first_copy,
    ):
        act()
    assert asked == [
        "drbdadm primary --force esc",
        "drbdadm create-md --force esc",
        "drbdadm pause-sync esc",
        "drbdadm new-current-uuid --clear-bitmap esc",
    ]


def test_the_disk_without_the_connection(asked: list[str]) -> None:
    installation.attach_alone()
    assert asked == ["modprobe drbd", "drbdadm new-resource esc", "drbdadm new-minor esc", "drbdadm attach esc"]


DECLARED = [
    "drbdadm disk-options --fencing=dont-care esc",
    "drbdadm net-options --fencing=dont-care esc",
    "drbdadm primary --force esc",
    "drbdadm secondary esc",
    "drbdadm adjust esc",
]


def test_good_data_are_declared_without_a_word_to_the_peer(asked: list[str]) -> None:
    installation.declare_good()
    assert asked == DECLARED


def test_the_policy_comes_back_also_when_drbd_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def run(argv: Sequence[str], **_: object) -> Completed:
        asked.append(" ".join([argv[0], *argv[3:]]))
        return Completed(tuple(argv), 17 if "primary" in argv else 0, "", "1: State change failed: (-2) Need access")

    monkeypatch.setattr(installation, "run", run)
    with pytest.raises(Failed, match=r"^cannot declare the data good: "):
        installation.declare_good()
    assert asked == [*DECLARED[:3], DECLARED[-1]]


PEER = "exists peer-device name:esc peer-node-id:0 volume:0 replication:Established peer-disk:Inconsistent "


@pytest.mark.parametrize(
    ("told", "marks"),
    [
        (f"{PEER}resync-suspended:no", (False, False)),
        (f"{PEER}resync-suspended:user", (True, False)),
        (f"{PEER}resync-suspended:peer", (False, True)),
        (f"{PEER}resync-suspended:user,peer", (True, True)),
        (f"{PEER}resync-suspended:dependency", (False, False)),
        ("exists -", (False, False)),
    ],
)
def test_who_has_said_that_his_disk_is_blank(
    told: str, marks: tuple[bool, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installation, "run", lambda argv, **_: Completed(tuple(argv), 0, f"{told}\nexists -\n", ""))
    assert installation.blank_marks() == marks


def test_the_passing_file_is_nobodys_concern(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(argv: Sequence[str], **_: object) -> Completed:
        raise Failed("drbdadm: exited with code 17", f"the command was: {' '.join(argv)}")

    monkeypatch.setattr(installation, "run", run)
    with pytest.raises(Failed) as caught:
        installation.make_primary_source()
    assert str(caught.value) == "drbdadm: exited with code 17\n  the command was: drbdadm primary --force esc"

    def absent(argv: Sequence[str], **_: object) -> Completed:
        raise NotInstalled("drbdadm is not installed")

    monkeypatch.setattr(installation, "run", absent)
    with pytest.raises(NotInstalled):
        installation.has_meta_data()
