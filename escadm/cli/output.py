"""Everything that is printed: data on stdout, messages on stderr, colour on a terminal alone, nothing ever cut."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from typing import TextIO

import typer

from escadm.core.problem import Problem
from escadm.core.snapshot import describe, status_line
from escadm.core.status import ResourceStatus, Snapshot

SEVERITY_COLOURS = ("green", "yellow", "red", "magenta")
STATE_COLOURS = {
    "running": "green",
    "master": "green",
    "backup": "green",
    "starting": "yellow",
    "stopping": "yellow",
    "killing": "yellow",
    "backoff": "yellow",
    "failed": "red",
    "unknown": "magenta",
}


class OutputLostError(Exception):
    """What is printed arrives nowhere: the reader of the pipe went away, or the disk is full."""

    def __init__(self, error: OSError) -> None:
        super().__init__(f"cannot write the output: {(error.strerror or str(error)).lower()}")
        self.is_reader_gone = isinstance(error, BrokenPipeError)


def say(text: str = "", *, colour: str | None = None) -> None:
    """Print lines of data at once. Raises OutputLostError when they cannot be written."""
    try:
        print(paint(text, colour), flush=True)
    except OSError as error:
        raise OutputLostError(error) from None


def say_json(document: object) -> None:
    """Print one JSON document, keys in their order."""
    say(json.dumps(document, indent=2, ensure_ascii=False))


def say_diff(text: str) -> None:
    """Print a unified diff; nothing where there is no difference."""
    for line in text.splitlines():
        say(line, colour={"+": "green", "-": "red"}.get(line[:1]))


def complain(message: str, hint: str = "") -> None:
    """One clear message on stderr, the next thing to do on the line after it."""
    first, *rest = message.splitlines() or [""]
    lines = [f"escadm: {first}", *rest, *([f"  {hint}"] if hint else [])]
    print("\n".join(lines), file=sys.stderr)


def warn(problems: Iterable[Problem | str]) -> None:
    """One line on stderr for each finding, as editors read them: FILE:LINE:COLUMN first."""
    for problem in problems:
        print(problem, file=sys.stderr)


def is_terminal(stream: TextIO | None = None) -> bool:
    """Whether lines on the stream can be drawn again: a terminal that is not a dumb one."""
    stream = sys.stdout if stream is None else stream
    return stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def has_colour(stream: TextIO | None = None) -> bool:
    """Whether the stream shows colour: a terminal, and nobody asked for NO_COLOR."""
    return is_terminal(stream) and not os.environ.get("NO_COLOR")


def paint(text: str, colour: str | None) -> str:
    """``text`` in a colour where stdout shows colour, else as it is."""
    return typer.style(text, fg=colour) if colour and has_colour() else text


def resource_colour(resource: ResourceStatus) -> str | None:
    """What is well is green; a volume that is up and has something to say is not quite."""
    colour = STATE_COLOURS.get(resource.state)
    return "yellow" if colour == "green" and resource.detail else colour


def snapshot_lines(snapshot: Snapshot, *, verbose: bool) -> list[tuple[str, str | None]]:
    """The lines of ``status`` and ``status -v``, each with its colour."""
    verdict = snapshot.verdict
    lines: list[tuple[str, str | None]] = [(status_line(verdict), SEVERITY_COLOURS[verdict.severity])]
    if verbose:
        lines += [(describe(resource), resource_colour(resource)) for resource in snapshot.resources]
        lines += [(line, None) for line in snapshot.peer.lines()] if snapshot.peer else []
        rule = snapshot.rule
        lines += [(f"rule {rule.code}: {rule.sentence}", None)] if rule else []
    return lines
