"""``escadm reload``: the configuration taken up, by the agent where it runs."""

from __future__ import annotations

from typing import Annotated

import typer

from escadm.cli import output
from escadm.cli.progress import carry_out
from escadm.cli.session import session
from escadm.paths import Paths
from escadm.system.alive import holder


def reload(
    context: typer.Context,
    force: Annotated[
        bool, typer.Option("--force", help="Take up a change that the other node has to follow at once, too.")
    ] = False,
) -> None:
    """Check esc-config.yaml, write the files, take the change up.

    No role changes, and no service is restarted that the change does not need. With no agent running the files are
    written, and that is all.
    """
    here = session(context)
    here.require_root("reload the configuration")
    if holder(here.paths.lock) is not None:
        carry_out(here.paths, {"do": "reload", "force": force})
    else:
        _write(here.paths)


def _write(paths: Paths) -> None:
    from escadm.actions.reload import commit, prepare  # noqa: PLC0415 - the whole configuration
    from escadm.system.host import Host  # noqa: PLC0415
    from escadm.system.net import host_facts  # noqa: PLC0415

    host = Host()
    prepared = prepare(paths, host_facts(paths), host)
    output.warn(prepared.warnings)
    written = commit(prepared, host)
    for path in written:
        output.say(f"{'moved aside' if path in prepared.aside else 'wrote'} {path}")
    later = "the agent is not running: it takes the configuration up when it starts"
    output.say(later if written else f"nothing to change; {later}")
