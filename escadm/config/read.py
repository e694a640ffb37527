"""A file to a plan in one go, with all that is to be said about it at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from escadm.config.compile import compile_examined
from escadm.config.findings import in_order
from escadm.config.load import examine, read_text
from escadm.core.plan import Plan
from escadm.core.problem import HostFacts, Problem


@dataclass(frozen=True)
class PlanRead:
    """A plan, the warnings about the file that it came from, and that file's text."""

    plan: Plan
    warnings: tuple[Problem, ...]
    text: str


def read_plan(path: Path, facts: HostFacts) -> PlanRead:
    """The plan that the file ``path`` asks for on this machine. Raises InvalidConfig with every problem."""
    return parse_plan(read_text(path), str(path), facts)


def parse_plan(text: str, file: str, facts: HostFacts) -> PlanRead:
    """The plan that ``text`` asks for. Raises InvalidConfig with every problem."""
    examined = examine(text, file)
    plan, warnings = compile_examined(examined, facts)
    return PlanRead(plan, in_order([*examined.loaded.warnings, *warnings]), text)
