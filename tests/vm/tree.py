"""The work tree as a disk: the package escadm and what it depends on, for /usr/lib/escadm of both machines."""

from __future__ import annotations

import hashlib
import importlib.metadata
import py_compile
import shutil
import subprocess
import tempfile
from pathlib import Path

from packaging.requirements import Requirement

import escadm

SIZE = "96M"
"""Always the same: a saved state remembers the size of its disks."""


def distributions(name: str = "escadm") -> dict[str, importlib.metadata.Distribution]:
    """What ``name`` needs to run, whatever those need included, itself not."""
    found: dict[str, importlib.metadata.Distribution] = {}
    todo = [name]
    while todo:
        for line in importlib.metadata.distribution(todo.pop()).requires or ():
            needed = Requirement(line)
            if needed.name not in found and (needed.marker is None or needed.marker.evaluate({"extra": ""})):
                found[needed.name] = importlib.metadata.distribution(needed.name)
                todo.append(needed.name)
    return found


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


def copy_files(distribution: importlib.metadata.Distribution, root: Path) -> None:
    """The files of a distribution that lie beside each other in site-packages: modules, data, metadata."""
    for file in distribution.files or ():
        source = Path(str(file.locate()))
        if file.parts[0] == ".." or not source.is_file():
            continue
        target = root / file
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)
