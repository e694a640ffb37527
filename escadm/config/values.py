"""The values that a key may have: each is parsed once, from what the file says to a type.

Every parser takes the value as the reader delivered it and raises :class:`Wrong` with a message for people.
"""

from __future__ import annotations

import re
import shlex
import signal
from collections.abc import Callable
from dataclasses import dataclass

from escadm.config.reader import WrittenFloat
from escadm.core.specs import Secret

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_OPTION = re.compile(r"[a-z][a-z0-9-]*\Z")
_OPTION_VALUE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]*\Z")
_WORD = re.compile(r"[^\s\x00-\x1f\x7f]+\Z")
_UNIT = re.compile(r"[A-Za-z0-9][A-Za-z0-9:_.@\\-]*\.(service|socket|target|timer|path|mount|scope|slice)\Z")
_SHELL = re.compile(r"\d*[<>]|[|&;]+\Z|\$\(|`|\$[A-Za-z_{]|.*[;&]\Z")


class Wrong(ValueError):
    """A value that cannot be taken: what is wrong, and what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Dependency:
    """``NAME`` or ``NAME:STATE``."""

    name: str
    state: str | None = None

    def __str__(self) -> str:
        return f"{self.name}:{self.state}" if self.state else self.name


def describe(value: object) -> str:
    """A value as a message names it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, WrittenFloat):
        return value.text
    if isinstance(value, str):
        return repr(value if len(value) <= 60 else value[:57] + "...")
    if isinstance(value, int):
        return str(value)
    return "nothing" if value is None else "a mapping" if isinstance(value, dict) else "a list"


def flag(value: object) -> bool:
    """true or false."""
    if isinstance(value, bool):
        return value
    quoted = isinstance(value, str) and value.lower() in ("true", "false")
    hint = f"write {str(value).lower()} without quotes" if quoted else "write true or false"
    raise Wrong(f"{describe(value)} is neither true nor false", hint)


def text(value: object) -> str:
    """Any text of one line; numbers as they were written."""
    if isinstance(value, bool):
        raise Wrong(f"is read as {describe(value)}, not as a text", "put it in quotes")
    if isinstance(value, WrittenFloat):
        return value.text
    if isinstance(value, int):
        return str(value)
    if not isinstance(value, str):
        raise Wrong(f"{describe(value)} is no text")
    if not value or any(ord(character) < 32 for character in value):
        raise Wrong("is empty" if not value else "has a line break or another control character in it")
    return value


def startup(value: object) -> bool:
    """Whether it is started automatically: true, false, or manual (the same as false)."""
    return False if value == "manual" else flag(value)


def number(low: float, high: float, unit: str = "") -> Callable[[object], float]:
    """A number from ``low`` to ``high``."""

    def parse(value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            found = re.match(r"\s*(\d+(?:\.\d+)?)\s*(s|sec|seconds?)\Z", value) if isinstance(value, str) else None
            hint = f"write {found[1]}" if found else f"write a number from {low:g} to {high:g}"
            raise Wrong(f"{describe(value)} is not a number{unit}", hint)
        if not low <= value <= high:
            raise Wrong(f"{describe(value)} is out of range", f"it goes from {low:g} to {high:g}")
        return float(value)

    return parse


seconds = number(0.1, 86400, " of seconds")


def whole(low: int, high: int) -> Callable[[object], int]:
    """A whole number from ``low`` to ``high``."""

    def parse(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise Wrong(f"{describe(value)} is not a whole number", f"write a number from {low} to {high}")
        if not low <= value <= high:
            raise Wrong(f"{value} is out of range", f"it goes from {low} to {high}")
        return value

    return parse


port = whole(1, 65535)


def resource_name(value: object) -> str:
    """The name of a resource."""
    if not isinstance(value, str):
        raise Wrong(f"{describe(value)} is not the name of a resource")
    if not _NAME.match(value):
        raise Wrong(f"{describe(value)} cannot be the name of a resource", "use letters, digits, `_`, `-` and `.`")
    return value


def dependency(value: object) -> Dependency:
    """``NAME`` or ``NAME:STATE``."""
    if isinstance(value, dict) and len(value) == 1:
        (name,) = value
        raise Wrong("a mapping instead of NAME:STATE", f"write {name}:{value[name]} without a blank after the colon")
    if not isinstance(value, str):
        raise Wrong(f"{describe(value)} is not NAME or NAME:STATE")
    name, colon, state = value.partition(":")
    if colon and not _NAME.match(state):
        raise Wrong(f"{describe(value)} is not NAME or NAME:STATE")
    return Dependency(resource_name(name), state or None)


def absolute_path(value: object) -> str:
    """A path that begins with ``/`` and has no blanks in it."""
    result = text(value)
    if not result.startswith("/"):
        raise Wrong(f"{describe(result)} is a relative path", "begin it with /")
    if not _WORD.match(result) or ".." in result.split("/") or any(each in result for each in "\"'\\;{}"):
        raise Wrong(f"{describe(result)} has something in it that a path here cannot have: blanks, quotes or `..`")
    return result


def mount_point(value: object) -> str:
    """Where a file system goes: any directory but the root."""
    result = absolute_path(value).rstrip("/")
    if not result:
        raise Wrong("the root directory cannot be mounted over")
    return result


def word(value: object) -> str:
    """A text without blanks."""
    result = text(value)
    if not _WORD.match(result):
        raise Wrong(f"{describe(result)} has blanks in it")
    return result


def argument(value: object) -> str:
    """One word of a command's list: any text, a script of several lines too, and also an empty one."""
    if isinstance(value, str) and "\0" not in value:
        return value
    return text(value)


def command(value: object) -> tuple[str, ...]:
    """A command line as text, or as a list of words; no shell reads it."""
    if isinstance(value, list):
        words = tuple(argument(each) for each in value)
    else:
        line = text(value)
        try:
            words = tuple(shlex.split(line))
        except ValueError:
            raise Wrong("a quote that is never closed") from None
        strange = next((each for each in words if _SHELL.match(each)), None)
        if strange is not None:
            raise Wrong(f"{describe(strange)} is for a shell, and no shell reads it", 'write ["sh", "-c", "…"]')
    if not words or not words[0]:
        raise Wrong("is empty")
    if "/" in words[0] and not words[0].startswith("/"):
        raise Wrong(f"{describe(words[0])} is a relative path", "begin it with /")
    return words


def variable(value: object) -> str:
    """The name of an environment variable."""
    if not isinstance(value, str) or not _VARIABLE.match(value):
        raise Wrong(f"{describe(value)} cannot be the name of a variable", "use letters, digits and `_`")
    return value


def variable_value(value: object) -> str:
    """The value of an environment variable; it may be empty and may have line breaks. Messages never show it."""
    if isinstance(value, str) and "\0" not in value:
        return value
    if value is None:
        raise Wrong("has no value", 'write "" for an empty one')
    if isinstance(value, str | list | dict):
        raise Wrong("is no text")
    return text(value)


def drbd_option(value: object) -> str:
    """The name of an option of DRBD."""
    if not isinstance(value, str) or not _OPTION.match(value):
        raise Wrong(f"{describe(value)} cannot be an option of DRBD", "see drbd.conf(5)")
    return value


def drbd_option_value(value: object) -> str:
    """The value of an option of DRBD."""
    result = ("yes" if value else "no") if isinstance(value, bool) else text(value)
    if not _OPTION_VALUE.match(result):
        raise Wrong(f"{describe(result)} cannot be the value of an option of DRBD", "see drbd.conf(5)")
    return result


def secret(value: object) -> Secret:
    """A shared secret, at most the 63 characters that drbdadm takes. Messages never show it."""
    if not isinstance(value, str) or not re.match(r"[!#-\[\]-~]{1,63}\Z", value):
        raise Wrong('must be a text of 1 to 63 printable characters without blanks, `"` and `\\`', "put it in quotes")
    return Secret(value)


def stop_signal(value: object) -> str:
    """The name of a signal, with or without SIG."""
    name = value.upper() if isinstance(value, str) else ""
    name = name if name.startswith("SIG") else f"SIG{name}"
    allowed = {each.name for each in signal.Signals} - {"SIGSTOP", "SIGCONT", "SIGCHLD"}
    if name not in allowed:
        raise Wrong(f"{describe(value)} is not a signal that stops a process", "for example SIGTERM, SIGINT or SIGQUIT")
    return name


def unit(value: object) -> str:
    """The name of a systemd unit."""
    result = text(value)
    if _UNIT.match(result):
        return result
    if _UNIT.match(f"{result}.service") and "." not in result:
        return f"{result}.service"
    raise Wrong(f"{describe(result)} is not the name of a systemd unit", "for example postgresql.service")
