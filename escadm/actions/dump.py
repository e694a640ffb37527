"""``dump``: the configuration that holds on this node."""

from __future__ import annotations

from dataclasses import dataclass

from escadm.config.dump import dump as dump_text
from escadm.config.load import load
from escadm.core.problem import Problem
from escadm.paths import Paths


@dataclass(frozen=True, slots=True)
class Dumped:
    """The merged configuration as YAML, secrets masked."""

    text: str
    warnings: tuple[Problem, ...]


def dump(paths: Paths) -> Dumped:
    """The file of the node laid over the catalogue. Raises InvalidConfig with every problem."""
    loaded = load(paths.config)
    return Dumped(dump_text(loaded), loaded.warnings)
