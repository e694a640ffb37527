"""What the tests of the program share."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def root() -> Iterator[Path]:
    """An empty root that everybody may read (pytest's own folders are their owner's alone)."""
    path = Path(tempfile.mkdtemp(prefix="escadm-test-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)
