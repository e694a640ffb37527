"""What is wrong with a configuration: the text, and exactly what is said about it."""

from ipaddress import ip_address
from pathlib import Path

import pytest

from escadm.config import parse_plan
from escadm.core.problem import HostFacts
from escadm.errors import InvalidConfig


def machine(*, strict: bool = True, **interfaces: str) -> HostFacts:
    return HostFacts({name: tuple(map(ip_address, each.split())) for name, each in interfaces.items()}, strict)


HERE = machine(lo="127.0.0.1 ::1", eth0="192.0.2.11 2001:db8::11", eth1="198.51.100.11")
NODES = "drbd: {nodes: [192.0.2.11, 192.0.2.12]}"


def errors(text: str, facts: HostFacts = HERE) -> list[str]:
    try:
        parse_plan(text, "f", facts)
    except InvalidConfig as error:
        return str(error).splitlines()
    return []


def warnings(text: str, facts: HostFacts = HERE) -> list[str]:
    return [str(each) for each in parse_plan(text, "f", facts).warnings]


TABLE = Path(__file__).with_name("problems.txt")
"""Texts with one mistake in each: the text, and after ``=>`` what is said. A ``#`` begins a chapter."""


def cases() -> list[tuple[str, str]]:
    blocks = TABLE.read_text(encoding="utf-8").strip().split("\n\n")
    pairs = [block.split("\n=> ") for block in blocks if not block.startswith("#")]
    return [(text, message) for text, message in pairs]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        *cases(),
        ("a: \x07", "f:1:4: the character U+0007 cannot be in a YAML file"),
        ("[" * 5000, "f: is nested too deeply"),
        ("#" * 1_000_001, "f: has more than 1000000 characters: this is no esc-config.yaml"),
    ],
    ids=lambda text: text[-60:],
)
def test_one_mistake_is_told_in_one_line(text: str, message: str) -> None:
    assert errors(text) == [message]


def test_every_mistake_is_told_in_one_run_by_its_place() -> None:
    text = "resources:\n  pgsql:\n    unti: x\n  mona:\n    depend_on: confd\n  confd:\n    depend_on: mona\n"
    text += "  keepalived:\n    vip: 192.0.2.11\n  drbd:\n    nodes: [192.0.2.11, 192.0.2.12]\n"

    assert [each.split(":")[1] for each in errors(text)] == ["3", "7", "11"]


def test_a_broken_pair_is_not_held_against_the_machine_as_well() -> None:
    assert errors("resources: {keepalived: {vip: x}, drbd: {nodes: [10.0.0.1, 10.0.0.2]}}") == [
        "f:1:31: resources.keepalived.vip: 'x' is not an IP address"
    ]


def test_two_spellings_of_one_resource() -> None:
    assert errors("resources: {pgsql: {}, postgres: {}}") == [
        "f:1:24: resources.pgsql: postgres and pgsql are the same resource: keep one of them"
    ]


def test_what_is_kept_up_in_every_role_may_not_wait_for_the_primary_by_default_either() -> None:
    text = f"resources:\n  keepalived: {{vip: 192.0.2.10}}\n  {NODES}\n  escmanager: {{run_forever: true}}\n"

    assert errors(text) == [
        f"f:4:29: resources.escmanager.run_forever: escmanager is kept up in every role (run_forever), but {name} is"
        " there on the primary alone: remove run_forever, or this dependency"
        for name in ("mona", "pgsql", "vimmanager")
    ]
    assert errors("resources: {escmanager: {run_forever: true}}") == []


def test_aliases_of_aliases_are_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]

    assert "more than 20000 values: are there aliases of aliases?" in "\n".join(errors("\n".join(lines)))


def test_a_secret_is_in_no_message() -> None:
    assert errors("resources: {drbd: {shared_secret: hunter 2}}") == [
        'f:1:35: resources.drbd.shared_secret: must be a text of 1 to 63 printable characters without blanks, `"` and'
        " `\\`: put it in quotes"
    ]


# --- warnings ---------------------------------------------------------------------------------------------

OTHER = machine(strict=False, lo="127.0.0.1", ens3="10.0.0.1")
UNKNOWN = machine(strict=False)

WARNINGS = [
    ("resources: {mona: {depend_on: [postgres, postgres]}, etsi: {depend_on: postgres}}", HERE,
     ["f:1:32: warning: resources.mona.depend_on[0]: `postgres` means pgsql: write pgsql"]),
    ("resources: {postgres: {}, etsi: {depend_on: pgsq1:running}}", HERE,
     ["f:1:13: warning: resources.pgsql: `postgres` means pgsql: write pgsql",
      "f:1:45: warning: resources.etsi.depend_on: `pgsq1` means pgsql: write pgsql"]),
    ("resources: {keepalived: {interface: eth0}}", HERE,
     ["f:1:26: warning: resources.keepalived.interface: has no effect without `vip`: this node is standalone"]),
    ("resources: {web: {command: x, user: no-such-user}}", HERE,
     ["f:1:37: warning: resources.web.user: this machine has no user no-such-user: make it before you start web"]),
    ("resources: {web: {command: x, user: no-such-user}}", UNKNOWN, []),
    (f"resources: {{keepalived: {{vip: 192.0.2.0/24, interface: eth0}}, {NODES}}}", HERE,
     ["f:1:31: warning: resources.keepalived.vip: 192.0.2.0 is the network address of 192.0.2.0/24: is the prefix"
      " right?"]),
    ("resources: {keepalived: {vip: 192.0.2.14/29}, drbd: {nodes: [192.0.2.11, 192.0.2.15]}}", HERE,
     ["f:1:74: warning: resources.drbd.nodes[1]: 192.0.2.15 is the broadcast address of 192.0.2.8/29: is the prefix"
      " right?"]),
    (f"resources: {{keepalived: {{vip: '2001:db8::10'}}, {NODES}}}", HERE,
     ["f:1:62: warning: resources.drbd.nodes: the nodes have IPv4 addresses and the virtual address is IPv6: VRRP by"
      " multicast: keepalived sends unicast within one family"]),
    (f"resources: {{keepalived: {{vip: 192.0.2.10}}, {NODES}, filesystem: {{startup: false}},"
     " esc_service: {startup: false}}", HERE,
     ["f:1:58: warning: resources.drbd.nodes: nothing waits for drbd:master: the volume has no user"]),
    (f"resources: {{keepalived: {{vip: 192.0.2.10}}, {NODES}}}", UNKNOWN,
     ["f:1:13: warning: resources.keepalived: no `interface`: eth0 is taken: set one with `escadm ha set --kad_vif=…`",
      "f:1:58: warning: resources.drbd.nodes: neither address is on this machine: this node is taken for 192.0.2.11"]),
    (f"resources: {{keepalived: {{vip: 192.0.2.10, interface: eth0, unicast_source: 192.0.2.12}}, {NODES}}}", OTHER,
     ["f:1:54: warning: resources.keepalived.interface: this machine has no interface eth0: interfaces here: ens3",
      "f:1:76: warning: resources.keepalived.unicast_source: 192.0.2.12 is not on this machine: this node is taken for"
      " 192.0.2.12"]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "facts", "expected"), WARNINGS)
def test_a_warning_stops_nothing(text: str, facts: HostFacts, expected: list[str]) -> None:
    assert warnings(text, facts) == expected


UNITS = "resources: {db: {unit: pg@main.service}, web: {unit: web}, old: {type: unit}, own: {command: x}}"


def test_units_that_begin_with_the_machine_and_units_that_never_do() -> None:
    enabled = {"pg@main.service": "pg.service", "own.service": "own.service", "portal.service": "portal.service"}
    facts = HostFacts(HERE.interfaces, enabled=enabled, masked=frozenset({"old.service"}))
    assert warnings(UNITS, facts) == [
        "f:1:24: warning: resources.db.unit: pg@main.service begins with the machine, whatever the role and the order: "
        "systemctl disable pg.service",
        "f:1:65: warning: resources.old: old.service is masked: it cannot be started: systemctl unmask old.service",
    ]
    assert warnings(UNITS) == []
