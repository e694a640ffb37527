"""``ha set``: the lines of esc-config.yaml that make two nodes a pair."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from escadm.actions.ha_change import HaSetResult, change
from escadm.config import addresses, values
from escadm.config.edit import KeyPath
from escadm.core.problem import HostFacts
from escadm.errors import Usage
from escadm.paths import Paths

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class HaOptions:
    """The options as they were given; None = not given. Lists may come apart by blank or comma, or both."""

    kad_vip: str | None = None
    kad_vif: str | None = None
    ha_node_list: Sequence[str] | None = None
    kad_vri: str | int | None = None
    kad_unicast_src_ip: str | None = None
    kad_unicast_peer: Sequence[str] | None = None
    advert_interval: str | float | None = None
    gateway: Sequence[str] | None = None


def ha_set(paths: Paths, facts: HostFacts, options: HaOptions, dry_run: bool = False) -> HaSetResult:
    """Write the options into the configuration; what is not given keeps its value.

    Raises Usage where the options cannot be read, and InvalidConfig, with nothing written, where what comes out
    would not hold together or not fit this machine.
    """
    wanted = _Options(options).changes()
    return change(paths, facts, wanted, dry_run)


class _Options:
    """The options as changes; everything that is wrong with them is told at once."""

    def __init__(self, options: HaOptions) -> None:
        self.options = options
        self.wrong: list[str] = []

    def changes(self) -> dict[KeyPath, object]:
        given = self.options
        found: dict[str, object] = {}
        if given.kad_vip is not None:
            found["vip"], interface = self._parsed("--kad_vip", vip_and_interface, given.kad_vip) or ("", None)
            if interface is not None or given.kad_vif is not None:
                found["vip_interface"] = interface
        simple: tuple[tuple[str, str, Callable[[Any], object], object], ...] = (
            ("interface", "--kad_vif", addresses.interface, _stripped(given.kad_vif)),
            ("virtual_router_id", "--kad_vri", values.whole(1, 255), _number(given.kad_vri)),
            ("advert_interval", "--advert_interval", addresses.advert_interval, _number(given.advert_interval)),
            ("unicast_source", "--kad_unicast_src_ip", _address, _stripped(given.kad_unicast_src_ip)),
            ("unicast_peers", "--kad_unicast_peer", _addresses, given.kad_unicast_peer),
            ("gateway", "--gateway", _addresses, given.gateway),
        )
        for key, option, parse, value in simple:
            if value is not None:
                found[key] = self._parsed(option, parse, value)
        wanted: dict[KeyPath, object] = {("resources", "keepalived", key): value for key, value in found.items()}
        if given.ha_node_list is not None:
            wanted[("resources", "drbd", "nodes")] = self._parsed("--ha_node_list", _nodes, given.ha_node_list)
        if self.wrong:
            raise Usage("\n".join(self.wrong))
        if not wanted:
            raise Usage("cannot set anything: no option is given", "for example --kad_vip=ADDRESS --kad_vif=INTERFACE")
        return wanted

    def _parsed(self, option: str, parse: Callable[[Any], T], value: object) -> T | None:
        try:
            return parse(value)
        except values.Wrong as wrong:
            self.wrong.append(f"{option}: {wrong.message}" + (f": {wrong.hint}" if wrong.hint else ""))
            return None


def vip_and_interface(text: str) -> tuple[str, str | None]:
    """``ADDRESS[/PREFIX][:INTERFACE]``, an IPv6 address in brackets where an interface follows it."""
    given = text.strip()
    if given.startswith("["):
        address, bracket, rest = given[1:].partition("]")
        if not bracket or (rest and rest[0] not in "/:"):
            raise values.Wrong(f"{text!r} is not [ADDRESS][/PREFIX][:INTERFACE]")
        prefix, colon, interface = rest.partition(":")
    elif given.count(":") > 1:
        address, slash, rest = given.partition("/")
        prefix, colon, interface = rest.partition(":")
        prefix = slash + prefix
    else:
        address, colon, interface = given.partition(":")
        prefix = ""
    vip = addresses.vip(address + prefix)
    return str(vip), addresses.interface(interface) if colon else None


def _stripped(value: str | None) -> str | None:
    return None if value is None else value.strip()


def _number(value: str | float | None) -> object:
    """A number that came as text; what is none stays as it is, for the parser to name."""
    if not isinstance(value, str):
        return value
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return value


def _address(value: object) -> str:
    return str(addresses.address(value))


def _addresses(given: Sequence[str]) -> list[str]:
    texts = [given] if isinstance(given, str) else given
    found = [_address(each) for text in texts for each in text.replace(",", " ").split()]
    if not found:
        raise values.Wrong("no address is given")
    return found


def _nodes(given: Sequence[str]) -> list[str]:
    found = _addresses(given)
    if len(found) != 2:
        what = "1 address" if len(found) == 1 else f"{len(found)} addresses"
        raise values.Wrong(f"{what} instead of two", "this node's and the other node's")
    return found
