"""Scopes: on a machine that systemd has booted every service has a cgroup of its own below esc.slice.

The agent's own cgroup is emptied when the agent dies, so nothing of a service may be in it. A scope is ordered so that
systemd stops it after the agent, which stops the services in order itself. All that a service ever started is in its
scope, also what left its session, its parent and its environment behind.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from escadm.paths import Paths
from escadm.system.alive import command_line
from escadm.system.systemd import is_booted

SLICE = "esc.slice"
AGENT = "esc_service.service esc_stop.service"
"""Who stops what the scopes hold, in order: when the machine goes down, systemd has to wait for that."""
SYSTEMD_RUN = "/usr/bin/systemd-run"
SETPRIV = "/usr/bin/setpriv"
ENV = "/usr/bin/env"
HIERARCHIES = (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup/systemd"))
"""Where systemd keeps its cgroups: version 2 alone, version 2 beside version 1, version 1 alone."""
NAME = re.compile(r"esc-(?P<unit>.+)-[0-9a-f]{8}\.scope")
REFUSED = "Failed to "
NOT_FOUND = ("setpriv: failed to execute ", "/usr/bin/env: ")
NOT_EXECUTED = (126, 127)

Identity = tuple[int, int, Sequence[int]]
"""User, group and all groups."""


@dataclass(frozen=True, slots=True)
class Scope:
    """The scope of one incarnation of a unit: no two have the same name. ``after``: units that outlast it."""

    unit: str
    name: str
    after: tuple[str, ...] = ()

    def around(self, argv: Sequence[str], identity: Identity | None, settings: Mapping[str, str]) -> list[str]:
        """The command line that becomes ``argv`` in the scope, as another user where ``identity`` is given.

        systemd-run itself cannot change the user: with --scope it forgets the groups. ``settings``: variables that only
        ``argv`` may have (see for_the_loader).
        """
        order = [f"Before={AGENT}", *(f"After={unit}" for unit in self.after)]
        words = [SYSTEMD_RUN, "--scope", "--quiet", "--collect", "--no-ask-password", f"--slice={SLICE}"]
        words += [f"--unit={self.name}", f"--description=escadm: {self.unit}"]
        words += [f"--property={each}" for each in order]
        changed = [ENV, *(f"{name}={value}" for name, value in settings.items())] if settings else []
        return [*words, "--", *_as_user(identity), *changed, *argv]


def _as_user(identity: Identity | None) -> list[str]:
    if identity is None:
        return [SETPRIV, "--"]
    user, group, groups = identity
    return [SETPRIV, f"--reuid={user}", f"--regid={group}", f"--groups={','.join(map(str, groups))}", "--"]


def for_the_loader(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables of a service that make a program load other libraries: systemd-run shall not load them."""
    return {name: value for name, value in environment.items() if name.startswith("LD_")}


def new_scope(unit: str, paths: Paths, after: Sequence[str] = ()) -> Scope | None:
    """A scope for the next incarnation of the unit; None where there are none: no systemd, or a tree beside it."""
    if not is_booted(paths):
        return None
    return Scope(unit, f"esc-{unit}-{secrets.token_hex(4)}.scope", tuple(after))


def is_launching(pid: int) -> bool:
    """Whether the process has not become the service yet, but still is what puts it into its scope."""
    try:
        program = Path(f"/proc/{pid}/exe").readlink()
    except OSError:
        return False
    words = command_line(pid)
    if program == Path(SYSTEMD_RUN).resolve():  # the service may be one of its own; it has no words yet at first
        return words == [""] or f"--slice={SLICE}" in words
    return program == Path(SETPRIV).resolve()


def why_not_launched(program: str, code: int, said: str) -> str:
    """The sentence for a launch that came to nothing, from its exit code and last line; empty where it was none of it.

    The service may have ended as soon as it had begun: then the line is its own.
    """
    line = said.rstrip().rpartition("\n")[2]
    if code in NOT_EXECUTED and line.startswith(NOT_FOUND):
        return f"cannot start {program}: {program}: {line.rpartition(': ')[2]}"
    if code == 1 and line.startswith(REFUSED):
        return f"cannot start {program}: systemd refuses: {line}"
    return ""


def units_in_scopes() -> dict[str, set[int]]:
    """The units that have processes in scopes, each with these processes."""
    found: dict[str, set[int]] = {}
    for name, folder in _scopes():
        found.setdefault(name, set()).update(_pids(folder))
    return {name: pids for name, pids in found.items() if pids}


def kill_scopes(unit: str) -> None:
    """Have the kernel end all that is in scopes of the unit, what is being forked meanwhile included (Linux 5.14)."""
    for name, folder in _scopes(unit):
        if name == unit:
            with contextlib.suppress(OSError):  # an older kernel, or the scope has just gone
                descriptor = os.open(folder / "cgroup.kill", os.O_WRONLY)
                os.write(descriptor, b"1")
                os.close(descriptor)


def _scopes(unit: str = "*") -> Iterator[tuple[str, Path]]:
    for hierarchy in HIERARCHIES:
        for folder in hierarchy.glob(f"{SLICE}/esc-{unit}-*.scope"):
            if match := NAME.fullmatch(folder.name):
                yield match["unit"], folder


def _pids(folder: Path) -> Iterator[int]:
    """The processes of a cgroup and of those below it; one that goes away meanwhile has none."""
    for below, _, _ in os.walk(folder):
        with contextlib.suppress(OSError):
            yield from map(int, Path(below, "cgroup.procs").read_text().split())
