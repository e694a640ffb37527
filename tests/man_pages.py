"""The man pages: docs/man/NAME.SECTION.md as roff."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

SOURCES = Path(__file__).parents[1] / "docs/man"


def roff(source: Path) -> str:
    """The page as go-md2man makes it, without what mandoc and groff complain of in its work.

    That is a paragraph macro behind a heading, a font that does not exist, and empty lines.
    """
    made = subprocess.run(["go-md2man", "-in", source], capture_output=True, encoding="utf-8", check=True).stdout
    made = re.sub(r"^(\.S[HS] .*\n)\.PP\n", r"\1", made, flags=re.MULTILINE)
    return _outside_blocks(made.replace(r"\fB\fC", r"\fB"))


def _outside_blocks(text: str) -> str:
    """``text`` without empty lines, but for those between .nf and .fi."""
    kept: list[str] = []
    literal = False
    for line in text.splitlines():
        literal = (literal or line == ".nf") and line != ".fi"
        if line or (literal and kept[-1] != ".nf"):
            kept.append(line)
    return "\n".join(kept).replace("\n\n.fi", "\n.fi") + "\n"
