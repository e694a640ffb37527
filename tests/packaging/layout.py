"""What lies where in the package: from the tree's folders to the file system hierarchy."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Iterator
from pathlib import Path

from tests.man_pages import roff

UNITS = (".service", ".slice", ".socket", ".target", ".path", ".timer", ".mount")
FILES = Path(__file__).parent / "files"
OTHERS_FOLDERS = ("logrotate.d", "needrestart")
"""Folders of ``etc/`` that go below /etc, where other programs look for what concerns them."""


def copy_programs(stage: Path) -> None:
    for source in sorted((FILES / "bin").iterdir()):
        place(source, stage / "usr/bin" / source.name)


def make_interpreter(library: Path, python: str) -> None:
    """A virtual environment whose modules are those of the package: there ``bin/python3 -m escadm`` works."""
    link = library / "bin/python3"
    link.parent.mkdir()
    link.symlink_to("../../../bin/python3")
    write(library / "pyvenv.cfg", "home = /usr/bin\ninclude-system-site-packages = false\n")
    write(library / f"lib/python{python}/site-packages/escadm.pth", "../../..\n")


def copy_systemd(folder: Path, stage: Path) -> None:
    """Everything in ``systemd/`` by its name; a name that has no place is a mistake."""
    for source in _files(folder):
        inner = source.relative_to(folder)
        place(source, stage / _systemd_place(inner))


def _systemd_place(inner: Path) -> str:
    owner = inner.parts[0].removesuffix(".d")
    if owner.endswith(UNITS):
        return f"usr/lib/systemd/system/{inner}"
    if owner.endswith((".network", ".link", ".netdev")):
        return f"usr/lib/systemd/network/{inner}"
    if inner.suffix == ".tmpfiles":
        return f"usr/lib/tmpfiles.d/{inner.stem}.conf"
    if inner.suffix == ".preset":
        return f"usr/lib/systemd/system-preset/{inner}"
    if inner.parent.name.endswith(".conf.d"):
        return f"usr/lib/systemd/{inner}"
    raise ValueError(f"systemd/{inner}: no place is known for a file of that name")


def copy_configuration(etc: Path, stage: Path) -> None:
    """What an administrator may change (all of it conffiles), and the examples."""
    for source in _files(etc):
        inner = source.relative_to(etc)
        below = "etc" if inner.parts[0] in OTHERS_FOLDERS else "usr/share/doc/escadm/examples"
        place(source, stage / below / inner)


def conffiles(stage: Path) -> str:
    return "".join(f"/{file.relative_to(stage)}\n" for file in _files(stage / "etc"))


def copy_manual(folder: Path, stage: Path) -> None:
    """NAME.SECTION.md as NAME.SECTION, in troff, where man(1) looks."""
    for source in sorted(folder.glob("*.md")):
        section = source.stem.rpartition(".")[2]
        compress(roff(source).encode(), stage / f"usr/share/man/man{section}/{source.stem}.gz")


def place(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def write(target: Path, text: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8")


def compress(data: bytes, target: Path) -> None:
    """As ``gzip -n9``: neither name nor time in it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(gzip.compress(data, 9, mtime=0))


def _files(folder: Path) -> Iterator[Path]:
    yield from sorted(file for file in folder.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
