"""The one YAML reader: strict, and every value keeps the place where it was written.

Narrower than YAML 1.1 on purpose: plain scalars are numbers only in the form in which they print (``0755``,
``1:30``, ``1_000`` and dates stay text), so nothing is read as something that nobody wrote.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import yaml

from escadm.core.problem import Problem, Where

Path = tuple[str | int, ...]

MAX_CHARACTERS = 1_000_000
MAX_NODES = 20_000
_INTEGER = re.compile(r"-?(0|[1-9][0-9]*)\Z")
_FLOAT = re.compile(r"-?(0|[1-9][0-9]*)\.[0-9]+\Z")
_FLAGS = {
    **dict.fromkeys(("true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"), True),
    **dict.fromkeys(("false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF"), False),
}
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_TAG = "tag:yaml.org,2002:"
_TAGS = frozenset(_TAG + name for name in ("str", "int", "float", "bool", "null", "timestamp", "merge", "value"))


class WrittenFloat(float):
    """A number with a point that remembers its text: ``1.10`` is not ``1.1`` where a text is wanted."""

    text: str

    def __new__(cls, text: str) -> WrittenFloat:
        made = super().__new__(cls, text)
        made.text = text
        return made


@dataclass(frozen=True)
class Marks:
    """Where the keys and the values of a file stand, by their path."""

    file: str
    keys: Mapping[Path, Where] = field(default_factory=dict)
    values: Mapping[Path, Where] = field(default_factory=dict)

    def known(self, path: Path) -> Path:
        """``path`` as far as it is written in the file."""
        while path and path not in self.keys and path not in self.values:
            path = path[:-1]
        return path

    def value(self, path: Path) -> Where:
        """The place of the value at ``path``, or of the nearest thing above it that is in the file."""
        known = self.known(path)
        return self.values.get(known) or self.keys.get(known) or Where(self.file)

    def key(self, path: Path) -> Where:
        """The place of the key at ``path``; as :meth:`value` where there is none."""
        known = self.known(path)
        return self.keys.get(known) or self.value(known)


@dataclass(frozen=True)
class Document:
    """A file as plain values. ``value`` is what could be read; ``problems`` is what could not."""

    value: dict[str, object]
    marks: Marks
    problems: tuple[Problem, ...] = ()


def path_text(path: Path) -> str:
    """``("resources", "drbd", "nodes", 1)`` as ``resources.drbd.nodes[1]``."""
    text = ""
    for part in path:
        name = part if isinstance(part, int) or part.isprintable() else repr(part)
        text += f"[{part}]" if isinstance(part, int) else f".{name}" if text else f"{name}"
    return text


def read(text: str, file: str, begin: str = "resources:") -> Document:
    """Read ``text``; a file without anything in it is an empty mapping. ``begin``: the line that it may begin with."""
    if len(text) > MAX_CHARACTERS:
        return _broken(file, Where(file), f"has more than {MAX_CHARACTERS} characters", "this is no esc-config.yaml")
    try:
        root = yaml.SafeLoader(text).get_single_node()
    except yaml.reader.ReaderError as error:
        where = _place(text, error.position, file)
        return _broken(file, where, f"the character U+{error.character:04X} cannot be in a YAML file")
    except yaml.MarkedYAMLError as error:
        return Document({}, Marks(file), (_syntax(error, file),))
    except RecursionError:
        return _broken(file, Where(file), "is nested too deeply")
    walk = _Walk(file)
    value = walk.visit(root, ()) if root is not None else {}
    if root is not None and value is not None and not isinstance(value, dict):
        walk.report(root, (), "the file is no mapping", f"begin with the line `{begin}`")
    if not isinstance(value, dict):
        value = {}
    return Document(value, Marks(file, walk.keys, walk.values), tuple(walk.problems))


def _place(text: str, index: int, file: str) -> Where:
    return Where(file, text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index))


def _broken(file: str, where: Where, message: str, hint: str = "") -> Document:
    return Document({}, Marks(file), (Problem(where, "", message, hint),))


def _where(mark: yaml.Mark | None, file: str) -> Where:
    return Where(file, mark.line + 1, mark.column + 1) if mark else Where(file)


def _syntax(error: yaml.MarkedYAMLError, file: str) -> Problem:
    where = _where(error.problem_mark or error.context_mark, file)
    problem = error.problem or "cannot be read"
    if "'\\t'" in problem:
        return Problem(where, "", "a tab", "indent with blanks")
    if problem == "but found another document":
        return Problem(where, "", "a second document begins here", "remove the line `---`")
    if problem == "mapping values are not allowed here":
        return Problem(
            where, "", "a colon that does not fit here", "check the indentation; quote a text that has `: ` in it"
        )
    hint = f"{error.context} from line {error.context_mark.line + 1}" if error.context and error.context_mark else ""
    return Problem(where, "", f"not YAML: {problem}", hint)


class _Walk:
    """Turns nodes into values; aliases are followed, up to a limit on what comes out."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.keys: dict[Path, Where] = {}
        self.values: dict[Path, Where] = {}
        self.problems: list[Problem] = []
        self._count = 0
        self._open: list[yaml.Node] = []

    def report(self, node: yaml.Node, path: Path, message: str, hint: str = "") -> None:
        self.problems.append(Problem(_where(node.start_mark, self.file), path_text(path), message, hint))

    def visit(self, node: yaml.Node, path: Path) -> object:
        self.values[path] = _where(node.start_mark, self.file)
        self._count += 1
        if self._count > MAX_NODES:
            if self._count == MAX_NODES + 1:
                self.report(node, path, f"more than {MAX_NODES} values", "are there aliases of aliases?")
            return None
        if any(node is each for each in self._open):
            self.report(node, path, "an alias of something that it is inside of")
            return None
        with self._inside(node):
            if isinstance(node, yaml.MappingNode) and self._plain_tag(node, path, _TAG + "map"):
                return self._mapping(node, path)
            if isinstance(node, yaml.SequenceNode) and self._plain_tag(node, path, _TAG + "seq"):
                return [self.visit(each, (*path, index)) for index, each in enumerate(node.value)]
            if isinstance(node, yaml.ScalarNode) and self._plain_tag(node, path, *_TAGS):
                return scalar(node)
        return None

    @contextmanager
    def _inside(self, node: yaml.Node) -> Iterator[None]:
        self._open.append(node)
        yield
        self._open.pop()

    def _plain_tag(self, node: yaml.Node, path: Path, *allowed: str) -> bool:
        if node.tag in allowed:
            return True
        self.report(node, path, f"the tag {node.tag.replace(_TAG, '!!')} is not allowed", "write the value alone")
        return False

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, object]:
        result: dict[str, object] = {}
        for key, value in node.value:
            if is_merge(key):
                result = {**self._merged(value, path), **result}
        first: dict[str, int] = {}
        for key, value in node.value:
            if is_merge(key):
                continue
            if not isinstance(key, yaml.ScalarNode) or not key.value:
                self.report(key, path, "a key must be one word")
                continue
            name = key.value
            here = (*path, name)
            if name in first:
                self.report(key, here, f"is there twice, the first time in line {first[name]}", "keep one of them")
                continue
            first[name] = key.start_mark.line + 1
            self.keys[here] = _where(key.start_mark, self.file)
            result[name] = self.visit(value, here)
        return result

    def _merged(self, node: yaml.Node, path: Path) -> dict[str, object]:
        result: dict[str, object] = {}
        for each in reversed(node.value) if isinstance(node, yaml.SequenceNode) else [node]:
            value = self.visit(each, path)
            if isinstance(value, dict):
                result.update(value)
            else:
                self.report(node, path, "`<<` must name a mapping")
        return result


def is_merge(key: yaml.Node) -> bool:
    """Whether ``key`` is YAML's merge key, ``<<``."""
    return isinstance(key, yaml.ScalarNode) and key.tag == _TAG + "merge"


def scalar(node: yaml.ScalarNode) -> object:
    """The value of a scalar: text where it is quoted, else by its form."""
    text: str = node.value
    if node.style is not None or (node.tag == _TAG + "str" and text in _FLAGS.keys() | _NULLS):
        return text
    if text in _NULLS:
        return None
    if text in _FLAGS:
        return _FLAGS[text]
    if _INTEGER.match(text) and len(text) <= 18:
        return int(text)
    if _FLOAT.match(text):
        return WrittenFloat(text)
    return text
