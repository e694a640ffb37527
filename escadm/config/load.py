"""Text to Config: read, lay over the catalogue, validate, and name every problem by file, line and column."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path as FilePath

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from escadm.config import values
from escadm.config.findings import Findings, did_you_mean
from escadm.config.model import MODELS, AnyResource, Config, Drbd, Filesystem, Service
from escadm.config.overlay import Keys, canonical_marks, catalogue, overlay
from escadm.config.reader import MAX_CHARACTERS, Marks, Path, read
from escadm.core.probes import Notify
from escadm.core.problem import Problem, Where
from escadm.errors import Failed, InvalidConfig, NotPermitted

_MAX_BYTES = 4 * MAX_CHARACTERS
_UNIQUE = ("drbd", "keepalived")
_NEEDS_COMMAND = ("user", "environment", "working_directory", "stop_signal")


@dataclass(frozen=True)
class Loaded:
    """A configuration that holds together as a file; whether it fits a machine is for compile to say."""

    text: str
    file: str
    config: Config
    warnings: tuple[Problem, ...]
    marks: Marks


@dataclass(frozen=True)
class Examined:
    """What could be made of a file: ``loaded`` has only what is sound; ``broken`` are the resources with errors."""

    loaded: Loaded
    errors: tuple[Problem, ...]
    broken: frozenset[str]


def load(path: FilePath) -> Loaded:
    """The configuration in the file ``path``. Raises InvalidConfig with every problem."""
    return parse(read_text(path), str(path))


def parse(text: str, file: str) -> Loaded:
    """The configuration in ``text``. Raises InvalidConfig with every problem."""
    examined = examine(text, file)
    if examined.errors:
        raise InvalidConfig(examined.errors)
    return examined.loaded


def read_text(path: FilePath) -> str:
    """The text of a configuration file, line ends as they are."""
    text = text_if_any(path)
    if text is None:
        hint = "write one with `escadm ha set …`, or copy a sample from /usr/share/doc/escadm/examples"
        raise InvalidConfig([Problem(Where(str(path)), "", "there is no such file", hint)])
    return text


def text_if_any(path: FilePath) -> str | None:
    """As read_text, None where there is no such file."""
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        return None
    except PermissionError:
        raise NotPermitted(f"cannot read {path}: permission denied", "try again with sudo") from None
    except OSError as error:
        raise Failed(f"cannot read {path}: {error.strerror}") from None
    if len(content) > _MAX_BYTES:  # a device never ends
        message = f"has more than {MAX_CHARACTERS} characters"
        raise InvalidConfig([Problem(Where(str(path)), "", message, "is it the right file?")])
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - content.rfind(b"\n", 0, error.start)
        problem = Problem(Where(str(path), line, column), "", "is not UTF-8", "save the file as UTF-8")
        raise InvalidConfig([problem]) from None


def examine(text: str, file: str) -> Examined:
    """Everything there is to say about ``text`` by itself, with as much of it as is sound."""
    document = read(text, file)
    marks = canonical_marks(document.marks)
    findings = Findings(marks, document.problems)
    taken = overlay(document.value, findings)
    resources: dict[str, AnyResource] = {}
    for name in sorted({*catalogue(), *taken.written}):
        resources[name] = _resource(name, taken.written.get(name, {}), findings)
    broken = findings.broken | (frozenset(_UNIQUE) if document.problems else frozenset())
    config = Config(resources, frozenset(taken.mentioned))
    loaded = Loaded(text, file, config, findings.warnings, marks)
    return Examined(loaded, findings.errors, broken)


def _resource(name: str, written: Keys, findings: Findings) -> AnyResource:
    """The resource, validated. Keys with errors are reported and left out of it."""
    path: Path = ("resources", name)
    kind = _kind(name, written, findings)
    model = MODELS[kind or "process"]
    default = {key: value for key, value in catalogue().get(name, {}).items() if key != "type"}
    merged = {**default, **{key: value for key, value in written.items() if key != "type"}}
    kept = {**merged, "type": kind} if kind else merged
    try:
        result = model.model_validate(kept)
    except ValidationError as error:
        for each in error.errors(include_url=False):
            _explain(path, each, model, findings)
            kept.pop(str(each["loc"][0]), None)
        result = model.model_validate({**default, **kept})
    match result:
        case Service():
            _service(name, result, findings)
        case Filesystem() if not result.mount_point:
            findings.error((*path, "mount_point"), "has no mount_point", "say where it goes", key=True)
        case Drbd() if "nodes" in kept and len(result.nodes) != 2:
            what = "1 address" if len(result.nodes) == 1 else f"{len(result.nodes)} addresses"
            message = f"{what} instead of two"
            findings.error((*path, "nodes"), message, "remove `nodes` for a node without replication")
    return result


def _kind(name: str, written: Keys, findings: Findings) -> str | None:
    """The type of a resource, None for a service that does not say whether it is a command or a unit."""
    path: Path = ("resources", name, "type")
    wanted = written.get("type")
    fixed = catalogue().get(name, {}).get("type")
    if isinstance(fixed, str):
        if wanted not in (None, fixed):
            findings.error(path, f"{name} is always of the type {fixed}", "remove the line")
        return fixed
    if wanted is None:
        return None
    if not isinstance(wanted, str) or wanted not in MODELS:
        hint = did_you_mean(str(wanted), MODELS) or f"one of {', '.join(MODELS)}"
        findings.error(path, f"{values.describe(wanted)} is no type", hint)
        return None
    if wanted in _UNIQUE:
        findings.error(path, f"the only resource of the type {wanted} is the one that is called {wanted}")
        return None
    return wanted


def _explain(path: Path, error: ErrorDetails, model: type[AnyResource], findings: Findings) -> None:
    """One finding of pydantic's in our words."""
    here: Path = (*path, *(part for part in error["loc"] if part != "[key]"))
    wrong = error.get("ctx", {}).get("error")
    if isinstance(wrong, values.Wrong):
        findings.error(findings.marks.known(here) if len(here) > 3 else here, wrong.message, wrong.hint)
    elif error["type"] == "extra_forbidden":
        key = str(error["loc"][0])
        hint = did_you_mean(key, set(model.model_fields))
        owners = sorted({each.__name__.lower() for each in MODELS.values() if key in each.model_fields})
        if not hint and owners:
            hint = f"it belongs to a {' or '.join(owners)}"
        findings.error(here, f"unknown key for a {model.__name__.lower()}", hint, key=True)
    else:
        wanted = "a mapping" if error["type"] == "dict_type" else "a list"
        findings.error(here, f"{values.describe(error['input'])} instead of {wanted}")


def _service(name: str, service: Service, findings: Findings) -> None:
    """What the keys of a service ask of each other."""
    path: Path = ("resources", name)
    written = service.model_fields_set
    if name not in catalogue() and not written & {"command", "unit", "type"}:
        known = get_close_matches(name, catalogue(), n=1, cutoff=0.8)
        if known:
            hint = f"did you mean {known[0]}? If not, write `unit: {name}.service`"
            findings.error(path, "neither a command nor a unit", hint, key=True)
    if service.command and service.unit:
        findings.error((*path, "unit"), "a command and a unit at the same time", "keep one of them", key=True)
    elif service.type == "process" and not service.command:
        findings.error((*path, "type"), "a process without a command", "add `command: …`")
    elif service.type == "unit" and service.command:
        findings.error((*path, "command"), "a command for the type unit", "write `type: process`", key=True)
    elif not service.command:
        needless = [key for key in _NEEDS_COMMAND if key in written]
        if service.option is not None and (service.unit or service.type == "unit"):
            needless.append("option")
        for key in needless:
            findings.error((*path, key), "only a command can have this", "add `command: …`, or remove it", key=True)
    if isinstance(service.ready, Notify) and not service.command:
        findings.error((*path, "ready"), "`notify` is for a command", "a systemd unit tells systemd when it is ready")
