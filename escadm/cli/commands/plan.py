"""``escadm plan``: the order of things, without doing any."""

from __future__ import annotations

from typing import Annotated

import typer

from escadm.cli import output
from escadm.cli.session import session
from escadm.errors import Usage


def plan(
    context: typer.Context,
    resources: Annotated[
        list[str] | None, typer.Argument(metavar="RESOURCE", help="Only these, and what they force.")
    ] = None,
    *,
    stop: Annotated[bool, typer.Option("--stop", help="The order of a stop.")] = False,
    roles: Annotated[bool, typer.Option("--roles", help="The rules by which the role is decided.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As one JSON document.")] = False,
    as_dot: Annotated[bool, typer.Option("--dot", help="As a graph for dot(1).")] = False,
) -> None:
    """Show the order in which things would start or stop, as waves."""
    if roles and (resources or stop or as_dot):
        raise Usage("--roles goes with --json alone", "the rules of the role are the same on every node")
    if as_json and as_dot:
        raise Usage("--json and --dot do not go together", "choose one of them")
    from escadm.actions.plan import plan as order  # noqa: PLC0415 - the whole configuration
    from escadm.actions.plan import roles_json, roles_text  # noqa: PLC0415
    from escadm.system.net import host_facts  # noqa: PLC0415

    if roles:
        output.say((roles_json() if as_json else roles_text()).removesuffix("\n"))
        return
    paths = session(context).paths
    found = order(paths, host_facts(paths), resources or (), stop)
    output.warn(found.warnings)
    text = found.to_json() if as_json else found.to_dot() if as_dot else found.to_text()
    output.say(text.removesuffix("\n"))
