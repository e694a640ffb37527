"""``escadm drbd``: the first installation of the replicated volume, and the deliberate end of a split brain."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from escadm.cli.output import say
from escadm.cli.session import session
from escadm.errors import Failed, Usage

app = typer.Typer(
    help="The replicated volume: its first installation, and the end of a split brain.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

CONSENT = "discard the data of this node"


@app.command()
def init(
    context: typer.Context,
    primary: Annotated[
        bool, typer.Option("--primary", help="Make this node the source of the first copy; after init on both.")
    ] = False,
    erase: Annotated[
        str | None, typer.Option(metavar="DISK", help="The disk's name: what is on it may be destroyed.")
    ] = None,
) -> None:
    """Prepare this node's disk for replication: first on both nodes, then with --primary on one."""
    from escadm.actions.drbd_init import drbd_init  # noqa: PLC0415 - pydantic, which --help need not load
    from escadm.system.host import Host  # noqa: PLC0415
    from escadm.system.net import host_facts  # noqa: PLC0415

    here = session(context)
    here.require_root("prepare a disk")
    if not here.paths.is_host:
        raise Usage("cannot prepare a disk below --root: a disk belongs to the machine")
    say(drbd_init(here.paths, host_facts(here.paths), Host(), primary=primary, erase=erase, say=say))


@app.command()
def resolve(
    context: typer.Context,
    discard_local: Annotated[
        bool, typer.Option("--discard-local", help="Give up what was written here since the split.")
    ] = False,
    yes: Annotated[str | None, typer.Option(metavar="TEXT", help="The consent, word for word, for scripts.")] = None,
) -> None:
    """End a split brain: this node gives up its changes and takes the peer's data."""
    from escadm.actions.drbd_resolve import drbd_resolve, why_not_resolve  # noqa: PLC0415
    from escadm.system.replication import read_replica  # noqa: PLC0415

    here = session(context)
    here.require_root("decide about data")
    if not here.paths.is_host:
        raise Usage("cannot resolve a split brain below --root: the volume belongs to the machine")
    if not discard_local:
        raise Usage("say what is to be given up", "escadm drbd resolve --discard-local, on the node whose data goes")
    if why := why_not_resolve(read_replica()):
        raise Failed(f"cannot resolve: {why}")
    if yes is None and sys.stdin.isatty():
        say(f"Everything written on this node since the split will be lost. To go on, type: {CONSENT}")
        yes = sys.stdin.readline().strip()
    if yes != CONSENT:
        raise Failed("nothing was done: the consent was not given", f"type it, or give it with --yes '{CONSENT}'")
    say(drbd_resolve())
