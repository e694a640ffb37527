"""``config check``: whether a configuration holds together and fits this machine, or user data another one."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from escadm.actions.reload import ask_engine, render
from escadm.config import read_plan
from escadm.config.load import text_if_any
from escadm.config.user_data import examine_user_data
from escadm.core.plan import Plan
from escadm.core.problem import HostFacts, Problem, Where
from escadm.errors import Failed, NotInstalled, NotPermitted
from escadm.paths import Paths
from escadm.system.host import Host


@dataclass(frozen=True, slots=True)
class Checked:
    """A configuration without errors: what it makes of a node, and what one should know about it."""

    path: Path
    warnings: tuple[Problem, ...]
    plan: Plan | None

    @property
    def text(self) -> str:
        """What the node would be, in one line."""
        if self.plan is None:
            return "no configuration in it: a standalone node"
        started = sum(unit.startup for unit in self.plan.units.values())
        kind = "one node of a pair" if self.plan.is_pair else "a standalone node"
        off = len(self.plan.units) - started
        return f"{kind}, {started} units to start" + (f", {off} switched off" if off else "")


def check(path: Path, paths: Paths, facts: HostFacts, host: Host) -> Checked:
    """Check the file ``path`` for this node, and have the engines try what would be made of it.

    Raises InvalidConfig with every problem, and Failed with what an engine objects to.
    """
    read = read_plan(path, facts)
    return Checked(path, (*read.warnings, *_try_files(read.plan, path, paths, facts, host)), read.plan)


def _try_files(plan: Plan, path: Path, paths: Paths, facts: HostFacts, host: Host) -> Iterator[Problem]:
    """A warning for each engine that could not be asked: a configuration may be checked where it will not run."""
    objections: list[Failed] = []
    for file in render(plan, paths):
        try:
            ask_engine(file, plan, paths, facts, host)
        except Failed as error:
            objections.append(error)
        except (NotInstalled, NotPermitted) as error:
            hint = f"what it says of its {Path(file.path).name} is not known"
            yield Problem(Where(str(path)), "", error.message, hint, warning=True)
    if objections:
        raise Failed("\n".join(error.message for error in objections), objections[0].hint)


def check_user_data(path: Path) -> Checked:
    """Check the file ``path`` that cloud-init is to get. Raises InvalidUserData with every problem."""
    text = text_if_any(path)
    if text is None:
        raise Failed(f"cannot read {path}: there is no such file")
    found = examine_user_data(text, str(path), chkconfig=shutil.which("chkconfig") is not None)
    return Checked(path, found.warnings, found.plan)
