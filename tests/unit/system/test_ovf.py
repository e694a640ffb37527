"""The OVF environment as a machine finds it: what is no disc, and a vmtoolsd that is a script."""

import errno
import os
from pathlib import Path
from unittest.mock import patch

import pytest

from escadm.core.ovf import LARGEST
from escadm.errors import Failed, InvalidEnvironment, NotPermitted
from escadm.paths import Paths
from escadm.system.ovf import Document, Search, find, from_file
from escadm.system.run import run

XML = b'<?xml version="1.0"?>\n<Environment/>' + b"<!-- -->" * 1000


def found(root: Path) -> Search:
    return find(Paths(root), run)


@pytest.mark.parametrize("content", [b"", b"\0" * 100_000, os.urandom(40_000)], ids=["empty", "zeros", "noise"])
def test_what_is_no_disc(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/sr0").write_bytes(content)
    assert found(tmp_path) == Search(None)


def test_a_drive_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "dev/sr0").mkdir(parents=True)
    assert found(tmp_path) == Search(None, (f"cannot read {tmp_path}/dev/sr0: is a directory",))


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
