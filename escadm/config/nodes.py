"""YAML nodes as places in a text: where they begin and end, and how new ones are written."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, cast

import yaml

from escadm.config.reader import WrittenFloat

_PLAIN = re.compile(r"[A-Za-z0-9_/][A-Za-z0-9_./-]*\Z")
_BLOCK_STYLES = ("|", ">")
STEP = 2


class Alias(yaml.ScalarNode):
    """An alias as it stands in the text, not what it stands for."""


class _Loader(yaml.SafeLoader):
    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event = cast(Any, self).get_event()
            return Alias("", f"*{event.anchor}", event.start_mark, event.end_mark)
        node: yaml.Node | None = super().compose_node(parent, index)
        return node


def compose(text: str) -> yaml.Node | None:
    """The nodes of a text that the reader has taken already. Aliases are not followed."""
    node: yaml.Node | None = _Loader(text).get_single_node()
    return node


def start(node: yaml.Node) -> int:
    """The index of the first character of ``node``."""
    return int(node.start_mark.index)


def end(node: yaml.Node, text: str) -> int:
    """The index after the last character of ``node``, without the blanks and comments that follow it."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return end(last[1] if isinstance(last, tuple) else last, text)
    index = int(node.end_mark.index)
    if isinstance(node, yaml.ScalarNode) and node.style in _BLOCK_STYLES:
        return len(text[:index].rstrip())
    return index


def is_empty(node: yaml.Node) -> bool:
    """Whether nothing at all is written where ``node`` is."""
    return start(node) == int(node.end_mark.index)


def is_simple(node: yaml.Node) -> bool:
    """Whether ``node`` is a scalar that can be replaced where it stands."""
    return isinstance(node, yaml.ScalarNode) and node.style not in _BLOCK_STYLES and not is_empty(node)


def newline(text: str) -> str:
    """The line end that ``text`` uses."""
    return "\r\n" if "\r\n" in text else "\n"


def after_line(text: str, index: int) -> int:
    """The index at which the line after the one with ``index`` begins, or the end of the text."""
    found = text.find("\n", index)
    return len(text) if found < 0 else found + 1


def indentation(root: yaml.Node | None) -> tuple[int, int]:
    """By how much mappings, and the dashes of lists, are indented in this file."""
    mappings, dashes = STEP, STEP
    found_mapping = found_dash = False
    for key, value in _entries(root):
        if value.flow_style or not value.value:
            continue
        if isinstance(value, yaml.SequenceNode) and not found_dash:
            dashes, found_dash = value.start_mark.column - key.start_mark.column, True
        if isinstance(value, yaml.MappingNode) and not found_mapping:
            mappings, found_mapping = value.value[0][0].start_mark.column - key.start_mark.column, True
    return max(mappings, 1), max(dashes, 0)


def _entries(node: yaml.Node | None) -> Iterator[tuple[yaml.Node, yaml.CollectionNode]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if isinstance(value, yaml.CollectionNode):
                yield key, value
                yield from _entries(value)


# --- writing ----------------------------------------------------------------------------------------------


def scalar_text(value: object, style: str | None = None) -> str:
    """A scalar as YAML, in the quotes of ``style`` or in none where that is safe."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, WrittenFloat):
        return value.text
    if isinstance(value, int | float):
        return f"{value:g}"
    text = str(value)
    if style == "'" or (style != '"' and not _is_plain(text)):
        return "'" + text.replace("'", "''") + "'"
    return f'"{text}"' if style == '"' and _PLAIN.match(text.replace(":", "_")) else text


def _is_plain(text: str) -> bool:
    if not _PLAIN.match(text):
        return False
    resolver: Any = yaml.SafeLoader("")
    return bool(resolver.resolve(yaml.ScalarNode, text, (True, False)) == "tag:yaml.org,2002:str")


def flow_text(value: object) -> str:
    """A value as YAML on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{scalar_text(key)}: {flow_text(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(scalar_text(each) for each in value) + "]"
    return scalar_text(value)


def block_lines(name: str, value: object, column: int, steps: tuple[int, int]) -> list[str]:
    """``name: value`` as lines of YAML that begin in ``column``."""
    lead = " " * column
    if isinstance(value, dict) and value:
        inner = [line for key, each in value.items() for line in block_lines(key, each, column + steps[0], steps)]
        return [f"{lead}{scalar_text(name)}:", *inner]
    if isinstance(value, list | tuple) and value:
        return [f"{lead}{scalar_text(name)}:", *(f"{lead}{' ' * steps[1]}- {scalar_text(each)}" for each in value)]
    return [f"{lead}{scalar_text(name)}: {flow_text(value)}"]
