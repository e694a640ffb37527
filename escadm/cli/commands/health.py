"""``escadm health``: look at everything now."""

from __future__ import annotations

from typing import Annotated

import typer

from escadm.cli import output
from escadm.cli.session import session
from escadm.core.snapshot import describe, encode

FAILED = 2
_WORDS = {True: ("ok", "green"), False: ("FAILED", "red"), None: ("not checked", "yellow")}


def health(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="The same facts as one JSON document.")] = False,
) -> None:
    """Check this node now: role, services, files, space, peer.

    Exits with 0 when nothing is wrong, else with 2. As an ordinary user it tells what it could not check.
    """
    from escadm.actions.health import health as check  # noqa: PLC0415 - the whole configuration
    from escadm.system.host import Host  # noqa: PLC0415
    from escadm.system.net import host_facts  # noqa: PLC0415

    paths = session(context).paths
    report = check(paths, host_facts(paths), Host())
    if as_json:
        checks = [{"name": each.name, "passed": each.passed, "detail": each.detail} for each in report.checks]
        output.say_json({**encode(report.snapshot), "passed": report.passed, "checks": checks})
    else:
        output.say(f"============== {report.heading} =================")
        for resource in report.snapshot.resources:
            output.say(describe(resource), colour=output.resource_colour(resource))
        for each in report.checks:
            word, colour = _WORDS[each.passed]
            output.say(f"{each.name}: {word}: {each.detail}", colour=colour)
        for line in report.copies:
            output.say(line)
        output.say("=======================================")
        output.say(f"ESC HEALTH {'PASSED' if report.passed else 'FAILED'}", colour="green" if report.passed else "red")
    raise typer.Exit(0 if report.passed else FAILED)
