"""The package of this work tree, and the one that is its next version, on the disk that the machines install from."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

from escadm.errors import Failed
from tests.releases import PYTHON, run_in
from tests.vm import cache

ROOT = Path(__file__).parents[2]
SOURCES = ("escadm", "systemd", "etc", "docs/man", "tests/packaging", "tests/constraints.txt", "pyproject.toml")
"""What goes into the package, and what says how."""
SIZE = "64M"
KEPT = 7200.0
THIS, NEXT = "escadm.deb", "escadm-next.deb"
NEXT_VERSION = "99.0"


def fingerprint() -> str:
    """A name for the package as it is now."""
    files: list[Path] = []
    for path in (ROOT / name for name in SOURCES):
        files += path.rglob("*") if path.is_dir() else [path]
    digest = hashlib.sha256()
    for file in sorted(files):
        if file.is_file() and "__pycache__" not in file.parts:
            digest.update(f"{file.relative_to(ROOT)}\0{file.stat().st_mode & 0o111:o}\0".encode() + file.read_bytes())
    return digest.hexdigest()[:16]


def packages(release: str) -> Path:
    """The directory with both packages for a release and the ``disk`` that has them, built if need be."""
    return cache.made(f"packages-{release}", fingerprint(), lambda target: build(release, target), KEPT)


def build(release: str, target: Path) -> None:
    """Fill ``target``."""
    folder = target / "files"
    for name, options in ((THIS, []), (NEXT, ["--version", NEXT_VERSION])):
        folder.mkdir(exist_ok=True)
        argv = [PYTHON, "-m", "tests.packaging", "--output", str(target), *options]
        done = run_in(release, argv, share=(target,), capture_output=True, text=True)
        if done.returncode:
            raise Failed(f"cannot build the package for Debian {release}: {(done.stderr or done.stdout).strip()}")
        next(target.glob("*.deb")).rename(folder / name)
    disk = target / "disk"
    subprocess.run(["truncate", "--size", SIZE, disk], check=True)
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-d", folder, disk], check=True)
