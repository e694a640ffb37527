"""``escadm ovf merge``: what a machine was told when it was deployed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from escadm.cli import output
from escadm.cli.session import session

if TYPE_CHECKING:
    from escadm.actions.ovf_draft import Draft

app = typer.Typer(help="What a machine was told when it was deployed (OVF properties).", no_args_is_help=True)


@app.callback()
def _family() -> None:
    """Make it a family, though it has one verb."""


@app.command()
def merge(
    context: typer.Context,
    *,
    file: Annotated[
        str | None, typer.Option(metavar="FILE", help="The OVF environment, - for stdin. Default: this machine's.")
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Merge although it has been done; secrets.env is set to the properties.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the difference, and change nothing.")] = False,
) -> None:
    """Take the OVF properties into esc-config.yaml and secrets.env, once.

    What esc-config.yaml and secrets.env say already stays.
    """
    from escadm.actions.ovf_merge import Outcome, ovf_merge  # noqa: PLC0415 - the whole configuration
    from escadm.system.host import Host  # noqa: PLC0415
    from escadm.system.net import host_facts  # noqa: PLC0415

    here = session(context)
    if not (dry_run and file is not None):
        here.require_root("merge the OVF environment")
    result = ovf_merge(here.paths, host_facts(here.paths), Host(), file, again=again, dry_run=dry_run)
    output.warn(result.warnings)
    match result.outcome:
        case Outcome.NOTHING:
            output.say("no OVF environment: nothing to merge")
        case Outcome.ALREADY:
            output.say("already merged")
        case Outcome.ANOTHER:
            output.say(f"another OVF environment was merged than that of {result.origin}: nothing changed")
            output.say("to merge this one as well: escadm ovf merge --again")
        case Outcome.MERGED if result.draft is not None:
            _tell(result.draft, result.origin, str(here.paths.secrets), dry_run=dry_run)


def _tell(draft: Draft, origin: str, secrets: str, *, dry_run: bool) -> None:
    if dry_run:
        output.say_diff(draft.diff)
    else:
        output.say(f"merged {origin}")
        for what, old, new in draft.changes:
            output.say(f"{what}: {new}" + (f" (was {old})" if old else ""))
        output.say(f"{secrets}: {draft.variables} variables set")
    for note in draft.notes:
        output.say(note)
    if draft.is_for_reload and not dry_run:
        output.say("next: escadm reload")
