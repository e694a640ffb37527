"""Changes to the text of a configuration that leave every other byte as it was."""

from __future__ import annotations

from collections.abc import Mapping

import yaml

from escadm.config.nodes import (
    Alias,
    after_line,
    block_lines,
    compose,
    end,
    flow_text,
    indentation,
    is_empty,
    is_simple,
    newline,
    scalar_text,
    start,
)
from escadm.config.reader import path_text, read, scalar
from escadm.errors import Failed, InvalidConfig

KeyPath = tuple[str, ...]
Changes = Mapping[KeyPath, object]
Entry = tuple[yaml.Node, yaml.Node]


def set_values(text: str, file: str, changes: Changes) -> str:
    """``text`` with the keys of ``changes`` set, or removed where the new value is None.

    Idempotent. Raises InvalidConfig where ``text`` cannot be read, and Failed where a change would touch more than
    what it is about, for example behind an alias.
    """
    document = read(text, file)
    if document.problems:
        raise InvalidConfig(document.problems)
    wanted: object = document.value
    for path, value in changes.items():
        text = _Edit(text, file).set(path, value)
        wanted = _changed(wanted, path, value)
        after = read(text, file)
        if after.problems or _shape(after.value) != _shape(wanted):
            raise Failed(f"cannot set {path_text(path)} in {file} without changing something else", "write it by hand")
    return text


def _changed(value: object, path: KeyPath, new: object) -> object:
    if not path:
        return list(new) if isinstance(new, tuple) else new
    before = value if isinstance(value, dict) else {}
    return {**before, path[0]: _changed(before.get(path[0]), path[1:], new)}


def _shape(value: object) -> object:
    """``value`` without what is empty: a key without a value says as much as no key."""
    if isinstance(value, dict):
        kept = {key: _shape(each) for key, each in value.items()}
        return {key: each for key, each in kept.items() if each is not None} or None
    return value


def _nested(path: KeyPath, value: object) -> object:
    for name in reversed(path):
        value = {name: value}
    return value


class _Edit:
    """One change to one text."""

    def __init__(self, text: str, file: str) -> None:
        self.text = text
        self.file = file
        self.root = compose(text)
        self.steps = indentation(self.root)

    def set(self, path: KeyPath, value: object) -> str:
        trail: list[tuple[yaml.MappingNode, Entry]] = []
        node = self.root
        for depth, name in enumerate(path):
            if not isinstance(node, yaml.MappingNode):
                nested = _nested(path[depth:], value)
                return self.text if value is None else self._fill(node, trail, path[:depth], nested)
            entry = next((each for each in node.value if each[0].value == name), None)
            if entry is None:
                return self.text if value is None else self._insert(node, name, _nested(path[depth + 1 :], value))
            trail.append((node, entry))
            node = entry[1]
        return self._remove(trail) if value is None else self._replace(trail[-1][1], value)

    def _spliced(self, first: int, last: int, new: str) -> str:
        return self.text[:first] + new + self.text[last:]

    def _lines_at(self, index: int, lines: list[str]) -> str:
        """The text with whole lines put in at ``index``, the beginning of a line or the end of the text."""
        line_end = newline(self.text)
        lead = "" if index == 0 or self.text[index - 1] == "\n" else line_end
        return self._spliced(index, index, lead + line_end.join(lines) + line_end)

    # --- a key that is not there --------------------------------------------------------------------------

    def _fill(
        self, node: yaml.Node | None, trail: list[tuple[yaml.MappingNode, Entry]], path: KeyPath, value: object
    ) -> str:
        """Put a mapping where nothing is yet."""
        assert isinstance(value, dict)  # noqa: S101  the path goes on, so it is nested
        if node is None or (is_empty(node) and not trail):
            (name,) = value
            index = len(self.text) if node is None else start(node)
            return self._lines_at(index, block_lines(name, value[name], 0, self.steps))
        if isinstance(node, Alias):
            message = f"{self.file}: {path_text(path)} is the alias {node.value}"
            raise Failed(message, "write its keys out in its place, then try again")
        if not isinstance(node, yaml.ScalarNode) or scalar(node) is not None:
            raise Failed(f"{self.file}: {path_text(path)} is not a mapping", "run `escadm config check`")
        if not is_empty(node):
            return self._spliced(start(node), end(node, self.text), flow_text(value))
        parent, (key, _) = trail[-1]
        if parent.flow_style:
            return self._spliced(start(node), start(node), f" {flow_text(value)}")
        column = key.start_mark.column + self.steps[0]
        lines = [line for name, each in value.items() for line in block_lines(name, each, column, self.steps)]
        return self._lines_at(after_line(self.text, start(node)), lines)

    def _insert(self, mapping: yaml.MappingNode, name: str, value: object) -> str:
        """A new last key of a mapping."""
        if mapping.flow_style:
            entry = f"{scalar_text(name)}: {flow_text(value)}"
            if not mapping.value:
                index = end(mapping, self.text) - 1
                return self._spliced(index, index, entry)
            index = end(mapping.value[-1][1], self.text)
            return self._spliced(index, index, f", {entry}")
        column = mapping.value[0][0].start_mark.column
        index = after_line(self.text, end(mapping, self.text))
        return self._lines_at(index, block_lines(name, value, column, self.steps))

    # --- a key that is there ------------------------------------------------------------------------------

    def _replace(self, entry: Entry, value: object) -> str:
        key, node = entry
        if isinstance(value, list | tuple) and isinstance(node, yaml.SequenceNode):
            return self._replace_list(node, [scalar_text(each) for each in value], list(value))
        if is_simple(node):
            return self._replace_scalar(self.text, node, value)
        if is_empty(node):
            return self._spliced(start(node), start(node), f" {flow_text(value)}")
        is_block = isinstance(node, yaml.CollectionNode) and not node.flow_style
        first = self.text.index(":", end(key, self.text)) + 1 if is_block else start(node)
        return self._spliced(first, end(node, self.text), " " * is_block + flow_text(value))

    def _replace_scalar(self, text: str, node: yaml.Node, value: object) -> str:
        if not isinstance(node, Alias) and isinstance(node, yaml.ScalarNode) and scalar(node) == value:
            return text
        style = node.style if isinstance(value, str) and isinstance(node, yaml.ScalarNode) else None
        new = flow_text(value) if isinstance(value, list | tuple) else scalar_text(value, style)
        return text[: start(node)] + new + text[end(node, self.text) :]

    def _replace_list(self, node: yaml.SequenceNode, texts: list[str], items: list[object]) -> str:
        if len(items) == len(node.value) and all(is_simple(each) for each in node.value):
            result = self.text
            for each, value in reversed(list(zip(node.value, items, strict=True))):
                result = self._replace_scalar(result, each, value)
            return result
        if node.flow_style or not texts:
            return self._spliced(start(node), end(node, self.text), f"[{', '.join(texts)}]")
        lead = newline(self.text) + " " * node.start_mark.column
        return self._spliced(start(node), end(node, self.text), lead.join(f"- {each}" for each in texts))

    def _remove(self, trail: list[tuple[yaml.MappingNode, Entry]]) -> str:
        """Take the last key of ``trail`` away, and the resource that it leaves empty."""
        mapping, entry = trail[-1]
        while len(trail) > 2 and len(mapping.value) == 1 and self._is_bare(trail[-2][1], entry):
            trail = trail[:-1]
            mapping, entry = trail[-1]
        key, value = entry
        if not mapping.flow_style:
            first = self.text.rfind("\n", 0, start(key)) + 1
            return self._spliced(first, after_line(self.text, end(value, self.text)), "")
        index = mapping.value.index(entry)
        if index + 1 < len(mapping.value):
            return self._spliced(start(key), start(mapping.value[index + 1][0]), "")
        first = end(mapping.value[index - 1][1], self.text) if index else start(key)
        return self._spliced(first, end(value, self.text), "")

    def _is_bare(self, outer: Entry, inner: Entry) -> bool:
        """Whether nothing but blanks and punctuation is between a key and the only key below it."""
        between = self.text[end(outer[0], self.text) : start(inner[0])]
        return not between.replace(":", "", 1).replace("{", "", 1).strip()
