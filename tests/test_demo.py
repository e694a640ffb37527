"""The demo, as a person would run it."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_demo_shows_what_it_promises() -> None:
    done = subprocess.run(
        ["bash", "tests/demo"], cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "takeover" in done.stdout
