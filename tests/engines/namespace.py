"""Python code in a network namespace of its own."""

from __future__ import annotations

import subprocess
import sys


def run_apart(code: str) -> None:
    """Run it with a network that nobody else sees; AssertionError with what it printed where it fails."""
    done = subprocess.run(
        ["unshare", "--net", "--map-root-user", "--user", sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
