"""The built-in catalogue, and the file laid over it: names, aliases, merging key by key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import cast

from escadm.config import values
from escadm.config.findings import Findings, did_you_mean
from escadm.config.reader import Marks, Path, read

ALIASES: Mapping[str, str] = {"postgres": "pgsql", "pgsq1": "pgsql"}

Keys = dict[str, object]


@cache
def catalogue() -> Mapping[str, Mapping[str, object]]:
    """The known resources with their default keys."""
    text = files("escadm.config").joinpath("defaults.yaml").read_text(encoding="utf-8")
    return cast(Mapping[str, Mapping[str, object]], read(text, "defaults.yaml").value["resources"])


def canonical(name: str) -> str:
    """The name that ``name`` stands for."""
    return ALIASES.get(name, name)


def canonical_marks(marks: Marks) -> Marks:
    """``marks`` with the aliases in the names of resources resolved."""

    def renamed(path: Path) -> Path:
        if len(path) > 1 and path[0] == "resources" and isinstance(path[1], str):
            return ("resources", canonical(path[1]), *path[2:])
        return path

    return Marks(
        marks.file,
        {renamed(path): where for path, where in marks.keys.items()},
        {renamed(path): where for path, where in marks.values.items()},
    )


@dataclass
class Overlay:
    """What the file says about each resource, by canonical name, before any value is looked at."""

    written: dict[str, Keys] = field(default_factory=dict)
    mentioned: set[str] = field(default_factory=set)


def overlay(document: Mapping[str, object], findings: Findings) -> Overlay:
    """Take the file apart. What has no usable form is reported and left out."""
    result = Overlay()
    resources = _resources(document, findings)
    spellings: dict[str, str] = {}
    seen: set[str] = set()
    for spelled, keys in resources.items():
        path: Path = ("resources", canonical(spelled))
        name = _name(spelled, path, findings, seen, key=True)
        if name in spellings:
            findings.error(path, f"{spelled} and {spellings[name]} are the same resource", "keep one of them", key=True)
            continue
        try:
            values.resource_name(name)
        except values.Wrong as wrong:
            findings.error(path, wrong.message, wrong.hint, key=True)
            continue
        spellings[name] = spelled
        result.mentioned.add(name)
        result.written[name] = _keys(keys, path, findings)
        for key in ("depend_on", "group"):
            if key in result.written[name]:
                found = _names(result.written[name][key], (*path, key), findings, seen, result.mentioned)
                result.written[name][key] = found
    return result


def _resources(document: Mapping[str, object], findings: Findings) -> Mapping[str, object]:
    for key in document:
        if key != "resources":
            known = canonical(key) in catalogue()
            hint = "put it below `resources:`" if known else did_you_mean(key, ["resources"])
            findings.error((key,), "unknown key", hint or "the only key at the top is `resources:`", key=True)
    resources = document.get("resources")
    if resources is None:
        return {}
    if not isinstance(resources, dict):
        findings.error(("resources",), f"{values.describe(resources)} instead of a mapping", "write NAME: below it")
        return {}
    return resources


def _keys(keys: object, path: Path, findings: Findings) -> Keys:
    if keys is None:
        return {}
    if not isinstance(keys, dict):
        findings.error(path, f"{values.describe(keys)} instead of a mapping", "write KEY: VALUE below it")
        return {}
    for key, value in keys.items():
        if value is None and not findings.has((*path, key)):
            findings.error((*path, key), "has no value", "give it one, or remove the line", key=True)
    return {key: value for key, value in keys.items() if value is not None}


def _name(spelled: str, path: Path, findings: Findings, seen: set[str], *, key: bool = False) -> str:
    name = canonical(spelled)
    if name != spelled and spelled not in seen:
        seen.add(spelled)
        findings.warn(path, f"`{spelled}` means {name}", f"write {name}", key=key)
    return name


def _names(value: object, path: Path, findings: Findings, seen: set[str], mentioned: set[str]) -> object:
    """The names in a ``depend_on`` or ``group``, canonical; what is no name stays as it is."""
    if isinstance(value, list):
        return [_names(each, (*path, index), findings, seen, mentioned) for index, each in enumerate(value)]
    if not isinstance(value, str):
        return value
    spelled, colon, state = value.partition(":")
    name = _name(spelled, path, findings, seen)
    mentioned.add(name)
    return f"{name}{colon}{state}"
