"""``escadm config check`` and ``escadm dump``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from escadm.cli import output
from escadm.cli.session import session

app = typer.Typer(help="Look at the configuration file.", no_args_is_help=True)


@app.command("check")
def config_check(
    context: typer.Context,
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="Default: the esc-config.yaml of this node.")
    ] = None,
) -> None:
    """Tell every mistake in a configuration, with its place."""
    from escadm.actions.config_check import check  # noqa: PLC0415 - the whole configuration
    from escadm.system.net import host_facts  # noqa: PLC0415

    paths = session(context).paths
    found = check(file or paths.config, host_facts(paths))
    output.warn(found.warnings)
    kind = "one node of a pair" if found.is_pair else "a standalone node"
    off = f", {found.switched_off} switched off" if found.switched_off else ""
    output.say(f"{found.path}: good: {kind}, {found.started} units to start{off}")


def dump(context: typer.Context) -> None:
    """Print the merged configuration, secrets masked.

    It is the built-in catalogue with this node's esc-config.yaml laid over it.
    """
    from escadm.actions.dump import dump as merged  # noqa: PLC0415 - the whole configuration

    found = merged(session(context).paths)
    output.warn(found.warnings)
    output.say(found.text.removesuffix("\n"))
