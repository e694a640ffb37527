"""Which values of a configuration nobody may see, and how they are kept out of what is printed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import unified_diff

MASK = "***"
_KEY = re.compile(r"secret|passw|token|credential|private_?key|api_?key", re.IGNORECASE)
_LINE = re.compile(rf"([\w.-]*(?:{_KEY.pattern})[\w.-]*[\"']?\s*:[ \t]+)\S[^\r\n]*", re.IGNORECASE)
_SHORTEST = 4


def masked(value: object) -> object:
    """``value`` with everything below a key that sounds secret replaced."""
    if isinstance(value, dict):
        return {key: MASK if _KEY.search(key) and each is not None else masked(each) for key, each in value.items()}
    return [masked(each) for each in value] if isinstance(value, list) else value


def masked_text(text: str, document: object) -> str:
    """The YAML ``text``, or a part of it, without the secrets of ``document``, wherever they stand."""
    for secret in sorted(set(_secrets(document)), key=len, reverse=True):
        text = text.replace(secret, MASK)
    return _LINE.sub(rf"\1{MASK}", text)


def masked_diff(before: str, after: str, file: str, document: object) -> str:
    """A unified diff of the YAML texts ``before`` and ``after`` of ``file``, without the secrets of ``document``."""
    lines = unified_diff(before.splitlines(keepends=True), after.splitlines(keepends=True), file, file)
    return masked_text("".join(line if line.endswith("\n") else f"{line}\n" for line in lines), document)


def _secrets(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for key, each in value.items():
            if _KEY.search(key) and isinstance(each, str) and len(each) >= _SHORTEST:
                yield each
            yield from _secrets(each)
    elif isinstance(value, list):
        for each in value:
            yield from _secrets(each)
