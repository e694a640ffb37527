"""How far something long has come: a bar on a terminal, a line now and then in a pipe; nothing for what is quick."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from escadm.cli import output

FIRST = 1.0
AGAIN = 10.0

Show = Callable[[int, int], None]


@contextlib.contextmanager
def meters() -> Iterator[Callable[[str], Show]]:
    """``meter(what)`` gives a function to be told of what is done, of all; what it draws ends with the context."""
    with contextlib.ExitStack() as stack:
        yield (lambda what: _bar(what, stack)) if output.is_terminal() else _lines


def _lines(what: str) -> Show:
    due = time.monotonic() + FIRST

    def show(done: int, whole: int) -> None:
        nonlocal due
        if time.monotonic() >= due:
            due = time.monotonic() + AGAIN
            output.say(f"{what}: {done / whole:.0%}")

    return show


def _bar(what: str, stack: contextlib.ExitStack) -> Show:
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn  # noqa: PLC0415 - terminals
    from rich.progress import TaskProgressColumn as Percent  # noqa: PLC0415

    bar = Progress(TextColumn("{task.description}", markup=False), BarColumn(), Percent(), TimeRemainingColumn())
    task: TaskID | None = None
    due = time.monotonic() + FIRST

    def show(done: int, whole: int) -> None:
        nonlocal task
        if task is None and time.monotonic() >= due:
            stack.enter_context(bar)
            task = bar.add_task(what, total=whole)
        if task is not None:
            bar.update(task, completed=done)
        if done >= whole:
            bar.stop()

    return show
