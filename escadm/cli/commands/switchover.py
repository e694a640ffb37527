"""``escadm switchover``."""

from __future__ import annotations

from typing import Annotated

import typer

from escadm.cli.progress import carry_out
from escadm.cli.session import session


def switchover(
    context: typer.Context,
    force: Annotated[
        bool, typer.Option("--force", help="Hand over even where the standby does not look able to take over.")
    ] = False,
) -> None:
    """Hand the role of the primary over to a healthy standby."""
    here = session(context)
    here.require_root("hand the role over")
    carry_out(here.paths, {"do": "switchover", "force": force})
