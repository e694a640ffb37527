"""``escadm drbd``: the first installation of the replicated volume, and the deliberate decisions about its data."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from escadm.cli.meter import meters
from escadm.cli.output import complain, say
from escadm.cli.session import Session, session
from escadm.errors import Failed, Usage

app = typer.Typer(
    help="The replicated volume: its first installation, and decisions about its data.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

DISCARD = "discard the data of this node"
KEEP = "keep the data of this node"


@app.command()
def init(
    context: typer.Context,
    *,
    primary: Annotated[
        bool, typer.Option("--primary", help="Make this node the source of the first copy; after init on both.")
    ] = False,
    wait: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            min=0,
            help="Wait until the other node is the source; with --primary until it is prepared, 60 without this.",
        ),
    ] = None,
    erase: Annotated[
        str | None, typer.Option(metavar="DISK", help="The disk's name: what is on it may be destroyed.")
    ] = None,
    keep: Annotated[
        str | None, typer.Option(metavar="DISK", help="The disk's name: its file system becomes the pair's data.")
    ] = None,
) -> None:
    """Prepare this node's disk for replication: first on both nodes, then with --primary on one."""
    from escadm.actions.drbd_init import Leave, Teller, drbd_init  # noqa: PLC0415 - pydantic: not for --help
    from escadm.system.host import Host  # noqa: PLC0415
    from escadm.system.net import host_facts  # noqa: PLC0415

    here = _on_the_machine(context, "prepare a disk", "a disk belongs to the machine")
    try:
        with meters() as meter:
            facts, leave = host_facts(here.paths), Leave(erase, keep)
            teller = Teller(say, meter)
            told = drbd_init(here.paths, facts, Host(), teller, primary=primary, leave=leave, wait=wait)
    except KeyboardInterrupt:
        complain("interrupted", "type the same again: it goes on from there, or says what to do")
        raise
    say(told)


@app.command()
def resolve(
    context: typer.Context,
    *,
    discard_local: Annotated[
        bool, typer.Option("--discard-local", help="Give up what was written here since the split.")
    ] = False,
    keep_local: Annotated[
        bool, typer.Option("--keep-local", help="Go on with what is here: after a split, or without the peer.")
    ] = False,
    no_copy: Annotated[
        bool, typer.Option("--no-copy", help="With --discard-local: keep no copy of what is given up.")
    ] = False,
    yes: Annotated[str | None, typer.Option(metavar="TEXT", help="The consent, word for word, for scripts.")] = None,
) -> None:
    """Decide whose data the pair goes on with: this node gives its changes up, or keeps them."""
    if discard_local == keep_local:
        raise Usage(
            "say what is to become of this node's data: exactly one of --discard-local and --keep-local",
            "--discard-local on the node whose changes go, --keep-local on the other one",
        )
    if no_copy and keep_local:
        raise Usage("--no-copy goes with --discard-local")
    here = _on_the_machine(context, "decide about data", "the volume belongs to the machine")
    _keep_local(yes) if keep_local else _discard_local(here, yes, copy=not no_copy)


def _discard_local(here: Session, yes: str | None, *, copy: bool) -> None:
    from escadm.actions.drbd_init import Teller  # noqa: PLC0415
    from escadm.actions.drbd_resolve import discard_local, why_not_discard  # noqa: PLC0415
    from escadm.system.drbd.commands import read_replica  # noqa: PLC0415
    from escadm.system.net import host_facts  # noqa: PLC0415

    if why := why_not_discard(read_replica()):
        raise Failed(f"cannot resolve: {why}")
    _require_consent("Everything written on this node since the split will be lost.", DISCARD, yes)
    with meters() as meter:
        told = discard_local(here.paths, host_facts(here.paths), Teller(say, meter), copy=copy)
    say(told)


def _keep_local(yes: str | None) -> None:
    from escadm.actions.drbd_resolve import keep_local, must_be_declared, why_not_keep  # noqa: PLC0415
    from escadm.system.drbd.commands import read_replica  # noqa: PLC0415

    replica = read_replica()
    if why := why_not_keep(replica):
        raise Failed(f"cannot resolve: {why}")
    if must_be_declared(replica):
        _require_consent("The peer may have newer data: what only the peer has will not be part of it.", KEEP, yes)
    say(keep_local())


def _on_the_machine(context: typer.Context, what: str, why: str) -> Session:
    here = session(context)
    here.require_root(what)
    if not here.paths.is_host:
        raise Usage(f"cannot {what} below --root: {why}", "leave --root (ESCADM_ROOT) out")
    return here


def _require_consent(warning: str, consent: str, yes: str | None) -> None:
    if yes is None and sys.stdin.isatty():
        say(f"{warning} To go on, type: {consent}")
        yes = sys.stdin.readline().strip()
    if yes != consent:
        raise Failed("nothing was done: the consent was not given", f"type it, or give it with --yes '{consent}'")
