"""mandoc has nothing to say about the man pages."""

import subprocess
from pathlib import Path

import pytest

from tests.man_pages import SOURCES, roff


@pytest.mark.parametrize("source", sorted(SOURCES.glob("*.md")), ids=lambda source: source.stem)
def test_a_page_is_well_formed(source: Path, tmp_path: Path) -> None:
    made = tmp_path / source.stem
    made.write_text(roff(source))
    complaints = subprocess.run(
        ["mandoc", "-T", "lint", "-W", "warning", made], capture_output=True, text=True, check=False
    ).stdout
    assert not complaints
