"""The package of this tree, built once, and unpacked once."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.packaging.deb import build


@pytest.fixture(scope="session")
def deb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("package"))


@pytest.fixture(scope="session")
def unpacked(deb: Path) -> Path:
    """Its files, as they lie on a machine, below a folder; its control files in DEBIAN."""
    root = deb.parent / "unpacked"
    subprocess.run(["dpkg-deb", "--raw-extract", deb, root], check=True)
    return root
