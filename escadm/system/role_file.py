"""``keepalived_state``: the word of the role below /run, and the link to it where scripts look for it.

A word that cannot be replaced is removed, or the link to it is: no reader takes an old one for true.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from escadm.core.states import Role
from escadm.errors import EscadmError, Failed
from escadm.log import get
from escadm.paths import Paths
from escadm.system.files import explained, sync_folder, write_atomically, write_in_place

NEW = ".new"

log = get(__name__)


def write(role: Role, paths: Paths) -> None:
    """Let ``role`` be what scripts read. Cheap where it is that already.

    Raises Failed, which tells what stands there then.
    """
    try:
        if _text(paths.role_word) != f"{role.value}\n":
            _put(f"{role.value}\n", paths.role_word)
        if _leads_to(paths) != str(paths.role_word):
            _link(paths)
    except EscadmError as error:
        raise Failed(f"{error.message}; {_what_stands(role, paths)}") from error


def withdraw(paths: Paths) -> None:
    """Let no word stand: neither the file nor, where that stays, a link to it. Raises where one cannot be taken."""
    with suppress(OSError):
        paths.role_word.unlink()
    if read(paths) is not None:
        with explained("remove", paths.role):
            paths.role.unlink()


def read(paths: Paths) -> str | None:
    """The word as a script finds it; None where none can be read."""
    text = _text(paths.role)
    return None if text is None else text.rstrip("\n")


def why_no_link(paths: Paths) -> str:
    """What is wrong with the link; empty where it is as it should be."""
    found = _leads_to(paths)
    if found == str(paths.role_word):
        return ""
    if found is not None:
        return f"{paths.role} leads to {found}, not to {paths.role_word}"
    if os.path.lexists(paths.role):
        return f"{paths.role} is no link to {paths.role_word}: what is written there does not go with the power"
    return f"there is no {paths.role}"


def _put(text: str, word: Path) -> None:
    try:
        write_atomically(word, text, 0o644)
    except EscadmError:
        try:
            write_in_place(word, text, 0o644)
        except EscadmError:
            with suppress(OSError):
                word.unlink()
            raise


def _text(path: Path) -> str | None:
    try:
        with path.open(encoding="ascii", errors="replace") as file:
            return file.read(100)
    except OSError:
        return None


def _leads_to(paths: Paths) -> str | None:
    try:
        return str(paths.role.readlink())
    except OSError:
        return None


def _link(paths: Paths) -> None:
    """Put the link in place of what is there, at once, or else of nothing: removal gives a full disk its room back."""
    link, new = paths.role, paths.role.with_name(f".{paths.role.name}{NEW}")
    with explained("make the link", link):
        link.parent.mkdir(parents=True, exist_ok=True)
        try:
            new.unlink(missing_ok=True)
            new.symlink_to(paths.role_word)
            new.replace(link)
        except OSError:
            with suppress(OSError):
                new.unlink()
            link.unlink(missing_ok=True)
            link.symlink_to(paths.role_word)
        sync_folder(link.parent)
    log.info("%s is a link to %s now", link, paths.role_word)


def _what_stands(role: Role, paths: Paths) -> str:
    """What scripts read after a failure; an old word that stands below /run is out of their sight without the link."""
    if read(paths) not in (None, role.value) and _leads_to(paths) is not None:
        with suppress(OSError):
            paths.role.unlink()
    found = read(paths)
    return f"{paths.role} has {f'the word {found}' if found else 'no word'}"
