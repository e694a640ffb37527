"""``escadm agent``: what the unit esc_service runs."""

from __future__ import annotations

from typing import Annotated

import typer

from escadm.cli.session import session

Stop = Annotated[bool, typer.Option("--stop", help="Stop in order what a dead agent has left, and end.")]


def agent(context: typer.Context, *, stop: Stop = False) -> None:
    """Run the agent in the foreground, as esc_service does."""
    here = session(context)
    here.require_root("run the agent")
    from escadm.agent.main import main, stop_leftovers  # noqa: PLC0415 - asyncio, and all that the agent needs

    raise typer.Exit((stop_leftovers if stop else main)(here.paths, here.debug))
