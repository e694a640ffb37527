"""Fixtures of the tests of the agent."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from escadm.paths import Paths
from tests.unit.agent.world import sweep


@pytest.fixture
def paths(tmp_path: Path) -> Iterator[Paths]:
    """A root of its own; what still runs below it after the test is killed."""
    tmp_path.chmod(0o755)
    made = Paths(tmp_path)
    made.run.mkdir(parents=True)
    yield made
    sweep(made)
