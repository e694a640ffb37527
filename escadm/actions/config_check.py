"""``config check``: whether a configuration holds together and fits this machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from escadm.config import read_plan
from escadm.core.types import HostFacts, Problem


@dataclass(frozen=True, slots=True)
class Checked:
    """A configuration without errors: what it makes of this node, and what one should know about it."""

    path: Path
    warnings: tuple[Problem, ...]
    is_pair: bool
    started: int
    switched_off: int


def check(path: Path, facts: HostFacts) -> Checked:
    """Check the file ``path``. Raises InvalidConfig with every problem."""
    read = read_plan(path, facts)
    started = sum(unit.startup for unit in read.plan.units.values())
    return Checked(path, read.warnings, read.plan.is_pair, started, len(read.plan.units) - started)
