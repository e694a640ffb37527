"""What scripts read in keepalived_state, whatever of it can be written."""

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from escadm.core.states import Role
from escadm.errors import EscadmError, Failed
from escadm.paths import Paths
from escadm.system import role_file

Refuse = Callable[..., None]


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    made = Paths(tmp_path)
    made.role.parent.mkdir(parents=True)
    return made


@pytest.fixture
def refuse(monkeypatch: pytest.MonkeyPatch) -> Refuse:
    """Let a method of Path fail for one path, as on a read-only file system."""

    def refuse(method: str, path: Path) -> None:
        real = getattr(Path, method)

        def call(self: Path, *arguments: object, **named: object) -> object:
            if self == path:
                raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(self))
            return real(self, *arguments, **named)

        monkeypatch.setattr(Path, method, call)

    return refuse


def fails(path: Path, *_: object) -> None:
    raise Failed(f"cannot write {path}: the disk is full")


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> None:
    """No new file, but what is there can be overwritten."""
    monkeypatch.setattr(role_file, "write_atomically", fails)


@pytest.fixture
def unwritable(full: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(role_file, "write_in_place", fails)


def error_of(work: Callable[..., object], *arguments: object) -> str:
    with pytest.raises(EscadmError) as caught:
        work(*arguments)
    return caught.value.message


def test_word_below_run_and_a_link_to_it(paths: Paths) -> None:
    role_file.write(Role.MASTER, paths)
    assert paths.role.readlink() == paths.role_word
    assert paths.role_word.parent == paths.run
    assert (paths.role.read_text(), stat.S_IMODE(paths.role.stat().st_mode)) == ("MASTER\n", 0o644)
    role_file.write(Role.FAULT, paths)
    assert (role_file.read(paths), role_file.why_no_link(paths)) == ("FAULT", "")
    assert [each.name for each in paths.role.parent.iterdir()] == ["keepalived_state"]


def test_nothing_is_written_where_all_is_well(paths: Paths, full: None) -> None:
    paths.run.mkdir(parents=True)
    paths.role_word.write_text("MASTER\n")
    paths.role.symlink_to(paths.role_word)
    before = paths.role_word.stat(), paths.role.lstat()
    role_file.write(Role.MASTER, paths)
    assert [each.st_mtime_ns for each in (paths.role_word.stat(), paths.role.lstat())] == [
        each.st_mtime_ns for each in before
    ]


def test_power_that_was_lost_leaves_a_link_to_nothing(paths: Paths) -> None:
    role_file.write(Role.MASTER, paths)
    paths.role_word.unlink()
    assert role_file.read(paths) is None
    assert paths.role.is_symlink()
    role_file.write(Role.BACKUP, paths)
    assert paths.role.read_text() == "BACKUP\n"


def test_word_of_somebody_else_does_not_last(paths: Paths) -> None:
    role_file.write(Role.BACKUP, paths)
    paths.role.write_text("MASTER\n")
    assert paths.role_word.read_text() == "MASTER\n"
    role_file.write(Role.BACKUP, paths)
    assert role_file.read(paths) == "BACKUP"


@pytest.mark.parametrize("older", ["file", "link"])
def test_what_an_older_version_left_is_replaced_at_once(paths: Paths, refuse: Refuse, older: str) -> None:
    elsewhere = paths.below("/elsewhere")
    elsewhere.write_text("MASTER\n")
    if older == "file":
        paths.role.write_text("MASTER\n")
        assert "is no link to" in role_file.why_no_link(paths)
    else:
        paths.role.symlink_to(elsewhere)
        assert f"leads to {elsewhere}" in role_file.why_no_link(paths)
    refuse("unlink", paths.role)  # no moment without a word
    role_file.write(Role.BACKUP, paths)
    assert (role_file.read(paths), paths.role.readlink()) == ("BACKUP", paths.role_word)
    assert elsewhere.read_text() == "MASTER\n"


def test_disk_without_room_for_a_second_name(paths: Paths, refuse: Refuse) -> None:
    paths.role.write_text("MASTER\n")
    refuse("symlink_to", paths.role.with_name(".keepalived_state.new"))
    role_file.write(Role.BACKUP, paths)
    assert (role_file.read(paths), paths.role.readlink()) == ("BACKUP", paths.role_word)


def test_link_that_cannot_be_made(paths: Paths, refuse: Refuse) -> None:
    refuse("symlink_to", paths.role.with_name(".keepalived_state.new"))
    refuse("symlink_to", paths.role)
    paths.role.write_text("MASTER\n")
    told = f"cannot make the link {paths.role}: the file system is read-only; {paths.role} has"
    assert error_of(role_file.write, Role.BACKUP, paths) == f"{told} no word"
    assert not paths.role.exists()
    assert role_file.why_no_link(paths) == f"there is no {paths.role}"
    paths.role.write_text("MASTER\n")
    refuse("unlink", paths.role)
    assert error_of(role_file.write, Role.BACKUP, paths) == f"{told} the word MASTER"
    assert paths.role_word.read_text() == "BACKUP\n"


def test_folder_in_the_place_of_the_link(paths: Paths) -> None:
    paths.role.mkdir()
    told = f"cannot make the link {paths.role}: it is a directory; {paths.role} has no word"
    assert error_of(role_file.write, Role.BACKUP, paths) == told
    assert [each.name for each in paths.role.parent.iterdir()] == ["keepalived_state"]


@pytest.mark.usefixtures("full")
def test_run_that_is_full_has_room_for_another_word(paths: Paths) -> None:
    paths.run.mkdir(parents=True)
    paths.role_word.write_text("STANDALONE\n")
    paths.role.symlink_to(paths.role_word)
    for role in (Role.MASTER, Role.FAULT, Role.BACKUP):
        role_file.write(role, paths)
        assert paths.role.read_text() == f"{role}\n"


@pytest.mark.usefixtures("unwritable")
@pytest.mark.parametrize("stays", [False, True])
def test_word_that_cannot_be_written_is_out_of_sight(paths: Paths, refuse: Refuse, stays: bool) -> None:
    paths.run.mkdir(parents=True)
    paths.role_word.write_text("MASTER\n")
    paths.role.symlink_to(paths.role_word)
    if stays:
        refuse("unlink", paths.role_word)
    told = error_of(role_file.write, Role.BACKUP, paths)
    assert told == f"cannot write {paths.role_word}: the disk is full; {paths.role} has no word"
    assert (paths.role_word.exists(), paths.role.is_symlink()) == (stays, not stays)


@pytest.mark.usefixtures("unwritable")
def test_word_that_cannot_be_hidden_either_is_told(paths: Paths, refuse: Refuse) -> None:
    paths.run.mkdir(parents=True)
    paths.role_word.write_text("MASTER\n")
    paths.role.symlink_to(paths.role_word)
    refuse("unlink", paths.role_word)
    refuse("unlink", paths.role)
    assert error_of(role_file.write, Role.BACKUP, paths).endswith(f"{paths.role} has the word MASTER")
    told = f"cannot remove {paths.role}: the file system is read-only"
    assert error_of(role_file.withdraw, paths) == told


def test_word_is_withdrawn(paths: Paths, refuse: Refuse) -> None:
    role_file.withdraw(paths)
    role_file.write(Role.MASTER, paths)
    role_file.withdraw(paths)
    assert (role_file.read(paths), paths.role_word.exists(), paths.role.is_symlink()) == (None, False, True)
    paths.role.unlink()
    paths.role.write_text("MASTER\n")
    role_file.withdraw(paths)
    assert not paths.role.exists()
    role_file.write(Role.MASTER, paths)
    refuse("unlink", paths.role_word)
    role_file.withdraw(paths)
    assert (role_file.read(paths), paths.role.is_symlink()) == (None, False)
