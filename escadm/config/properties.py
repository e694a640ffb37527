"""The product's OVF properties: what each of them may say, and which of them must be there."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from escadm.config import addresses
from escadm.config.addresses import Vip
from escadm.config.findings import did_you_mean, in_order
from escadm.config.values import Wrong, describe
from escadm.core.ovf import Environment
from escadm.core.problem import Problem, Where
from escadm.core.specs import Secret
from escadm.errors import InvalidEnvironment

HOSTNAME = "esc_hostname"
GATEWAY = "gateway"
NETWORKS = ("net1_ip", "net2_ip")
USER_DATA = "user-data"
FOR_CLOUD_INIT = (USER_DATA, "hostname", "instance-id", "network-config", "password", "public-keys", "seedfrom")
MANDATORY = ("admin_username", "admin_password", "confd_admin_username", "confd_admin_password")
PREFIX = "ESC_"

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\Z")
_LONGEST_NAME = 64  # the kernel's
_FLAGS = {
    **dict.fromkeys(("true", "yes", "on", "1"), "true"),
    **dict.fromkeys(("false", "no", "off", "0"), "false"),
}


@dataclass(frozen=True, slots=True)
class Properties:
    """What the environment says for escadm and the product, each value parsed.

    ``variables``: what secrets.env is to have, a Secret where nobody may see the value. ``places``: where each property
    stands. ``foreign``: those that are cloud-init's; ``unknown``: those that are nobody's.
    """

    variables: dict[str, str]
    places: dict[str, Where]
    hostname: str | None
    gateway: str | None
    networks: dict[str, Vip]
    foreign: tuple[str, ...]
    unknown: tuple[str, ...]


def take(environment: Environment) -> Properties:
    """The properties of ``environment``. Raises InvalidEnvironment with every problem, those that are missing too.

    A property with an empty value counts as one that is not there: ovftool hands over an empty variable so.
    """
    given = {name: each for name, each in environment.properties.items() if each.value.strip()}
    problems = [*environment.problems, *_missing(environment.file, set(given), set(environment.properties))]
    values: dict[str, str] = {}
    for name, each in given.items():
        if (parse := KNOWN.get(name)) is not None:
            try:
                values[name] = parse(each.value)
            except Wrong as wrong:
                problems.append(Problem(each.where, name, wrong.message, wrong.hint))
    if problems:
        raise InvalidEnvironment(in_order(problems))
    return Properties(
        {variable(name): value for name, value in values.items()},
        {name: each.where for name, each in given.items()},
        values.get(HOSTNAME),
        values.get(GATEWAY),
        {name: addresses.vip(values[name]) for name in NETWORKS if name in values},
        tuple(name for name in given if name in FOR_CLOUD_INIT),
        tuple(name for name in environment.properties if name not in KNOWN and name not in FOR_CLOUD_INIT),
    )


def variable(name: str) -> str:
    """The variable that services get a property as: ``ESC_`` and its name, once."""
    return PREFIX + name.removeprefix("esc_").upper()


def hint(name: str) -> str:
    """What an unknown property may have been meant as."""
    return did_you_mean(name, KNOWN)


def _missing(file: str, given: set[str], there: set[str]) -> list[Problem]:
    return [
        Problem(
            Where(file), name, "is empty" if name in there else "is missing", f"give it to ovftool as --prop:{name}=…"
        )
        for name in MANDATORY
        if name not in given
    ]


def _text(value: Secret) -> str:
    return _fit(value).reveal()


def _fit(value: Secret) -> Secret:
    """A value that can stand in a file of variables: systemd refuses a file with what is no character in it."""
    if any(ord(each) & 0xFFFE == 0xFFFE or 0xFDD0 <= ord(each) <= 0xFDEF for each in value):
        raise Wrong("has a code in it that is no character")
    return value


def _hostname(value: Secret) -> str:
    name = value.strip()
    if len(name) > _LONGEST_NAME or not _NAME.match(name):
        raise Wrong(f"{describe(name)} is no host name", "letters, digits, `-` and `.`, at most 64 of them")
    return name


def _flag(value: Secret) -> str:
    found = _FLAGS.get(value.strip().lower())
    if found is None:
        raise Wrong(f"{describe(value.strip())} is neither true nor false")
    return found


def _port(value: Secret) -> str:
    number = value.strip()
    if not (number.isascii() and number.isdigit() and 1 <= int(number) <= 65535):
        raise Wrong(f"{describe(number)} is no port", "it goes from 1 to 65535")
    return str(int(number))


def _address(value: Secret) -> str:
    return str(addresses.address(value.strip()))


def _with_prefix(value: Secret) -> str:
    return str(addresses.vip(value.strip()))


KNOWN: dict[str, Callable[[Secret], str]] = {
    "admin_username": _text,
    "admin_password": _fit,
    HOSTNAME: _hostname,
    "rest_username": _text,
    "rest_password": _fit,
    "portal_username": _text,
    "portal_password": _fit,
    "confd_admin_username": _text,
    "confd_admin_password": _fit,
    "vmware_vcenter_ip": _text,
    "vmware_vcenter_port": _port,
    "vmware_vcenter_username": _text,
    "vmware_vcenter_password": _fit,
    "vmware_datastore_host": _text,
    "vmware_datastore_name": _text,
    "vmware_datacenter_name": _text,
    **dict.fromkeys(NETWORKS, _with_prefix),
    GATEWAY: _address,
    "https_rest": _flag,
}
"""Every documented property -> what makes a value of it. Those whose result is a Secret are shown to nobody."""
