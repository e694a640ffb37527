"""The demo, as a person would run it; its second half is in tests/vm/test_demo.py."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_demo_shows_what_it_promises() -> None:
    argv = ["bash", "tests/demo", "--without-replication"]
    done = subprocess.run(argv, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr  # the end tells what failed
    assert "takeover" in done.stdout
