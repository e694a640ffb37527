"""``escadm lab``: two nodes on this machine, to try things on before a maintenance window."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from escadm.cli.output import say
from escadm.lab import namespaces
from escadm.lab.faults import KINDS, SERVICE_KILL
from escadm.lab.lab import Lab

app = typer.Typer(
    help="Two nodes, a and b, and a client on this machine, with the real keepalived: to try things on.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

NodeName = Annotated[str, typer.Argument(metavar="NODE", help="a, b or client.")]
OptionalNode = Annotated[
    str | None, typer.Argument(metavar="[NODE]", help="Default: the primary, or both for a repair.")
]


@app.command()
def up(
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="An esc-config.yaml to try; default: the manual's own.")
    ] = None,
    advert: Annotated[
        float | None, typer.Option(metavar="SECONDS", min=0.05, max=40, help="The interval of keepalived's adverts.")
    ] = None,
    standalone: Annotated[
        bool, typer.Option("--standalone", help="Two nodes that are no pair yet: `ha set` makes them one.")
    ] = False,
) -> None:
    """Start both nodes and their agents; nothing on this machine is changed."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _give_up)
    lab = Lab(config=_text(config), file=str(config), advert=advert, standalone=standalone)
    with lab:
        lab.wait_for_agents()
        lab.detach()
    for note in lab.notes:
        say(note)
    for line in lab.describe():
        say(line)
    say("next: escadm lab exec a escadm status -v; at the end: escadm lab down")


@app.command()
def status() -> None:
    """Show the nodes: power, addresses, who has the VIP, and what each agent says."""
    for line in Lab().describe():
        say(line)


@app.command("exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
def execute(
    node: NodeName,
    command: Annotated[list[str], typer.Argument(metavar="CMD...", help="The command and its arguments.")],
) -> None:
    """Run a command on a node; its exit code is that of this one."""
    argv = Lab().node(node).up.enter(command)
    sys.stdout.flush()
    os.execvpe(argv[0], argv, namespaces.environment())  # noqa: S606 - that is what the command is for


@app.command(help=f"Break or repair something: {', '.join(KINDS)}, or {SERVICE_KILL} NODE NAME.")
def fault(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="What happens.")],
    node: OptionalNode = None,
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help=f"The service, for {SERVICE_KILL}.")] = None,
) -> None:
    say(Lab().fault(kind, node, name))


@app.command()
def down() -> None:
    """End both nodes and remove everything that the lab made."""
    Lab().down()


def _text(file: Path | None) -> str | None:
    from escadm.config.load import read_text  # noqa: PLC0415 - pydantic, which no other command of the lab needs

    return None if file is None else read_text(file)


def _give_up(number: int, _frame: object) -> NoReturn:
    raise SystemExit(128 + number)
