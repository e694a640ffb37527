"""``escadm diff``: what ``reload`` would change on disk."""

from __future__ import annotations

import typer

from escadm.cli import output
from escadm.cli.session import session


def diff(context: typer.Context) -> None:
    """Show what reload would change in keepalived.conf and esc.res."""
    from escadm.actions.diff import diff as compare  # noqa: PLC0415 - the whole configuration
    from escadm.system.host import Host  # noqa: PLC0415
    from escadm.system.net import host_facts  # noqa: PLC0415

    paths = session(context).paths
    output.say_diff(compare(paths, host_facts(paths), Host()))
