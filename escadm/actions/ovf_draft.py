"""What ``ovf merge`` would change: worked out from the properties and the node's files, nothing written."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import dataclass, field

from escadm.config import parse_plan
from escadm.config.addresses import Vip
from escadm.config.edit import set_values
from escadm.config.load import text_if_any
from escadm.config.properties import GATEWAY, HOSTNAME, Properties, hint
from escadm.config.reader import read
from escadm.config.secrets import MASK, masked_diff
from escadm.core.environment_file import assignment, parse, updated
from escadm.core.ovf import shown
from escadm.core.plan import Plan
from escadm.core.problem import HostFacts, Problem, Where
from escadm.core.rendered import RenderedFile
from escadm.core.specs import Secret
from escadm.errors import Failed, InvalidConfig, InvalidEnvironment
from escadm.paths import Paths
from escadm.system import hostname
from escadm.system.files import NEW_FILE_MODE
from escadm.system.files import read as read_text

ROOT_ONLY = 0o600
NOWHERE = "/dev/null"
HEADER = """\
# The product's credentials and settings, variables of every service. Written by `escadm ovf merge`.
# NAME="VALUE", and in VALUE a backslash before each of " \\ ` and $. For root alone.
"""


@dataclass(slots=True)
class Draft:
    """The change as a whole. ``changes``: (what, old, new) for people, old None = none; ``notes``: what was not taken.

    ``hostname``: the name that the kernel is to have, None = what it has. ``variables``: how many lines of secrets.env
    change. ``files`` has secrets in it and is never shown; ``diff`` shows none.
    """

    files: list[RenderedFile] = field(default_factory=list, repr=False)
    changes: list[tuple[str, str | None, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    warnings: tuple[Problem, ...] = ()
    hostname: str | None = None
    variables: int = 0
    is_for_reload: bool = False
    diff: str = ""


def draft(paths: Paths, facts: HostFacts, properties: Properties, *, again: bool) -> Draft:
    """What the properties change on this node. What its own files say stays.

    ``again``: the properties go before what secrets.env says. Raises InvalidConfig where the configuration has
    mistakes, and InvalidEnvironment where it would have one by a property.
    """
    result = Draft()
    _configuration(paths, facts, properties, result)
    _variables(paths, properties, result, again=again)
    _hostname(paths, properties, result)
    result.notes += _left_out(properties)
    return result


# --- esc-config.yaml ------------------------------------------------------------------------------------------


def _configuration(paths: Paths, facts: HostFacts, properties: Properties, result: Draft) -> None:
    """The keys that the file has no word about. Whether they fit the machine is for ``reload``: it is booting."""
    file = str(paths.config)
    before = text_if_any(paths.config) or ""
    lenient = HostFacts(facts.interfaces, strict=False, drbd_major=facts.drbd_major)
    plan = parse_plan(before, file, lenient)
    written = _section(read(before, file).value, "resources", "keepalived")
    after = before
    for name, key, value in _keys(properties, plan.plan, written, facts, result):
        after = set_values(after, file, {("resources", "keepalived", key): value})
        try:
            parse_plan(after, file, lenient)
        except InvalidConfig as error:
            raise _blame(error, name, properties.places[name]) from None
        result.changes.append((f"keepalived.{key}", None, value))
    if after != before:
        mode = stat.S_IMODE(paths.config.stat().st_mode)
        result.files.append(RenderedFile(file, after, mode))
        result.diff += masked_diff(before, after, file, [read(before, file).value, read(after, file).value])
        result.warnings = tuple(
            each for each in parse_plan(after, file, lenient).warnings if _is_new(each, plan.warnings)
        )
        result.is_for_reload = True


def _keys(
    properties: Properties, plan: Plan, written: dict[str, object], facts: HostFacts, result: Draft
) -> Iterator[tuple[str, str, str]]:
    """Property, key of keepalived and value, for each that fills a key which is not there; notes about the others."""
    gateway = properties.gateway
    if gateway is not None and plan.keepalived is None:
        result.notes.append(f"{GATEWAY}: esc-config.yaml has no keepalived.vip: it goes to secrets.env alone")
    elif gateway is not None and "gateway" not in written:
        yield GATEWAY, "gateway", gateway
    elif gateway is not None and plan.keepalived and gateway not in map(str, plan.keepalived.gateway):
        result.notes.append(f"{GATEWAY}: esc-config.yaml has a keepalived.gateway: it stays")
    own = _own(properties.networks, plan)
    for name, given in properties.networks.items():
        if own == [name] and "unicast_source" not in written:
            yield name, "unicast_source", str(given.address)
        elif str(given.address) != written.get("unicast_source"):
            here = not facts.strict or given.address in facts.addresses
            absent = "" if here else ", and this machine does not have the address"
            result.notes.append(f"{name}: it goes to secrets.env alone: the user data sets the network up{absent}")


def _own(networks: dict[str, Vip], plan: Plan) -> list[str]:
    """The properties whose address is one of the pair's nodes, so that it is this one's, where VRRP can use it."""
    if plan.drbd is None or plan.keepalived is None:
        return []
    version = plan.keepalived.vip.version
    return [
        name for name, each in networks.items() if each.address in plan.drbd.nodes and each.address.version == version
    ]


def _blame(error: InvalidConfig, name: str, where: Where) -> InvalidEnvironment:
    """The configuration was good before the property came in: the mistake is the property's."""
    return InvalidEnvironment(
        [Problem(where, name, each.message, f"it would be {each.path}") for each in error.problems]
    )


def _is_new(problem: Problem, old: tuple[Problem, ...]) -> bool:
    return all((problem.path, problem.message) != (each.path, each.message) for each in old)


def _section(value: object, *path: str) -> dict[str, object]:
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


# --- secrets.env ----------------------------------------------------------------------------------------------


def _variables(paths: Paths, properties: Properties, result: Draft, *, again: bool) -> None:
    file = paths.secrets
    text = read_text(file)
    there = parse(text or "")
    if there.is_open:
        raise Failed(f"cannot change {file}: a quote in it is not closed", "close it, or remove the file")
    new, kept = {}, []
    for name, value in properties.variables.items():
        old = there.variables.get(name)
        if old is None or (again and old.reveal() != "".join(value)):
            new[name] = value
        elif old.reveal() != "".join(value):
            kept.append(name)
    if kept:
        result.notes.append(f"{', '.join(kept)}: {file} has a value already: it stays")
    after = updated(HEADER if text is None else text, new)
    result.files.append(RenderedFile(str(file), after, ROOT_ONLY))
    result.variables = len(new)
    if new:
        lines = [f"--- {file if text is not None else NOWHERE}\n", f"+++ {file}\n"]
        for name, value in new.items():
            lines += [f"-{name}={MASK}\n"] if name in there.variables else []
            lines += [f"+{name}={MASK}\n" if isinstance(value, Secret) else f"+{assignment(name, value)}\n"]
        result.diff += "".join(lines)


# --- the rest -------------------------------------------------------------------------------------------------


def _hostname(paths: Paths, properties: Properties, result: Draft) -> None:
    wanted, file = properties.hostname, paths.hostname
    if wanted is None:
        return
    old = hostname.written(file)
    if old != wanted and _is_named_by_user_data(paths):
        result.notes.append(f"{HOSTNAME}: the user data names this machine: it stays {old or 'as it is'}")
        return
    result.hostname = wanted
    if old == wanted:
        return
    result.files.append(RenderedFile(str(file), f"{wanted}\n", NEW_FILE_MODE))
    result.changes.append(("host name", old or None, wanted))
    result.diff += f"--- {file if old else NOWHERE}\n+++ {file}\n" + (f"-{old}\n" if old else "") + f"+{wanted}\n"


def _is_named_by_user_data(paths: Paths) -> bool:
    said = read(read_text(paths.user_data) or "", str(paths.user_data)).value
    return "hostname" in said or "fqdn" in said or said.get("preserve_hostname") is True


def _left_out(properties: Properties) -> Iterator[str]:
    if properties.foreign:
        yield f"{', '.join(properties.foreign)}: left to cloud-init"
    for name in properties.unknown:
        near = hint(name)
        yield f"{shown(name)}: no property of the product: left out" + (f": {near}" if near else "")
