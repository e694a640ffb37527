"""The package of this tree, built once, and unpacked once."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.packaging.deb import ROOT

TIME = "1767225600"
NOT_COPIED = shutil.ignore_patterns(".git", ".venv", ".*_cache", ".hypothesis", "__pycache__", "dist")


def build_in(tree: Path, output: Path, umask: int = 0o022, **environment: str) -> Path:
    """Build the package of another tree, by a process of its own."""
    command = [sys.executable, "-m", "tests.packaging", "--output", str(output)]
    settings = os.environ | {"SOURCE_DATE_EPOCH": TIME} | environment
    done = subprocess.run(command, cwd=tree, env=settings, umask=umask, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tree, so that one tree is tested even where somebody works on it."""
    tree = tmp_path_factory.mktemp("checkout") / "escadm"
    shutil.copytree(ROOT, tree, ignore=NOT_COPIED)
    return tree


@pytest.fixture(scope="session")
def deb(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_in(checkout, tmp_path_factory.mktemp("package"))


@pytest.fixture(scope="session")
def unpacked(deb: Path) -> Path:
    """Its files, as they lie on a machine, below a folder; its control files in DEBIAN. And the machine's Python."""
    root = deb.parent / "unpacked"
    subprocess.run(["dpkg-deb", "--raw-extract", deb, root], check=True)
    (root / "usr/bin/python3").symlink_to(Path(sys.executable).resolve())
    return root
