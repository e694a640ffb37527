"""Config to Plan: the units with their order, and the specs of the engines, held against a machine's facts."""

from __future__ import annotations

from escadm.config.findings import Findings
from escadm.config.load import Examined, Loaded
from escadm.config.network import engines
from escadm.config.order import order
from escadm.config.units import report_systemd_units, report_unknown_users, units
from escadm.core.plan import Plan
from escadm.core.problem import HostFacts, Problem
from escadm.errors import InvalidConfig

Compiled = tuple[Plan, tuple[Problem, ...]]


def compile_plan(loaded: Loaded, facts: HostFacts) -> Compiled:
    """The plan of a node, and warnings. Raises InvalidConfig with every problem at once."""
    return compile_examined(Examined(loaded, (), frozenset()), facts)


def compile_examined(examined: Examined, facts: HostFacts) -> Compiled:
    """As compile_plan; the errors that ``examined`` has already are raised together with those found here."""
    loaded = examined.loaded
    findings = Findings(loaded.marks, examined.errors)
    ordered = order(loaded.config, findings)
    specs = engines(loaded.config, facts, findings, examined.broken)
    report_systemd_units(loaded.config, facts, findings)
    if facts.strict:
        report_unknown_users(loaded.config, findings)
    if findings.errors:
        raise InvalidConfig(findings.errors)
    plan = Plan(units(loaded.config, ordered, specs), *specs)
    return plan, findings.warnings
