"""A file that is written inside of another one, as a value of it: what is found in it is told at its place there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import yaml

from escadm.config import nodes
from escadm.config.reader import Path
from escadm.core.problem import Problem, Where


@dataclass(frozen=True)
class Embedded:
    """The text of the inner file. ``first`` is the place of its first line, ``indent`` how far each line is moved
    to the right; without ``first`` (folded, quoted, encoded) everything is told at ``whole``."""

    text: str
    whole: Where
    first: int | None = None
    indent: int = 0

    def outer(self, where: Where) -> Where:
        """A place of the inner file as one of the outer file."""
        if self.first is None or not where.line:
            return self.whole
        return replace(self.whole, line=self.first + where.line - 1, column=where.column + self.indent)

    def problems(self, found: Iterable[Problem]) -> list[Problem]:
        return [replace(each, where=self.outer(each.where)) for each in found]


def embedded(outer: str, root: yaml.Node | None, path: Path, value: str, whole: Where) -> Embedded:
    """The text ``value`` that stands at ``path`` below ``root``, the node of the text ``outer``."""
    node = _find(root, path)
    if not isinstance(node, yaml.ScalarNode) or node.style != "|":
        return Embedded(value, whole)
    begin = node.start_mark.line + 1
    for written, inner in zip(outer.splitlines()[begin:], value.splitlines(), strict=False):
        if inner.strip():
            return Embedded(value, whole, begin + 1, _blanks(written) - _blanks(inner))
    return Embedded(value, whole, begin + 1)


def _find(node: yaml.Node | None, path: Path) -> yaml.Node | None:
    for part in path:
        found: yaml.Node | None = None
        if isinstance(node, yaml.MappingNode):
            found = next((value for key, value in node.value if getattr(key, "value", None) == part), None)
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            found = node.value[part]
        if found is None or isinstance(found, nodes.Alias):
            return None
        node = found
    return node


def _blanks(line: str) -> int:
    return len(line) - len(line.lstrip(" "))
