from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from escadm.core.rendered import RenderedFile
from escadm.errors import EscadmError, Failed, NotPermitted
from escadm.system.files import (
    OwnFile,
    edit,
    keep_original,
    read,
    replace_all,
    write_atomically,
    write_in_place,
    write_or_remove,
)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def everything(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_a_new_file_and_its_folders(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file"
    assert write_atomically(path, "text\n")
    assert (path.read_text(), mode(path)) == ("text\n", 0o644)
    assert everything(tmp_path) == {"a/b/file": "text\n"}


def test_an_edit_sees_what_it_replaces_and_makes_no_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    assert not edit(path, str.upper, lambda _: 0o640)
    path.write_text("text")
    assert edit(path, str.upper, lambda text: 0o640 if text == "TEXT" else 0o600)
    assert (path.read_text(), mode(path)) == ("TEXT", 0o640)
    assert not edit(path, str.upper, lambda _: 0o600)
    assert mode(path) == 0o640, "what stays as it is stays so with its mode"
    assert everything(tmp_path) == {"file": "TEXT"}


def test_of_two_threads_the_second_edits_what_the_first_has_written(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("")
    begun = threading.Barrier(2)

    def append(text: str) -> None:
        begun.wait(60)
        for _ in range(20):
            edit(path, lambda before: before + text, lambda _: 0o644)

    threads = [threading.Thread(target=append, args=(letter,)) for letter in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(path.read_text()) == ["a"] * 20 + ["b"] * 20


def test_what_cannot_be_replaced_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    write_or_remove(path, "old", 0o600)
    assert (path.read_text(), mode(path)) == ("old", 0o600)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(Failed, match=f"cannot write {path}: the disk is full$"):
            write_or_remove(path, "new", 0o600)
    assert everything(tmp_path) == {}
    path.mkdir()
    with pytest.raises(Failed, match=f"cannot write {path}: .*; what was there before cannot be removed: "):
        write_or_remove(path, "new", 0o600)


def test_what_is_removed_makes_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, real = tmp_path / "file", os.fsync
    path.write_text("old")

    def full_while_the_old_one_is_there(descriptor: int) -> None:
        if path.exists() and path.read_text() == "old":
            raise OSError(errno.ENOSPC, "full")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full_while_the_old_one_is_there)
    with pytest.raises(Failed):
        write_atomically(path, "new")
    write_or_remove(path, "new", 0o644)
    assert everything(tmp_path) == {"file": "new"}


def test_in_place_it_stays_the_same_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_in_place(path, "-254\n", 0o644)
    before = path.stat().st_ino
    write_in_place(path, "0\n", 0o644)
    assert (path.read_text(), mode(path), path.stat().st_ino) == ("0\n", 0o644, before)
    with pytest.raises(Failed, match=r"cannot write .*: it is a directory"):
        write_in_place(tmp_path, "0\n", 0o644)


def test_the_same_bytes_are_not_written_again(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, "text\n")
    before = path.stat()
    assert not write_atomically(path, "text\n")
    assert path.stat().st_ino == before.st_ino
    assert path.stat().st_mtime_ns == before.st_mtime_ns


def test_mode_and_owner_of_an_existing_file_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    path.chmod(0o600)
    os.chown(path, 65534, 65534)
    assert write_atomically(path, "new")
    assert (mode(path), path.stat().st_uid, path.stat().st_gid) == (0o600, 65534, 65534)


def test_a_mode_that_is_asked_for_is_set_also_where_the_bytes_are_the_same(tmp_path: Path) -> None:
    path = tmp_path / "file"
    assert write_atomically(path, "x", 0o640)
    assert mode(path) == 0o640
    assert not write_atomically(path, "x", 0o600)
    assert mode(path) == 0o600


def test_a_new_name_is_on_disk_before_anybody_goes_by_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """fsync(2): the folder needs one of its own, after the rename, or a power cut brings the old file back."""
    path, synced, fsync = tmp_path / "file", [], os.fsync

    def note(descriptor: int) -> None:
        synced.append((str(Path(f"/proc/self/fd/{descriptor}").readlink()), path.exists() and path.read_text()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    write_atomically(path, "one")
    write_atomically(path, "two")
    folder = str(tmp_path)
    assert [there for where, there in synced if where == folder] == ["one", "two"]
    assert [there for where, there in synced if where != folder] == [False, "one"]
    synced.clear()
    replace_all([RenderedFile(str(path), "three")])
    assert (folder, "three") in synced


def test_a_symbolic_link_stays_and_its_target_changes(tmp_path: Path) -> None:
    target, link = tmp_path / "real" / "file", tmp_path / "link"
    target.parent.mkdir()
    target.write_text("old")
    link.symlink_to("real/file")
    assert write_atomically(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"
    replace_all([RenderedFile(str(link), "newer")])
    assert link.is_symlink()
    assert everything(target.parent) == {"file": "newer", "file.previous": "new"}


def test_a_loop_of_links_and_a_folder_in_the_place_are_told(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to("loop")
    with pytest.raises(Failed, match=r"cannot write .*/loop: Too many levels of symbolic links"):
        write_atomically(loop, "x")
    with pytest.raises(Failed, match="it is a directory"):
        write_atomically(tmp_path, "x")


@pytest.mark.parametrize(
    ("number", "kind", "message"),
    [
        (errno.ENOSPC, Failed, "the disk is full"),
        (errno.EDQUOT, Failed, "the disk quota is used up"),
        (errno.EROFS, Failed, "the file system is read-only"),
        (errno.EACCES, NotPermitted, "permission denied"),
        (errno.EIO, Failed, "Input/output error"),
    ],
)
def test_errors_say_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[EscadmError], message: str
) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def refuse(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(kind) as caught:
        write_atomically(path, "new")
    assert caught.value.message == f"cannot write {path}: {message}"
    assert everything(tmp_path) == {"file": "old"}


def test_reading_what_is_not_there_and_what_is_not_text(tmp_path: Path) -> None:
    assert read(tmp_path / "nothing") is None
    (tmp_path / "bytes").write_bytes(b"\xff\n")
    text = read(tmp_path / "bytes")
    assert text is not None
    assert not write_atomically(tmp_path / "bytes", text)


def test_a_file_of_our_own_is_written_only_when_it_has_to_be(tmp_path: Path) -> None:
    file, asked = OwnFile(tmp_path / "run/status", 0o640), []

    def put(value: str) -> None:
        def words() -> str:
            asked.append(value)
            return value + "\n"

        file.put(value, words)
        assert file.path.read_text() == value + "\n"
        assert stat.S_IMODE(file.path.stat().st_mode) == 0o640

    put("a")
    put("a")
    assert asked == ["a"]
    put("b")
    file.path.unlink()
    put("b")
    file.path.chmod(0o600)
    put("b")
    file.path.write_text("what somebody else has put there\n")
    put("b")
    assert asked == ["a", "b", "b", "b", "b"]


def test_a_file_of_our_own_that_could_not_be_written_is_tried_again(tmp_path: Path) -> None:
    file = OwnFile(tmp_path / "run/status", 0o644)
    file.put("a", lambda: "a")
    file.path.parent.rename(tmp_path / "moved")
    file.path.parent.touch()
    for _ in range(2):
        with pytest.raises(Failed):
            file.put("b", lambda: "b")
    file.path.parent.unlink()
    (tmp_path / "moved").rename(file.path.parent)
    file.put("b", lambda: "b")
    assert file.path.read_text() == "b"


def test_an_original_is_kept_once_with_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "keepalived.conf"
    assert keep_original(path) is None
    path.write_text("by hand")
    path.chmod(0o600)
    copy = keep_original(path)
    assert copy is not None
    assert (copy.name, copy.read_text(), mode(copy)) == ("keepalived.conf.orig", "by hand", 0o600)
    path.write_text("again by hand")
    assert keep_original(path) is None
    assert copy.read_text() == "by hand"


def tree(folder: Path) -> tuple[list[RenderedFile], list[Path]]:
    """One file that changes, one that does not, a new one in a new folder, and one that goes."""
    for name in ("changes", "stays", "goes"):
        (folder / name).write_text(f"old {name}")
    (folder / "changes.previous").write_text("older changes")
    (folder / "changes").chmod(0o600)
    return [
        RenderedFile(str(folder / "changes"), "new changes", 0o640),
        RenderedFile(str(folder / "stays"), "old stays", 0o644),
        RenderedFile(str(folder / "sub" / "comes"), "new comes", 0o644),
    ], [folder / "goes", folder / "was never there"]


OLD = {
    "changes": "old changes",
    "changes.previous": "older changes",
    "stays": "old stays",
    "goes": "old goes",
}
NEW = {
    "changes": "new changes",
    "changes.previous": "old changes",
    "stays": "old stays",
    "goes.previous": "old goes",
    "sub/comes": "new comes",
}


def test_all_are_replaced_and_the_previous_copies_kept(tmp_path: Path) -> None:
    files, aside = tree(tmp_path)
    changed = replace_all(files, aside)
    assert changed == [str(tmp_path / name) for name in ("changes", "sub/comes", "goes")]
    assert everything(tmp_path) == NEW
    assert (mode(tmp_path / "changes"), mode(tmp_path / "changes.previous")) == (0o640, 0o600)
    assert replace_all(files, aside) == []
    assert everything(tmp_path) == NEW


class Interrupted(BaseException):
    """What the n-th call to the operating system ends in."""


EDGE = ("open", "rename", "replace", "unlink", "fsync", "fchmod", "write", "mkdir")


@contextmanager
def failing(monkeypatch: pytest.MonkeyPatch, at: int, failure: Callable[[], BaseException]) -> Iterator[list[str]]:
    """Let call number ``at`` to the edge fail, and count the calls."""
    calls: list[str] = []

    def wrap(name: str, real: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **named: object) -> object:
            calls.append(name)
            if len(calls) - 1 == at:
                raise failure()
            return real(*args, **named)

        return call

    with monkeypatch.context() as patch:
        for name in EDGE:
            patch.setattr(os, name, wrap(name, getattr(os, name)))
        yield calls


@pytest.mark.parametrize("failure", [lambda: OSError(errno.ENOSPC, "full"), Interrupted], ids=["full", "interrupted"])
def test_whatever_fails_all_files_are_old_or_all_are_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: Callable[[], BaseException]
) -> None:
    at, failed = 0, 0
    while True:
        folder = tmp_path / str(at)
        folder.mkdir()
        files, aside = tree(folder)
        error: BaseException | None = None
        with failing(monkeypatch, at, failure) as calls:
            try:
                replace_all(files, aside)
            except (EscadmError, Interrupted) as caught:
                error = caught
        state = everything(folder)
        contents = {name: text for name, text in state.items() if not name.startswith(".")}
        names = ("changes", "stays", "goes", "sub/comes")
        is_new = [contents.get(name) for name in names] == [NEW.get(name) for name in names]
        is_old = [contents.get(name) for name in names] == [OLD.get(name) for name in names]
        assert is_new or is_old, (at, calls[at:], contents)
        assert is_new == (error is None) or isinstance(error, Interrupted)
        assert mode(folder / "changes") == (0o640 if is_new else 0o600)
        if len(calls) <= at:
            break
        failed += error is not None
        at += 1
    assert failed > 15, "the failures were not injected"
    assert state == NEW


def test_write_atomically_is_old_or_new_whatever_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    at = 0
    while True:
        path.write_text("old")
        with failing(monkeypatch, at, lambda: OSError(errno.EIO, "broken")) as calls:
            try:
                write_atomically(path, "new")
            except Failed:
                assert path.read_text() in ("old", "new")
            else:
                assert path.read_text() == "new"
        assert everything(tmp_path).keys() == {"file"}
        if len(calls) <= at:
            break
        at += 1
    assert at > 3
