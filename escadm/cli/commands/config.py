"""``escadm config check`` and ``escadm dump``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from escadm.cli import output
from escadm.cli.session import session
from escadm.errors import Usage

app = typer.Typer(help="Look at the configuration file.", no_args_is_help=True)


@app.command("check")
def config_check(
    context: typer.Context,
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="Default: the esc-config.yaml of this node.")
    ] = None,
    user_data: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Check what cloud-init is to get on a node's first boot, instead."),
    ] = None,
) -> None:
    """Tell every mistake in a configuration, with its place."""
    from escadm.actions.config_check import check, check_user_data  # noqa: PLC0415 - the whole configuration
    from escadm.system.host import Host  # noqa: PLC0415
    from escadm.system.net import host_facts  # noqa: PLC0415

    if file is not None and user_data is not None:
        raise Usage("a configuration or user data: one of them at a time")
    paths = session(context).paths
    found = check_user_data(user_data) if user_data else check(file or paths.config, paths, host_facts(paths), Host())
    output.warn(found.warnings)
    output.say(f"{found.path}: good: {found.text}")


def dump(context: typer.Context) -> None:
    """Print the merged configuration, secrets masked.

    It is the built-in catalogue with this node's esc-config.yaml laid over it.
    """
    from escadm.actions.dump import dump as merged  # noqa: PLC0415 - the whole configuration

    found = merged(session(context).paths)
    output.warn(found.warnings)
    output.say(found.text.removesuffix("\n"))
