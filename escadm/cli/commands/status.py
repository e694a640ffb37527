"""``escadm status``: one line for monitoring, more with -v."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from escadm.actions.status import status as read_status
from escadm.cli import output
from escadm.cli.session import session
from escadm.core.snapshot import encode
from escadm.core.status import Snapshot
from escadm.paths import Paths

if TYPE_CHECKING:
    from rich.progress_bar import ProgressBar

POLL = 0.5
BAR = 60


def status(
    context: typer.Context,
    verbose: Annotated[
        bool, typer.Option("-v", "--v", "--verbose", help="One line for each resource, in start order.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The same facts as one JSON document.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Go on, and show every change (end with ^C).")] = False,
) -> None:
    """Tell how this node is, in one line.

    The line begins with the severity, and the exit code is the same: 0 healthy, 1 degraded or on the way, 2 failed or
    stopped, 3 unknown. Needs no root.
    """
    paths = session(context).paths
    if watch and output.is_terminal() and not as_json:
        _redraw(paths, verbose=verbose)
    elif watch:
        _follow(paths, verbose=verbose, as_json=as_json)
    snapshot = read_status(paths)
    if as_json:
        output.say_json(encode(snapshot))
    else:
        for line, colour in output.snapshot_lines(snapshot, verbose=verbose):
            output.say(line, colour=colour)
    raise typer.Exit(snapshot.verdict.severity)


def _follow(paths: Paths, *, verbose: bool, as_json: bool) -> NoReturn:
    """Print what ``status`` prints each time that it changes, until interrupted; JSON as one line each."""
    last = ""
    while True:
        text = _plain(read_status(paths), verbose=verbose, as_json=as_json)
        if text != last:
            output.say(text)
            last = text
        time.sleep(POLL)


def _plain(snapshot: Snapshot, *, verbose: bool, as_json: bool) -> str:
    if as_json:
        return json.dumps(encode(snapshot), ensure_ascii=False)
    return "\n".join(line for line, _ in output.snapshot_lines(snapshot, verbose=verbose))


def _redraw(paths: Paths, *, verbose: bool) -> NoReturn:
    """Keep the lines of ``status`` up to date in place, until interrupted."""
    from rich.console import Console, Group  # noqa: PLC0415 - for a terminal alone
    from rich.live import Live  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    def frame() -> Group:
        snapshot = read_status(paths)
        lines = output.snapshot_lines(snapshot, verbose=verbose)
        text = Text("\n").join(Text(line, style=colour or "") for line, colour in lines)
        return Group(text, *_sync(snapshot))

    console = Console(no_color=not output.has_colour(), highlight=False)
    with Live(frame(), console=console, auto_refresh=False, vertical_overflow="visible") as live:
        while True:
            time.sleep(POLL)
            live.update(frame(), refresh=True)


def _sync(snapshot: Snapshot) -> Iterator[ProgressBar]:
    """A bar as long as DRBD copies; the line above has the figures."""
    from rich.progress_bar import ProgressBar  # noqa: PLC0415 - for a terminal alone

    replica = snapshot.replication.replica if snapshot.replication else None
    if replica is not None and replica.is_syncing and replica.done is not None:
        yield ProgressBar(total=1.0, completed=replica.done, width=BAR)
