"""Fixtures of the tests that touch the machine."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.system.services import Services


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    tmp_path.chmod(0o755)
    made = Services(tmp_path)
    yield made
    made.sweep()
