"""``escadm version``."""

from __future__ import annotations

from escadm import __version__
from escadm.cli.output import say


def version() -> None:
    """Show the version."""
    say(f"escadm {__version__}")
