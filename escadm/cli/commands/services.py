"""``escadm start``, ``stop`` and ``restart``: all in order, or the named resources.

Without an agent, ``start`` and ``restart`` have systemd start it, and ``stop`` finds that all is stopped already.
"""

from __future__ import annotations

from typing import Annotated

import typer

from escadm.cli import output
from escadm.cli.progress import carry_out
from escadm.cli.session import session
from escadm.system import alive

Resources = Annotated[list[str] | None, typer.Argument(metavar="RESOURCE", help="Only these, and what they force.")]


def start(context: typer.Context, resources: Resources = None) -> None:
    """Start all in order, or these after all that they need."""
    _change(context, "start", resources)


def stop(context: typer.Context, resources: Resources = None) -> None:
    """Stop all in order, or these after all that needs them."""
    _change(context, "stop", resources)


def restart(context: typer.Context, resources: Resources = None) -> None:
    """Stop, then start again, all or these."""
    _change(context, "restart", resources)


def _change(context: typer.Context, what: str, resources: list[str] | None) -> None:
    here = session(context)
    here.require_root(f"{what} services")
    if alive.holder(here.paths.lock) is None:
        from escadm.actions.start_agent import start_agent, stopped_already  # noqa: PLC0415 - the whole configuration

        if what == "stop" and stopped_already(here.paths, resources or []):
            output.say("stopped already")
            return
        if what != "stop" and start_agent(here.paths):
            what = "start"
    carry_out(here.paths, {"do": what, "resources": resources or []})
