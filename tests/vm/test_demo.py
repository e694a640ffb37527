"""The second half of the demo: the data outlives the primary."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_demo_counts_the_rows(cached: str) -> None:
    argv = [sys.executable, "-m", "tests.vm.demo", cached]
    done = subprocess.run(argv, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert ", 0 lost" in done.stdout
