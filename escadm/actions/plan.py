"""``plan``: the order in which things would start or stop."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from escadm.config import read_plan
from escadm.config.overlay import canonical
from escadm.core.graph import above, below, subgraph, waves
from escadm.core.plan import Plan
from escadm.core.problem import HostFacts, Problem
from escadm.core.rules.table import RULES
from escadm.errors import Usage
from escadm.paths import Paths

SCHEMA = 1


@dataclass(frozen=True)
class PlanView:
    """Waves: each may begin when all of the one before it has been reached (or, for a stop, is down)."""

    waves: tuple[tuple[str, ...], ...]
    waits_for: Mapping[str, tuple[str, ...]]
    stop: bool = False
    warnings: tuple[Problem, ...] = ()

    def to_text(self) -> str:
        """One line for each wave, and below it what its units wait for."""
        lines = []
        for number, wave in enumerate(self.waves, 1):
            for index, name in enumerate(wave):
                lead = f"{number:>3}  " if index == 0 else "     "
                waits = ", ".join(self.waits_for[name])
                lines.append(f"{lead}{name}" + (f"  (after {waits})" if waits else ""))
        return "".join(f"{line}\n" for line in lines)

    def to_json(self) -> str:
        """One JSON document with the stable keys ``schema``, ``waves`` and ``units``."""
        units = {name: {"waits_for": list(self.waits_for[name])} for wave in self.waves for name in wave}
        document = {"schema": SCHEMA, "waves": [list(wave) for wave in self.waves], "units": units}
        return json.dumps(document, indent=2) + "\n"

    def to_dot(self) -> str:
        """A graph for dot(1): an arrow leads from what goes first to what waits for it."""
        names = [name for wave in self.waves for name in wave]
        lines = [f'  "{name}";' for name in names]
        lines += [f'  "{first}" -> "{name}";' for name in names for first in self.waits_for[name]]
        return "\n".join(['digraph "escadm" {', "  rankdir=LR;", *lines, "}", ""])


def plan(paths: Paths, facts: HostFacts, resources: Sequence[str] = (), stop: bool = False) -> PlanView:
    """The order for this node; with ``resources``, for these and what they force up (or, for a stop, down)."""
    read = read_plan(paths.config, facts)
    return view(read.plan, resources, stop, read.warnings)


def view(plan: Plan, resources: Sequence[str] = (), stop: bool = False, warnings: tuple[Problem, ...] = ()) -> PlanView:
    """The order that is in ``plan``. What is switched off is left out, unless ``resources`` names it."""
    named = plan.with_members(_known(name, plan) for name in resources)
    needs = {name: unit.needs for name, unit in plan.units.items()}
    started = {name for name, unit in plan.units.items() if unit.startup} | set(named)
    if named:
        forced = above(subgraph(needs, started), named) if stop else below(needs, named)
        started = started & forced if stop else set(forced)
    part = subgraph(needs, started)
    ordered = [tuple(wave) for wave in waves(part)]
    if not stop:
        return PlanView(tuple(ordered), {name: tuple(lower) for name, lower in part.items()}, stop, warnings)
    waits = {name: tuple(sorted(upper for upper in part if name in part[upper])) for name in part}
    return PlanView(tuple(reversed(ordered)), waits, stop, warnings)


def roles_text() -> str:
    """The rules of the role, in the order in which they are asked."""
    lines = ["The first rule that fits applies; escadm status -v names it.", ""]
    for rule in RULES:
        lines += [rule.code, f"    when  {rule.when}", f"    then  {rule.then}"]
    return "".join(f"{line}\n" for line in lines)


def roles_json() -> str:
    """The same as one JSON document with the stable keys ``schema`` and ``rules``."""
    rules = [{"code": rule.code, "when": rule.when, "then": rule.then} for rule in RULES]
    return json.dumps({"schema": SCHEMA, "rules": rules}, indent=2) + "\n"


def _known(name: str, plan: Plan) -> str:
    found = canonical(name)
    if found in plan.units:
        return found
    close = get_close_matches(found, list(plan.units), n=1)
    hint = f"did you mean {close[0]}?" if close else f"there are: {', '.join(sorted(plan.units))}"
    raise Usage(f"there is no resource {name}", hint)
