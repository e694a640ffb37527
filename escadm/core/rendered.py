"""A file as it should be."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RenderedFile:
    """A file as it should be: absolute path (root included), text, permission bits."""

    path: str
    text: str
    mode: int = 0o644
