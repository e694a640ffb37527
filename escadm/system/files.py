"""Files that are whole at every moment: a copy in the same folder, fsync of file and folder, rename."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from escadm.core.rendered import RenderedFile
from escadm.errors import EscadmError, Failed, NotPermitted

PREVIOUS = ".previous"
ORIGINAL = ".orig"
NEW_FILE_MODE = 0o644
ONE_AT_A_TIME = threading.RLock()
"""Held by a thread that replaces files by what it makes of their present texts."""


def read(path: Path) -> str | None:
    """The text of a file, None where there is none."""
    with explained("read", path):
        try:
            return path.read_bytes().decode(errors="surrogateescape")
        except FileNotFoundError:
            return None


def write_atomically(path: Path, text: str, mode: int | None = None) -> bool:
    """Make ``text`` the contents of ``path`` in one step; True if the bytes differed.

    ``mode`` None keeps the mode of an existing file, a new one gets 0644. The owner is kept. Missing folders are
    made. A symbolic link stays: its target is replaced.
    """
    with explained("write", path):
        target = _Target.of(path)
        data = text.encode(errors="surrogateescape")
        wanted = target.mode if mode is None else mode
        if target.data == data:
            if target.mode != wanted:
                target.path.chmod(wanted)
            return False
        staged = target.stage(data, wanted)
        try:
            staged.replace(target.path)
        except BaseException:
            staged.unlink(missing_ok=True)
            raise
        sync_folder(target.path.parent)
    return True


class OwnFile:
    """A file that this process alone writes, again and again: nothing is done while it says what it should."""

    def __init__(self, path: Path, mode: int) -> None:
        self.path = path
        self._mode = mode
        self._says: object = None
        self._left: tuple[int, int, int] | None = None

    def put(self, value: object, words: Callable[[], str]) -> None:
        """Have the file say ``value``, in ``words``, which are asked for only if they are needed."""
        if self._left is not None and value == self._says and self._seen() == self._left:
            return
        self._left = None
        write_or_remove(self.path, words(), self._mode)
        self._says, self._left = value, self._seen()

    def _seen(self) -> tuple[int, int, int] | None:
        try:
            status = self.path.stat()
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns, status.st_mode


def write_or_remove(path: Path, text: str, mode: int) -> None:
    """Replace the contents; where that fails, no reader finds the old ones either.

    Removed, they leave room on a disk that is full, so it is tried once more. Raises what the last attempt met: the
    path is gone then, unless the message says that it stays.
    """
    try:
        write_atomically(path, text, mode)
    except EscadmError as error:
        try:
            path.unlink(missing_ok=True)
        except OSError as stays:
            raise Failed(f"{error.message}; what was there before cannot be removed: {stays.strerror}") from error
        write_atomically(path, text, mode)


def write_in_place(path: Path, text: str, mode: int) -> None:
    """Overwrite a file of a few bytes, which takes no new room on a disk that is full.

    Not for readers to whom it matters that they see the bytes of the old text that the new one does not cover, for a
    moment.
    """
    with explained("write", path):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, mode)
        try:
            data = text.encode()
            os.pwrite(descriptor, data, 0)
            os.ftruncate(descriptor, len(data))
            os.fchmod(descriptor, mode)
        finally:
            os.close(descriptor)


def keep_original(path: Path) -> Path | None:
    """Copy a file that is not ours to ``NAME.orig``, once; where the copy is, None if one was there already."""
    copy = path.with_name(path.name + ORIGINAL)
    text = read(path)
    if text is None or copy.exists():
        return None
    write_atomically(copy, text, stat.S_IMODE(path.stat().st_mode))
    return copy


def replace_all(files: Sequence[RenderedFile], aside: Sequence[Path] = (), *, keep: bool = True) -> list[str]:
    """Bring all ``files`` to disk and take those of ``aside`` away, or change none of them.

    With ``keep``, what was there stays as ``NAME.previous``. All that can fail for want of space or rights is done
    before the first name changes; should a rename fail all the same, those already done are taken back. Returns the
    paths that changed.
    """
    swaps: list[_Swap] = []
    done: list[_Swap] = []
    with ONE_AT_A_TIME:
        try:
            for file in files:
                with explained("write", Path(file.path)):
                    swaps.extend(_Swap.prepare(Path(file.path), file.text.encode(errors="surrogateescape"), file.mode))
            for path in aside:
                with explained("move", path):
                    swaps.extend(_Swap.prepare(path, None, 0))
            for swap in swaps:
                with explained("replace", swap.named):
                    done.append(swap)
                    swap.commit()
            for swap in swaps if keep else ():
                with explained("keep the previous copy of", swap.named):
                    swap.keep()
        except BaseException:
            for swap in reversed(done):
                swap.take_back()
            raise
        finally:
            for swap in swaps:
                swap.clean_up()
    return [str(swap.named) for swap in swaps]


def edit(path: Path, change: Callable[[str], str], mode_of: Callable[[str], int]) -> bool:
    """Replace the text of a file by what ``change`` makes of it, and its mode by that of the new text; whether that
    differs. Nothing happens where there is no file, or the same text in it."""
    with ONE_AT_A_TIME:
        if (text := read(path)) is None or (wanted := change(text)) == text:
            return False
        return bool(replace_all([RenderedFile(str(path), wanted, mode_of(wanted))], keep=False))


@dataclass(frozen=True, slots=True)
class _Target:
    """A file behind its links, as it is now: ``data`` None where there is none."""

    path: Path
    data: bytes | None
    mode: int = NEW_FILE_MODE
    owner: tuple[int, int] | None = None

    @classmethod
    def of(cls, path: Path) -> _Target:
        try:
            real = path.resolve()
        except RuntimeError:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP)) from None
        try:
            with real.open("rb") as file:
                status = os.fstat(file.fileno())
                return cls(real, file.read(), stat.S_IMODE(status.st_mode), (status.st_uid, status.st_gid))
        except FileNotFoundError:
            return cls(real, None)

    def stage(self, data: bytes, mode: int) -> Path:
        """A complete file with ``data`` beside the target, on disk."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}.")
        staged = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                if self.owner is not None and self.owner != (os.geteuid(), os.getegid()):
                    # Not root: the file becomes the caller's, which is what an editor would do as well.
                    with suppress(PermissionError):
                        os.fchown(descriptor, *self.owner)
                os.fchmod(descriptor, mode)
                os.fsync(descriptor)
        except BaseException:
            staged.unlink(missing_ok=True)
            raise
        return staged


@dataclass(slots=True)
class _Swap:
    """One file on its way: copies beside it of what will be (None = nothing) and of what was (None = nothing)."""

    named: Path
    target: _Target
    staged: Path | None = None
    saved: Path | None = None
    committed: bool = False
    kept: bool = False

    @classmethod
    def prepare(cls, path: Path, data: bytes | None, mode: int) -> list[_Swap]:
        """One swap, or none where the file already is as wanted."""
        target = _Target.of(path)
        if target.data == data:
            if data is not None and target.mode != mode:
                target.path.chmod(mode)
            return []
        swap = cls(path, target)
        try:
            if target.data is not None:
                swap.saved = target.stage(target.data, target.mode)
            if data is not None:
                swap.staged = target.stage(data, mode)
        except BaseException:
            swap.clean_up()
            raise
        return [swap]

    def commit(self) -> None:
        if self.staged is not None:
            self.staged.replace(self.target.path)
        elif self.saved is not None:
            self.target.path.replace(self.saved)
        self.committed = True
        sync_folder(self.target.path.parent)

    def take_back(self) -> None:
        """Undo commit. A second failure leaves this file new and the first error to tell the tale."""
        if not self.committed:
            return
        with suppress(OSError):
            if self.saved is not None:
                self.saved.replace(self.target.path)
            else:
                self.target.path.unlink(missing_ok=True)

    def keep(self) -> None:
        """Let what was there be NAME.previous."""
        if self.saved is not None:
            self.saved = self.saved.replace(self.target.path.with_name(self.target.path.name + PREVIOUS))
            self.kept = True

    def clean_up(self) -> None:
        for each in (self.staged, None if self.kept else self.saved):
            if each is not None:
                with suppress(OSError):
                    each.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """What was renamed in the folder keeps its name through a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def explained(verb: str, path: Path) -> Iterator[None]:
    """An OSError in here becomes one sentence about ``path`` and the next thing to do."""
    try:
        yield
    except OSError as error:
        raise _explain(f"cannot {verb} {path}", error) from error


def _explain(what: str, error: OSError) -> EscadmError:
    if error.errno in (errno.EACCES, errno.EPERM):
        return NotPermitted(f"{what}: permission denied", "run it as root")
    reason = {
        errno.ENOSPC: "the disk is full",
        errno.EDQUOT: "the disk quota is used up",
        errno.EROFS: "the file system is read-only",
        errno.EISDIR: "it is a directory",
    }.get(error.errno or 0, error.strerror or str(error))
    return Failed(f"{what}: {reason}")
