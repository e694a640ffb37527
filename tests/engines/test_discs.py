"""The OVF environment on real discs, made by genisoimage."""

import errno
import os
import subprocess
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from escadm.core.ovf import LARGEST
from escadm.paths import Paths
from escadm.system import iso9660
from escadm.system.ovf import Document, Search, find
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


@pytest.mark.parametrize("number", [errno.ENOMEDIUM, errno.ENXIO])
def test_an_empty_drive_is_nothing_to_tell(folder: Path, number: int) -> None:
    disc(folder)
    with patch.object(Path, "open", side_effect=OSError(number, os.strerror(number))):
        assert found(folder.parent) == Search(None)


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
