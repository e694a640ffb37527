"""The package's copyright file: escadm's own licence, and the full text of that of each library it brings."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Mapping
from pathlib import Path

HEAD = Path(__file__).parent / "files/copyright"
LICENCE = re.compile(r"(LICEN[CS]E|COPYING|NOTICE)", re.IGNORECASE)
APACHE = """On Debian systems, the full text of the Apache License, Version 2.0, is in
/usr/share/common-licenses/Apache-2.0."""
HOLDER = re.compile(r"^\s*(?:copyright(?: \(c\)| ©)?) +(\d.*|the .*|[A-Z].*)$", re.IGNORECASE | re.MULTILINE)


class Unlicensed(Exception):
    """A library without the text of its licence may not be passed on."""


def copyright_file(found: Mapping[str, importlib.metadata.Distribution]) -> str:
    """The file, machine-readable (DEP-5)."""
    return HEAD.read_text(encoding="utf-8") + "".join(_paragraph(each) for _, each in sorted(found.items()))


def _paragraph(distribution: importlib.metadata.Distribution) -> str:
    name, version = distribution.metadata["Name"], distribution.version
    files = [file for file in distribution.files or () if LICENCE.match(file.name)]
    texts = [_text(Path(str(file.locate()))) for file in files]
    if not texts:
        raise Unlicensed(f"{name} {version} comes without its licence")
    holders = [line.strip() for text in texts for line in HOLDER.findall(text)] or [f"the authors of {name}"]
    parts = sorted({f"usr/lib/escadm/{file.parts[0]}" for file in distribution.files or () if file.parts[0] != ".."})
    where = [part if part.endswith((".py", ".so")) else f"{part}/*" for part in parts if part != "__pycache__"]
    fields = {"Files": sorted(set(where)), "Copyright": dict.fromkeys(holders), "License": [f"{name}-{version}"]}
    told = "".join(f"{field}: " + "\n ".join(lines) + "\n" for field, lines in fields.items())
    return f"\n{told}{_indented(texts)}\n"


def _text(file: Path) -> str:
    """A licence; one that every Debian system has is named, as Debian's policy has it."""
    text = file.read_text(encoding="utf-8")
    return APACHE if re.match(r"\s*Apache License\s+Version 2\.0,", text) else text


def _indented(texts: list[str]) -> str:
    lines = "\n\n".join(text.strip() for text in texts).splitlines()
    return "\n".join(f" {line.rstrip()}" if line.strip() else " ." for line in lines)
