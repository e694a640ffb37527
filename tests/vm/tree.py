"""The work tree as a disk: the package escadm and what it depends on, for /usr/lib/escadm of both machines."""

from __future__ import annotations

import hashlib
import py_compile
import shutil
import subprocess
import tempfile
from pathlib import Path

import escadm
from tests.packaging.distributions import copy_files, distributions

SIZE = "96M"
"""Always the same: a saved state remembers the size of its disks."""


def fingerprint() -> bytes:
    """What the disk is made of, as a digest."""
    digest = hashlib.sha256()
    package = Path(escadm.__file__).parent
    for file in sorted(package.rglob("*")):
        if file.is_file() and "__pycache__" not in file.parts:
            digest.update(str(file.relative_to(package)).encode() + b"\0" + file.read_bytes())
    for name, distribution in sorted(distributions().items()):
        digest.update(f"{name} {distribution.version}\n".encode())
    return digest.digest()


def make_disk(disk: Path) -> None:
    """Write the disk; compiled, since emulated machines are slow at that. Takes about two seconds."""
    with tempfile.TemporaryDirectory(prefix="escadm-vm-") as folder:
        root = Path(folder)
        package = Path(escadm.__file__).parent
        shutil.copytree(package, root / "escadm", ignore=shutil.ignore_patterns("__pycache__"))
        unchecked = py_compile.PycInvalidationMode.UNCHECKED_HASH
        for module in (root / "escadm").rglob("*.py"):
            py_compile.compile(str(module), doraise=True, invalidation_mode=unchecked)
        for distribution in distributions().values():
            copy_files(distribution, root)
        subprocess.run(["truncate", "--size", SIZE, disk], check=True)
        subprocess.run(["mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-d", root, disk], check=True)
