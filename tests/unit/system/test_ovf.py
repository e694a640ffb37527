"""The OVF environment as a machine finds it: real discs, made by genisoimage, and a vmtoolsd that is a script."""

import errno
import os
import subprocess
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from escadm.core.ovf import LARGEST
from escadm.errors import Failed, InvalidEnvironment, NotPermitted
from escadm.paths import Paths
from escadm.system import iso9660
from escadm.system.ovf import Document, Search, find, from_file
from escadm.system.run import run

XML = b'<?xml version="1.0"?>\n<Environment/>' + b"<!-- -->" * 1000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "disc"
    (made / "folder").mkdir(parents=True)
    for number in range(80):  # the root folder takes several sectors
        (made / f"{number:02}-a-file-with-a-long-name.txt").write_text(str(number))
    (made / "ovf-env.xml").write_bytes(XML)
    return made


def disc(folder: Path, *options: str, name: str = "sr0") -> Path:
    """The folder as a disc, /dev/NAME of a root beside it."""
    path = folder.parent / "dev" / name
    path.parent.mkdir(exist_ok=True)
    subprocess.run(["genisoimage", "-quiet", *options, "-o", path, folder], check=True, capture_output=True)
    return path


def found(root: Path) -> Search:
    return find(Paths(root), run)


@pytest.mark.parametrize(
    "options", [[], ["-joliet"], ["-rock"], ["-joliet", "-rock", "-volid", "OVF ENV"]], ids=" ".join
)
def test_a_disc_with_an_environment(folder: Path, options: list[str]) -> None:
    device = disc(folder, *options)
    assert found(folder.parent) == Search(Document(XML, f"{device}:ovf-env.xml"))


@pytest.mark.parametrize("name", ["sr12", "hdc", "xvdd"])
def test_drives(folder: Path, name: str) -> None:
    device = disc(folder, name=name)
    assert found(folder.parent).document == Document(XML, f"{device}:ovf-env.xml")


def test_capitals_do_not_matter(folder: Path) -> None:
    (folder / "ovf-env.xml").rename(folder / "OVF-ENV.XML")
    disc(folder, "-joliet")
    assert found(folder.parent).document is not None


def test_a_disc_without_one_is_passed_over(folder: Path) -> None:
    second = disc(folder, name="sr1")
    (folder / "ovf-env.xml").rename(folder / "folder/ovf-env.xml")
    disc(folder, "-joliet", "-rock", "-volid", "cidata")
    assert found(folder.parent).document == Document(XML, f"{second}:ovf-env.xml")
    second.unlink()
    assert found(folder.parent) == Search(None)


def test_a_folder_of_that_name_is_no_environment(folder: Path) -> None:
    (folder / "ovf-env.xml").unlink()
    (folder / "ovf-env.xml").mkdir()
    disc(folder, "-joliet")
    assert found(folder.parent) == Search(None)


def test_a_file_that_is_too_large_is_not_read_as_a_whole(folder: Path) -> None:
    (folder / "ovf-env.xml").write_bytes(b"x" * (LARGEST + 5000))
    disc(folder)
    document = found(folder.parent).document
    assert document is not None
    assert len(document.data) == LARGEST + 1


@pytest.mark.parametrize("content", [b"", b"\0" * 100_000, os.urandom(40_000)], ids=["empty", "zeros", "noise"])
def test_what_is_no_disc(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/sr0").write_bytes(content)
    assert found(tmp_path) == Search(None)


@pytest.mark.parametrize("number", [errno.ENOMEDIUM, errno.ENXIO])
def test_an_empty_drive_is_nothing_to_tell(folder: Path, number: int) -> None:
    disc(folder)
    with patch.object(Path, "open", side_effect=OSError(number, os.strerror(number))):
        assert found(folder.parent) == Search(None)


def test_a_drive_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "dev/sr0").mkdir(parents=True)
    assert found(tmp_path) == Search(None, (f"cannot read {tmp_path}/dev/sr0: is a directory",))


@given(data=st.data())
def test_no_damage_to_a_disc_ends_in_a_defect(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.iso"
    if not path.exists():
        source = path.with_suffix("")
        source.mkdir()
        (source / "ovf-env.xml").write_bytes(XML)
        subprocess.run(["genisoimage", "-quiet", "-joliet", "-o", path, source], check=True, capture_output=True)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        position = data.draw(st.integers(16 * 2048, 34 * 2048))
        content[position : position + 4] = data.draw(st.binary(min_size=1, max_size=4))
    damaged = path.with_name("again.iso")
    damaged.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    read = iso9660.read_file(damaged, "ovf-env.xml", LARGEST)
    assert read is None or len(read) <= LARGEST + 1


# --- vmtoolsd ---------------------------------------------------------------------------------------------------


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a vmtoolsd may be put; there are no other programs than a shell's own, and no drives."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("escadm.system.run.SBIN", ())
    monkeypatch.setattr("escadm.system.ovf.DEVICES", ())
    return tmp_path


def vmtoolsd(tools: Path, script: str) -> None:
    (tools / "vmtoolsd").write_text(f"#!/bin/sh\n{script}\n")
    (tools / "vmtoolsd").chmod(0o755)


def test_vmware_s_environment(tools: Path) -> None:
    vmtoolsd(tools, """[ "$1 $2" = '--cmd info-get guestinfo.ovfEnv' ] && echo '<Environment a="ä"/>'""")
    expected = Document('<Environment a="ä"/>'.encode(), "guestinfo.ovfEnv", "utf-8")
    assert find(Paths(), run) == Search(expected)


def test_below_a_root_nobody_asks_vmware(tools: Path) -> None:
    vmtoolsd(tools, "echo '<Environment/>'")
    assert find(Paths(tools), run) == Search(None)


@pytest.mark.parametrize(
    "script",
    [
        "echo 'No value found' >&2; exit 1",
        "echo 'vmtoolsd: this must run in a virtual machine.'; exit 1",
        "exit 0",
    ],
)
def test_no_environment_of_vmware_s(tools: Path, script: str) -> None:
    vmtoolsd(tools, script)
    assert find(Paths(), run) == Search(None)


def test_no_vmtoolsd(tools: Path) -> None:
    assert find(Paths(tools.parent / "nothing"), run) == Search(None)
    assert find(Paths(), run) == Search(None)


def test_a_failure_of_vmtoolsd_is_told_without_its_words(tools: Path) -> None:
    vmtoolsd(tools, "echo '<Property oe:value=\"hunter2\"'; exit 3")
    told = "cannot tell whether VMware has an OVF environment: vmtoolsd exited with code 3"
    assert find(Paths(), run) == Search(None, (told,))


def test_bytes_that_are_no_text_are_not_guessed(tools: Path) -> None:
    vmtoolsd(tools, r"printf '<Environment a=\"\377\"/>'")
    with pytest.raises(InvalidEnvironment, match=r"^guestinfo\.ovfEnv: is not UTF-8$"):
        find(Paths(), run)


def test_a_vmtoolsd_that_hangs_is_a_failure(tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing merged for want of an answer would be a machine without its passwords, for ever."""
    monkeypatch.setattr("escadm.system.ovf.WITHIN", 0.3)
    vmtoolsd(tools, "echo '<Property oe:value=\"hunter2\"'; exec /bin/sleep 60")
    with pytest.raises(Failed, match=r"^vmtoolsd: no end after 0\.3 s\n") as caught:
        find(Paths(), run)
    assert "hunter2" not in str(caught.value)


# --- a file -----------------------------------------------------------------------------------------------------


def test_a_file(tmp_path: Path) -> None:
    (tmp_path / "e.xml").write_bytes(XML)
    assert from_file(str(tmp_path / "e.xml")) == Document(XML, str(tmp_path / "e.xml"))


def test_endless_files_end() -> None:
    assert len(from_file("/dev/zero").data) == LARGEST + 1


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(Failed, match=f"^cannot read {tmp_path}/no: no such file or directory$"):
        from_file(f"{tmp_path}/no")
    with pytest.raises(Failed, match=f"^cannot read {tmp_path}: is a directory$"):
        from_file(str(tmp_path))
    denied = PermissionError(errno.EACCES, "Permission denied")
    with (
        patch("escadm.system.ovf.Path.open", side_effect=denied),
        pytest.raises(NotPermitted, match="permission denied"),
    ):
        from_file("/somewhere")


def test_a_document_does_not_show_what_is_in_it() -> None:
    assert repr(Document(b"hunter2", "guestinfo.ovfEnv")) == "Document('guestinfo.ovfEnv', 7 bytes)"
