"""Writes docs/reference/commands.md from the program itself: python tests/commands_page.py."""

import contextlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from escadm.cli.app import build

PAGE = Path(__file__).parents[1] / "docs/reference/commands.md"
COLUMNS = "100"
HEAD = """\
# Commands

What `--help` says, of every command. Both `--opt VALUE` and `--opt=VALUE` are taken everywhere, a blank after `=`
included; `_` and `-` in the name of an option are the same; `--root DIR` and `--debug` may stand anywhere. How commands
end: [exit codes](exit-codes.md); what `status --json` prints: [status --json](status-json.md).
"""


def page() -> str:
    """The page as it should be."""
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = COLUMNS
    try:
        program: Any = typer.main.get_command(build())
        return "\n".join([HEAD, *(_section(program, path) for path in _paths(program, ()))])
    finally:
        os.environ.pop("COLUMNS")
        if before is not None:
            os.environ["COLUMNS"] = before


def _paths(command: Any, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Every command, a family before its verbs, by name."""
    yield path
    for name, child in sorted(getattr(command, "commands", {}).items()):
        yield from _paths(child, (*path, name))


def _section(program: Any, path: tuple[str, ...]) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as said:
        program.main([*path, "--help"], prog_name="escadm", standalone_mode=False)
    text = "\n".join(line.rstrip() for line in said.getvalue().rstrip().splitlines())
    return f"## {' '.join(('escadm', *path))}\n\n```text\n{text}\n```\n"


if __name__ == "__main__":
    PAGE.write_text(page())
