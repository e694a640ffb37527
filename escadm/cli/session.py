"""What every command knows of its surroundings: the file layout, and who asks."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

import typer

from escadm.errors import NotPermitted
from escadm.paths import Paths


@dataclass(frozen=True, slots=True)
class Session:
    """The global options of one run of the program."""

    paths: Paths = field(default_factory=Paths.from_environment)
    debug: bool = False

    def require_root(self, what: str) -> None:
        """Raise NotPermitted unless the caller may ``what``; below ``--root`` the files' own rights decide."""
        if self.paths.is_host and os.geteuid() != 0:
            raise NotPermitted(f"cannot {what}: only root may do this", "try again with sudo")


def session(context: typer.Context) -> Session:
    """The session of a running command."""
    found = context.find_object(Session)
    if found is None:
        raise TypeError("the command runs outside of the program")
    return found
