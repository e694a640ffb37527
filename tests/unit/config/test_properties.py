import re
from pathlib import Path

import pytest

from escadm.config.properties import FOR_CLOUD_INIT, KNOWN, MANDATORY, Properties, hint, take, variable
from escadm.core.ovf import Environment, Property
from escadm.core.problem import Problem, Where
from escadm.core.specs import Secret
from escadm.errors import InvalidEnvironment

FILE = "ovf-env.xml"
ENOUGH = dict.fromkeys(MANDATORY, "x")
REFERENCE = (Path(__file__).parents[3] / "docs/reference/ovf.md").read_text()
GUIDE = (Path(__file__).parents[3] / "docs/how-to/on-vmware.md").read_text()


def environment(**values: str) -> Environment:
    names = {name.replace("user_data", "user-data"): value for name, value in values.items()}
    places = {name: Where(FILE, line) for line, name in enumerate(names, 1)}
    return Environment(FILE, {name: Property(Secret(value), places[name]) for name, value in names.items()})


def taken(**values: str) -> Properties:
    return take(environment(**ENOUGH, **values))


def problems(given: Environment) -> list[str]:
    with pytest.raises(InvalidEnvironment) as caught:
        take(given)
    return [str(each) for each in caught.value.problems]


def test_all_that_is_missing_is_told_at_once() -> None:
    assert problems(environment(admin_password="", confd_admin_username=" \n", gateway="x")) == [
        f"{FILE}: admin_password: is empty: give it to ovftool as --prop:admin_password=…",
        f"{FILE}: admin_username: is missing: give it to ovftool as --prop:admin_username=…",
        f"{FILE}: confd_admin_password: is missing: give it to ovftool as --prop:confd_admin_password=…",
        f"{FILE}: confd_admin_username: is empty: give it to ovftool as --prop:confd_admin_username=…",
        f"{FILE}:3:0: gateway: 'x' is not an IP address",
    ]


def test_what_is_wrong_with_the_document_is_told_with_it() -> None:
    given = environment(**ENOUGH, https_rest="perhaps")
    given.problems.append(Problem(Where(FILE, 2, 3), "net1_ip", "is there twice"))
    assert problems(given) == [
        f"{FILE}:2:3: net1_ip: is there twice",
        f"{FILE}:5:0: https_rest: 'perhaps' is neither true nor false",
    ]


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("esc_hostname", " esc-0.example.org ", "esc-0.example.org"),
        ("https_rest", "True", "true"),
        ("https_rest", " no ", "false"),
        ("https_rest", "1", "true"),
        ("vmware_vcenter_port", " 0443", "443"),
        ("net1_ip", "192.0.2.1", "192.0.2.1"),
        ("net2_ip", " 192.0.2.1/24 ", "192.0.2.1/24"),
        ("net1_ip", "2001:DB8::1/64", "2001:db8::1/64"),
        ("gateway", "192.0.2.254", "192.0.2.254"),
        ("rest_username", " to the letter ", " to the letter "),
        ("vmware_datacenter_name", "DC one\n", "DC one\n"),
    ],
)
def test_values(name: str, value: str, expected: str) -> None:
    assert taken(**{name: value}).variables[variable(name)] == expected


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("esc_hostname", "esc_0", "'esc_0' is no host name"),
        ("esc_hostname", "-a", "'-a' is no host name"),
        ("esc_hostname", "a..b", "'a..b' is no host name"),
        ("esc_hostname", "a" * 65, "is no host name"),
        ("https_rest", "2", "'2' is neither true nor false"),
        ("vmware_vcenter_port", "0", "'0' is no port: it goes from 1 to 65535"),
        ("vmware_vcenter_port", "65536", "'65536' is no port"),
        ("vmware_vcenter_port", "٤٤٣", "is no port"),
        ("net1_ip", "192.0.2.1/33", "the prefix /33 does not fit an IPv4 address"),
        ("net1_ip", "192.0.2.1/255.255.255.0", "the prefix /255.255.255.0 does not fit"),
        ("net2_ip", "0.0.0.0", "0.0.0.0 is the unspecified address"),
        ("gateway", "192.0.2.254/24", "is not an IP address: write it without the prefix"),
        ("rest_password", "a\ufdd0", "has a code in it that is no character"),
        ("portal_username", "\U0001ffff", "has a code in it that is no character"),
    ],
)
def test_what_cannot_be_taken(name: str, value: str, message: str) -> None:
    (told,) = problems(environment(**ENOUGH, **{name: value}))
    assert told.startswith(f"{FILE}:5:0: {name}: ")
    assert message in told


def test_an_empty_property_is_none() -> None:
    result = taken(gateway="", net1_ip=" ", rest_password="", user_data="", unknown="")
    assert result.gateway is None
    assert not result.networks
    assert set(result.variables) == {variable(name) for name in MANDATORY}
    assert (result.foreign, result.unknown) == ((), ("unknown",))


def test_each_goes_where_it_belongs() -> None:
    result = taken(
        esc_hostname="a", gateway="192.0.2.254", net1_ip="192.0.2.1/24", user_data="I2Nsb3Vk", vmwarevcenter="x"
    )
    assert (result.hostname, result.gateway) == ("a", "192.0.2.254")
    assert {name: str(each) for name, each in result.networks.items()} == {"net1_ip": "192.0.2.1/24"}
    assert (result.foreign, result.unknown) == (("user-data",), ("vmwarevcenter",))
    assert hint("vmware_vcentre_ip") == "did you mean vmware_vcenter_ip?"


def test_passwords_do_not_show_themselves() -> None:
    names = [name for name in KNOWN if "password" in name]
    result = taken(**{name: "hunter2" for name in names if name not in MANDATORY})
    assert all(isinstance(result.variables[variable(name)], Secret) for name in names)
    assert "hunter2" not in repr(result)


def test_the_reference_names_every_property_and_its_variable() -> None:
    rows = [line.split(" | ") for line in REFERENCE.splitlines() if line.startswith("| `")]
    told = {name for row in rows for name in re.findall(r"`([a-z0-9_-]+)`", row[0])}
    assert told == {*KNOWN, *FOR_CLOUD_INIT}
    table = REFERENCE.partition("\n## What goes where\n")[2].partition("\n## ")[0]
    assert not [name for name in KNOWN if f"`{variable(name)}`" not in table]


def test_the_guide_hands_over_every_property_but_the_second_network() -> None:
    given = set(re.findall(r"--prop:([a-z0-9_-]+)=", GUIDE))
    assert given == {*KNOWN, "user-data"} - {"net2_ip"}
