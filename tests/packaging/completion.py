"""bash completion, from the program's own commands and options: nothing of Python runs when a key is pressed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from escadm.cli.app import build
from escadm.config.overlay import catalogue

SOURCE = Path(__file__).parent / "files/completion.bash"
UNWANTED = {"--install-completion", "--show-completion"}


def completion() -> str:
    """The file for /usr/share/bash-completion/completions/escadm."""
    commands = list(_walk(typer.main.get_command(build()), ()))
    options = [option for _, command in commands for option in command.params if option.param_type_name == "option"]
    values = [option for option in options if not option.is_flag]
    filled = {
        "@CATALOGUE@": " ".join(sorted(catalogue())),
        "@TABLE@": "\n".join(_row(path, command) for path, command in commands),
        "@VALUES@": " ".join(_spellings(values)),
        "@PATHS@": " | ".join(_spellings([option for option in values if "Path" in type(option.type).__name__])),
    }
    text = SOURCE.read_text(encoding="utf-8")
    for place, content in filled.items():
        text = text.replace(place, content)
    return text


def _walk(command: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield path, command
    for name, child in getattr(command, "commands", {}).items():
        yield from _walk(child, (*path, name))


def _row(path: tuple[str, ...], command: Any) -> str:
    options = {name for each in command.params for name in each.opts if name.startswith("-")} - UNWANTED
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    kind = ""
    if arguments:
        kind = {"resources": "resources", "file": "file"}.get(arguments[0].name, "")
    visible = [name for name, child in getattr(command, "commands", {}).items() if not child.hidden]
    told = f"commands='{' '.join(visible)}' options='{' '.join(sorted(options | {'--help'}))}' arguments={kind}"
    return f"    '{' '.join(path)}') {told} ;;"


def _spellings(options: list[Any]) -> list[str]:
    """Every name of the options, with ``_`` and with ``-``."""
    names = {name for option in options for name in option.opts}
    return sorted(names | {"--" + name[2:].replace("_", "-") for name in names})
