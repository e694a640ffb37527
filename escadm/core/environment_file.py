"""A file of variables, ``NAME=VALUE`` each, as systemd's ``EnvironmentFile=`` and a POSIX shell read it. Pure.

Read as systemd.exec(5) has it: blank lines and lines that begin with ``#`` or ``;`` say nothing, text may be in single
or double quotes, a backslash at the end of a line joins it with the next one, the last of two equal names holds. What
is written is always in double quotes, so that a shell that sources the file reads the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto

from escadm.core.specs import Secret

BLANKS = " \t"
LINE_ENDS = "\n\r"
ESCAPED = '"\\`$'
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


class _State(Enum):
    BEFORE_NAME = auto()
    NAME = auto()
    BEFORE_VALUE = auto()
    VALUE = auto()
    ESCAPE = auto()
    SINGLE = auto()
    DOUBLE = auto()
    DOUBLE_ESCAPE = auto()
    COMMENT = auto()


_OPEN = frozenset({_State.ESCAPE, _State.SINGLE, _State.DOUBLE, _State.DOUBLE_ESCAPE})


@dataclass(slots=True)
class EnvironmentFile:
    """What is in such a file. ``spans``: where in the text each variable stands, without its line end.

    ``stray``: the lines that are no ``NAME=VALUE``, which are passed over; ``is_open``: the text ends within a quote.
    """

    variables: dict[str, Secret] = field(default_factory=dict)
    spans: dict[str, tuple[int, int]] = field(default_factory=dict)
    stray: list[int] = field(default_factory=list)
    is_open: bool = False


def parse(text: str) -> EnvironmentFile:
    """The variables of ``text``."""
    return _Scanner(text).scan()


def updated(text: str, variables: Mapping[str, str]) -> str:
    """``text`` with these variables, each in its place or at the end; every other line stays. It must not be open."""
    found = parse(text)
    there = sorted((found.spans[name], name) for name in variables if name in found.spans)
    for (first, last), name in reversed(there):
        text = text[:first] + assignment(name, variables[name]) + text[last:]
    more = "".join(f"{assignment(name, value)}\n" for name, value in variables.items() if name not in found.spans)
    if more and text and not text.endswith("\n"):
        text += "\n"
    if more and text.endswith("\\\n"):  # a comment that ends so goes on in the next line for systemd before 254
        text += "\n"
    return text + more


def assignment(name: str, value: str) -> str:
    """``NAME="VALUE"``, the real value in it."""
    return f'{name}="{"".join(f"{chr(92)}{each}" if each in ESCAPED else each for each in value)}"'


class _Scanner:
    """The states of systemd's own reader."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.found = EnvironmentFile()
        self.state = _State.BEFORE_NAME
        self.first = 0
        self.name = ""
        self.value = ""
        self.solid = 0  # so much of the value is not blanks at its end

    def scan(self) -> EnvironmentFile:
        for index, character in enumerate(self.text):
            self._take(index, character)
        self.found.is_open = self.state in _OPEN
        if self.state is _State.NAME:
            self._stray()
        elif self.state not in (_State.BEFORE_NAME, _State.COMMENT):
            self._push(len(self.text))
        return self.found

    def _take(self, index: int, character: str) -> None:
        match self.state:
            case _State.BEFORE_NAME | _State.COMMENT | _State.NAME:
                self._take_name(index, character)
            case _State.BEFORE_VALUE | _State.VALUE:
                self._take_value(index, character)
            case _State.ESCAPE:
                self.state = _State.VALUE
                if character not in LINE_ENDS:
                    self._add(character)
            case _State.SINGLE:
                self._in_quotes(character, "'")
            case _State.DOUBLE if character == "\\":
                self.state = _State.DOUBLE_ESCAPE
            case _State.DOUBLE:
                self._in_quotes(character, '"')
            case _State.DOUBLE_ESCAPE:
                self.state = _State.DOUBLE
                if character != "\n":
                    self._add(character if character in ESCAPED else f"\\{character}")

    def _take_name(self, index: int, character: str) -> None:
        if character in LINE_ENDS:
            if self.state is _State.NAME:
                self._stray()
            self.state = _State.BEFORE_NAME
        elif self.state is _State.BEFORE_NAME and character not in BLANKS:
            self.state = _State.COMMENT if character in "#;" else _State.NAME
            self.first, self.name, self.value, self.solid = index, "", "", 0
        if self.state is _State.NAME:
            if character == "=" and index > self.first:
                self.state = _State.BEFORE_VALUE
            else:
                self.name += character

    def _take_value(self, index: int, character: str) -> None:
        if character in LINE_ENDS:
            self._push(index)
            self.state = _State.BEFORE_NAME
        elif character == "\\":
            self.state = _State.ESCAPE
            self.solid = len(self.value)
        elif self.state is _State.BEFORE_VALUE and character in "\"'":
            self.state = _State.DOUBLE if character == '"' else _State.SINGLE
        elif self.state is _State.VALUE or character not in BLANKS:
            self.state = _State.VALUE
            self._add(character, solid=character not in BLANKS)

    def _in_quotes(self, character: str, quote: str) -> None:
        if character == quote:
            self.state = _State.BEFORE_VALUE
        else:
            self._add(character)

    def _add(self, text: str, *, solid: bool = True) -> None:
        self.value += text
        if solid:
            self.solid = len(self.value)

    def _push(self, end: int) -> None:
        name = self.name.rstrip(BLANKS)
        if not _NAME.match(name):
            self._stray()
            return
        self.found.variables[name] = Secret(self.value[: self.solid])
        self.found.spans[name] = (self.first, end)

    def _stray(self) -> None:
        self.found.stray.append(self.text.count("\n", 0, self.first) + 1)
