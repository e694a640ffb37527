"""An OVF environment (DSP0243, section 9): XML in, the properties of this machine out. Pure.

The document comes from outside: it is read by expat alone, bounded in size and depth, and a DOCTYPE is refused before
anything in it is read, so there are no entities, neither ones that grow nor ones that name other files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from xml.parsers import expat

from escadm.core.problem import Problem, Where
from escadm.core.specs import Secret
from escadm.errors import InvalidEnvironment

NAMESPACE = "http://schemas.dmtf.org/ovf/environment/1"
LARGEST = 2**20
DEEPEST = 32

_PATH = ("Environment", "PropertySection", "Property")
_LONGEST_NAME = 60
_TRUNCATED = frozenset(
    expat.errors.codes[each]
    for each in (
        expat.errors.XML_ERROR_NO_ELEMENTS,
        expat.errors.XML_ERROR_UNCLOSED_TOKEN,
        expat.errors.XML_ERROR_UNCLOSED_CDATA_SECTION,
        expat.errors.XML_ERROR_PARTIAL_CHAR,
    )
)


@dataclass(frozen=True, slots=True)
class Property:
    """What a property says, and where. Any of them may be a secret: the value never shows itself."""

    value: Secret
    where: Where


@dataclass(slots=True)
class Environment:
    """The properties of this machine by name, in their order, and what is wrong with how they are written."""

    file: str
    properties: dict[str, Property] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def parse(data: bytes, file: str, encoding: str | None = None) -> Environment:
    """The OVF environment in ``data``; ``file`` is its name in messages, ``encoding`` goes before its own word.

    Raises InvalidEnvironment where it is no such document. A property that is there twice, or has no name, is a
    problem of the result.
    """
    if len(data) > LARGEST:
        raise _invalid(Where(file), f"has more than {LARGEST} bytes", "this is no OVF environment")
    if not data.strip():
        raise _invalid(Where(file), "is empty")
    return _Reading(file, encoding).read(data)


def shown(name: str) -> str:
    """A name from outside as a message may print it."""
    short = name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 3] + "..."
    return short if short.isprintable() else repr(short)


def _invalid(where: Where, message: str, hint: str = "") -> InvalidEnvironment:
    return InvalidEnvironment([Problem(where, "", message, hint)])


class _Reading:
    def __init__(self, file: str, encoding: str | None) -> None:
        self.file = file
        self.result = Environment(file)
        self.path: list[str | None] = []  # names of open elements, None where one is not of the environment's namespace
        self.parser = expat.ParserCreate(encoding, namespace_separator=" ")
        self.parser.buffer_text = True
        self.parser.StartDoctypeDeclHandler = self._doctype
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end

    def read(self, data: bytes) -> Environment:
        try:
            self.parser.Parse(data, True)
        except expat.ExpatError as error:
            where = Where(self.file, error.lineno, error.offset + 1)
            hint = "is it complete?" if error.code in _TRUNCATED else ""
            raise _invalid(where, f"is not well-formed XML: {expat.ErrorString(error.code)}", hint) from None
        except (LookupError, ValueError):  # what its XML declaration names cannot be decoded by bytes
            raise _invalid(self._here(), "is in an encoding that is not known", "save it as UTF-8") from None
        return self.result

    def _here(self) -> Where:
        return Where(self.file, self.parser.CurrentLineNumber, self.parser.CurrentColumnNumber + 1)

    def _doctype(self, *_: object) -> None:
        raise _invalid(self._here(), "has a DOCTYPE, which no OVF environment has", "it is not taken: remove it")

    def _start(self, tag: str, attributes: Mapping[str, str]) -> None:
        namespace, _, local = tag.rpartition(" ")
        name = local if namespace in ("", NAMESPACE) else None
        if not self.path and name != _PATH[0]:
            what = f"its outermost element is {shown(local)}" + (f" of {shown(namespace)}" if namespace else "")
            raise _invalid(self._here(), f"is no OVF environment: {what}")
        if len(self.path) == DEEPEST:
            raise _invalid(self._here(), f"is nested more than {DEEPEST} deep", "this is no OVF environment")
        self.path.append(name)
        if tuple(self.path) == _PATH:
            self._property(attributes)

    def _end(self, _: str) -> None:
        self.path.pop()

    def _property(self, attributes: Mapping[str, str]) -> None:
        key = attributes.get(f"{NAMESPACE} key", attributes.get("key", "")).strip()
        value = attributes.get(f"{NAMESPACE} value", attributes.get("value", ""))
        where, known = self._here(), self.result.properties
        if not key:
            self.result.problems.append(Problem(where, "", "a property without a key", "give it one, or remove it"))
        elif key in known:
            first = known[key].where.line
            message = f"is there twice, the first time in line {first}"
            self.result.problems.append(Problem(where, shown(key), message, "keep one of them"))
        else:
            known[key] = Property(Secret(value), where)
