"""A request to the agent, followed to its end: live on a terminal, one plain line for each event in a pipe."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping

import typer

from escadm.cli import output
from escadm.errors import Failed, InvalidConfig
from escadm.paths import Paths
from escadm.system.control import ask

_UNDER_WAY = frozenset({"starting", "stopping", "killing", "backoff"})
_Show = Callable[[Mapping[str, object]], None]


def carry_out(paths: Paths, request: Mapping[str, object]) -> None:
    """Have the agent do ``request``, show its progress, and end as it ended: typer.Exit with its code if not 0."""
    last: Mapping[str, object] = {}
    with _display() as show:
        for answer in ask(paths, request):
            last = answer
            if not answer.get("done"):
                show(answer)
    if not last.get("done"):
        raise Failed("the agent went away before it was done", f"its log is {paths.log}")
    code, message, hint = last.get("code"), str(last.get("message") or ""), str(last.get("hint") or "")
    if not isinstance(code, int) or code != 0:
        if code == InvalidConfig.exit_code:
            output.complain("the configuration is not valid")
            output.warn(message.splitlines())
        else:
            output.complain(message or "the agent could not do it", hint)
        raise typer.Exit(code if isinstance(code, int) else Failed.exit_code)
    for line in (message, hint):
        if line:
            output.say(line)


def plain_line(answer: Mapping[str, object]) -> str:
    """An event as one line: ``pgsql: starting``, ``pgsql: failed: exited with code 3``, or what was said."""
    if "unit" in answer:
        parts = (answer.get("unit"), answer.get("state"), answer.get("detail"))
        return ": ".join(str(part) for part in parts if part)
    return str(answer.get("say") or "")


@contextlib.contextmanager
def _display() -> Iterator[_Show]:
    if output.is_terminal():
        with _live() as show:
            yield show
    else:
        yield _print_plain


def _print_plain(answer: Mapping[str, object]) -> None:
    line = plain_line(answer)
    if line:
        output.say(line)


@contextlib.contextmanager
def _live() -> Iterator[_Show]:
    """One line for each unit, with a spinner as long as it is under way; sayings scroll by above."""
    from rich.console import Console, Group  # noqa: PLC0415 - for a terminal alone
    from rich.live import Live  # noqa: PLC0415
    from rich.spinner import Spinner  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    console = Console(no_color=not output.has_colour(), highlight=False, markup=False)
    rows: dict[str, Spinner | Text] = {}

    def show(answer: Mapping[str, object]) -> None:
        line = plain_line(answer)
        if "unit" in answer:
            state = str(answer.get("state"))
            colour = output.STATE_COLOURS.get(state, "")
            moving = state in _UNDER_WAY
            text = Text(line if moving else f"  {line}", style=colour)
            rows[str(answer["unit"])] = Spinner("line", text) if moving else text
            live.update(Group(*rows.values()))
        elif line:
            console.print(line, soft_wrap=True)

    with Live(console=console, refresh_per_second=8, vertical_overflow="visible") as live:
        yield show
