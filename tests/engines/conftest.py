"""Fixtures of the tests that ask the real tools: a disk, and a root for the agent."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.agent.conftest import paths

__all__ = ["image", "loop", "paths"]

SIZE = 16 << 20


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A file of 16 MiB, all zero."""
    file = tmp_path / "image"
    with file.open("wb") as made:
        made.truncate(SIZE)
    return file


@pytest.fixture
def loop(image: Path) -> Iterator[str]:
    """The image as a block device."""
    losetup = ["losetup", "--find", "--show", "--direct-io=off", str(image)]
    name = subprocess.run(losetup, check=True, capture_output=True, text=True).stdout.strip()
    yield name
    subprocess.run(["losetup", "--detach", name], check=True)
