"""The keys that cloud-init knows, from cloud_words.yaml."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import yaml


@cache
def words(kind: str) -> frozenset[str]:
    """The keys of ``top``, ``entry``, ``physical``, ``subnet`` or ``route``."""
    known: dict[str, list[str]] = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
    return frozenset(known[kind])
