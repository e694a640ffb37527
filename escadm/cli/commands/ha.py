"""``escadm ha set``, ``ha show`` and ``ha unset``: what makes two nodes a pair."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import typer

from escadm.cli import output
from escadm.cli.session import session
from escadm.errors import Usage

if TYPE_CHECKING:
    from escadm.actions.ha_change import HaSetResult

app = typer.Typer(help="Make two nodes a pair, or a node standalone again.", no_args_is_help=True)

FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")
"""As ssh-keygen(1) writes it."""

DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the difference, and change nothing.")]
Text = str | None
Several = list[str] | None


@app.command("set")
def ha_set(
    context: typer.Context,
    *,
    kad_vip: Annotated[
        Text, typer.Option("--kad_vip", metavar="VIP", help="The virtual address: ADDRESS[/PREFIX][:INTERFACE].")
    ] = None,
    kad_vif: Annotated[
        Text,
        typer.Option(
            "--kad_vif",
            metavar="INTERFACE",
            help="For VIP and VRRP, or for VRRP alone where the VIP names its own.",
        ),
    ] = None,
    ha_node_list: Annotated[
        Several, typer.Option("--ha_node_list", metavar="ADDRESS ADDRESS", help="The two nodes; one is this one.")
    ] = None,
    kad_vri: Annotated[
        Text, typer.Option("--kad_vri", metavar="ID", help="The virtual router id, 1 to 255; default: from the VIP.")
    ] = None,
    kad_unicast_src_ip: Annotated[
        Text, typer.Option("--kad_unicast_src_ip", metavar="ADDRESS", help="Where this node's adverts come from.")
    ] = None,
    kad_unicast_peer: Annotated[
        Several, typer.Option("--kad_unicast_peer", metavar="ADDRESS", help="Where they go to.")
    ] = None,
    advert_interval: Annotated[
        Text, typer.Option("--advert_interval", metavar="SECONDS", help="Between adverts, 0.05 to 40; default: 1.")
    ] = None,
    gateway: Annotated[
        Several,
        typer.Option("--gateway", metavar="ADDRESS", help="Third machines that answer pings, to decide."),
    ] = None,
    dry_run: DryRun = False,
) -> None:
    """Write a pair's parameters into esc-config.yaml.

    What is not given keeps its value, and every other line of the file stays as it is.
    """
    from escadm.actions.ha_set import HaOptions  # noqa: PLC0415 - the whole configuration
    from escadm.actions.ha_set import ha_set as act  # noqa: PLC0415
    from escadm.system.net import host_facts  # noqa: PLC0415

    here = session(context)
    if not dry_run:
        here.require_root("change the configuration")
    options = HaOptions(
        kad_vip=kad_vip,
        kad_vif=kad_vif,
        ha_node_list=ha_node_list,
        kad_vri=kad_vri,
        kad_unicast_src_ip=kad_unicast_src_ip,
        kad_unicast_peer=kad_unicast_peer,
        advert_interval=advert_interval,
        gateway=gateway,
    )
    _tell(act(here.paths, host_facts(here.paths), options, dry_run), dry_run=dry_run)


@app.command("show")
def ha_show(context: typer.Context) -> None:
    """Show the pair's parameters in effect, defaults included."""
    from escadm.actions.ha_show import ha_show as look  # noqa: PLC0415 - the whole configuration
    from escadm.system.net import host_facts  # noqa: PLC0415

    paths = session(context).paths
    view = look(paths, host_facts(paths))
    output.warn(view.warnings)
    for name, value in view.parameters():
        output.say(f"{name}: {value}")
    if not view.parameters():
        output.say("this node is standalone")


@app.command("unset")
def ha_unset(context: typer.Context, dry_run: DryRun = False) -> None:
    """Take the pair's parameters out: back to a standalone node."""
    from escadm.actions.ha_unset import ha_unset as act  # noqa: PLC0415 - the whole configuration
    from escadm.system.net import host_facts  # noqa: PLC0415

    here = session(context)
    if not dry_run:
        here.require_root("change the configuration")
    _tell(act(here.paths, host_facts(here.paths), dry_run), dry_run=dry_run)


@app.command("trust")
def ha_trust(
    context: typer.Context,
    key: Annotated[
        str, typer.Argument(metavar="FINGERPRINT", help="The new peer's, as `ha show` tells it there.")
    ] = "",
    forget: Annotated[bool, typer.Option("--forget", help="Forget the peer's key: the next one is pinned.")] = False,
) -> None:
    """Take the key that a replaced peer offers for the peer's from now on.

    Until then a peer with another key than the one of the first contact is a stranger. Without a fingerprint the only
    key that is offered is taken.
    """
    from escadm.cli.progress import carry_out  # noqa: PLC0415 - it talks to the agent, which nothing else here does

    if forget and key:
        raise Usage("a fingerprint and --forget do not go together", "to take another key at once: without --forget")
    if key and not FINGERPRINT.fullmatch(key):
        raise Usage(f"{key} is no fingerprint", "on the peer, escadm ha show tells it: SHA256: and 43 characters")
    here = session(context)
    here.require_root("change whom this node trusts")
    carry_out(here.paths, {"do": "trust", "key": key, "forget": forget})


def _tell(result: HaSetResult, *, dry_run: bool) -> None:
    """What changed, and what to run next; of a dry run the difference."""
    output.warn(result.warnings)
    if not result.changes:
        output.say("nothing to change")
        return
    if dry_run:
        output.say_diff(result.diff)
        return
    for key, old, new in result.changes:
        change = f"removed (was {old})" if new is None else f"{new}" if old is None else f"{new} (was {old})"
        output.say(f"{key}: {change}")
    output.say(f"next: {result.next_steps[0]}")
    for step in result.next_steps[1:]:
        output.say(f"then: {step}")
