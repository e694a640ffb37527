"""``escadm agent``: what the unit esc_service runs."""

from __future__ import annotations

import typer

from escadm.cli.session import session


def agent(context: typer.Context) -> None:
    """Run the agent in the foreground, as esc_service does."""
    here = session(context)
    here.require_root("run the agent")
    from escadm.agent.main import main  # noqa: PLC0415 - asyncio, and all that the agent needs

    raise typer.Exit(main(here.paths, here.debug))
