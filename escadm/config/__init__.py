"""The only place that knows YAML and pydantic."""

from escadm.config.read import PlanRead, parse_plan, read_plan

__all__ = ["PlanRead", "parse_plan", "read_plan"]
