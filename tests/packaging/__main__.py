"""``python -m tests.packaging [--version V] [--output DIR]``: builds the package and prints where it is."""

import argparse
import sys
from pathlib import Path

from tests.packaging.deb import ROOT, Unbuildable, build

parser = argparse.ArgumentParser(prog="tests/package", description="Build the Debian package of this tree.")
parser.add_argument("--version", help="instead of the one in escadm/__init__.py, e.g. 0.2.0.dev1")
parser.add_argument("--output", type=Path, default=ROOT / "dist", help="the folder it goes to (default: dist)")
wanted = parser.parse_args()
try:
    print(build(wanted.output, wanted.version))
except Unbuildable as problem:
    sys.exit(f"package: {problem}")
