from ipaddress import ip_address

import pytest

from escadm.config.read import PlanRead, parse_plan
from escadm.core.probes import Http
from escadm.core.problem import HostFacts
from escadm.core.specs import KeepalivedSpec, ProcessSpec
from escadm.errors import InvalidConfig
from escadm.lab.configuration import Copies, prepare

PAIR = """\
resources:
  keepalived:
    vip: 192.0.2.10   # the service's address
  drbd:
    nodes: [192.0.2.11, 192.0.2.12]
"""
SERVICES = """\
resources:
  postgres:
    unit: postgresql.service
  shell:
    command: sh -c 'sleep 1'
  java:
    command: /opt/cisco/esc/bin/java -jar it.jar
    user: root
    working_directory: /srv
    check: {tcp: 9000}
    ready: notify
    depend_on: shell
  filesystem:
    device: /dev/sdb1
"""


def plans(copies: Copies) -> list[PlanRead]:
    """The copies as each node would read them, strictly."""
    facts = [HostFacts({copies.network.interface: (address,)}) for address in copies.network.nodes]
    return [parse_plan(text, "copy", fact) for text, fact in zip(copies.texts, facts, strict=True)]


def pair_of(copies: Copies) -> list[KeepalivedSpec]:
    found = [each.plan.keepalived for each in plans(copies)]
    assert None not in found
    return [each for each in found if each is not None]


def test_the_manuals_pair_without_replication_and_with_stand_ins() -> None:
    copies = prepare(None, "-", advert=0.2)
    for index, read in enumerate(plans(copies)):
        assert read.plan.drbd is None
        keepalived = read.plan.keepalived
        assert keepalived is not None
        assert (keepalived.vip, keepalived.advert_interval) == (ip_address("172.16.2.0"), 0.2)
        assert keepalived.unicast_source == copies.network.nodes[index]
        assert keepalived.unicast_peers == (copies.network.nodes[1 - index],)
    assert list(copies.ports) == ["confd", "escmanager", "etsi", "mona", "pgsql", "portal", "snmp", "vimmanager"]
    unit = plans(copies)[0].plan.units["confd"]
    assert isinstance(unit.spec, ProcessSpec)
    assert unit.spec.argv[1:4] == ("-m", "escadm.lab.standin", "confd")
    assert unit.spec.argv[-1] == "start-phase0"
    assert unit.ready == Http(f"http://127.0.0.1:{copies.ports['confd']}/")
    assert any("`pgsq1` means pgsql" in note for note in copies.notes)
    assert any("without replication" in note for note in copies.notes)


def test_standalone_leaves_out_what_makes_a_pair() -> None:
    copies = prepare(PAIR, "pair.yaml", standalone=True)
    assert [str(address) for address in copies.network.nodes] == ["192.0.2.11", "192.0.2.12"]
    assert copies.texts[0] == copies.texts[1]
    for read in plans(copies):
        assert not read.plan.is_pair


def test_what_the_lab_does_not_change_stays() -> None:
    assert "vip: 192.0.2.10   # the service's address\n" in prepare(PAIR, "pair.yaml").texts[0]


@pytest.mark.parametrize(
    ("keepalived", "nodes", "vip", "interface"),
    [
        ("vip: 192.0.2.10", ["192.0.2.11", "192.0.2.9"], "192.0.2.10", "eth0"),
        (
            "{vip: 10.1.0.9/16, interface: ens3, unicast_source: 10.1.0.2, unicast_peers: [10.1.0.3]}",
            ["10.1.0.2", "10.1.0.3"],
            "10.1.0.9",
            "ens3",
        ),
        ("{vip: 'fd00::9', interface: ens3, vip_interface: ens4}", ["fd00::10a", "fd00::a"], "fd00::9", "ens3"),
        ("{interface: ens3}", ["172.16.0.0", "172.16.1.0"], "172.16.2.0", "ens3"),
    ],
)
def test_addresses_are_the_files_where_it_has_them(keepalived: str, nodes: list[str], vip: str, interface: str) -> None:
    keepalived = keepalived if keepalived.startswith("{") else f"{{{keepalived}}}"
    copies = prepare(f"resources:\n  keepalived: {keepalived}\n", "pair.yaml")
    assert [str(address) for address in copies.network.nodes] == nodes
    for spec in pair_of(copies):
        assert str(spec.vip) == vip
        assert (spec.interface, spec.vip_interface) == (interface, interface)


def test_nodes_without_a_vip_get_one_beside_them() -> None:
    keepalived = "{unicast_source: 192.0.2.11, unicast_peers: 192.0.2.12}"
    copies = prepare(f"resources:\n  keepalived: {keepalived}\n", "pair.yaml")
    assert [str(spec.vip) for spec in pair_of(copies)] == ["192.0.2.10"] * 2


def test_stand_ins_only_for_what_is_not_installed() -> None:
    copies = prepare(SERVICES, "services.yaml", delay=0.1)
    assert list(copies.ports) == ["java", "pgsql"]
    assert "run as they are, with this machine's files: shell" in copies.notes
    units = plans(copies)[0].plan.units
    java, pgsql = units["java"], units["pgsql"]
    assert isinstance(java.spec, ProcessSpec)
    assert isinstance(pgsql.spec, ProcessSpec)
    assert (java.spec.user, java.spec.working_directory, java.check) == (None, None, None)
    assert isinstance(java.ready, Http)
    assert java.spec.argv[-2:] == ("--delay", "0.1")
    assert "shell" in java.needs


def test_none_of_the_machines_devices_is_mounted() -> None:
    copies = prepare(SERVICES, "services.yaml")
    assert all("/dev/sdb1" not in text for text in copies.texts)
    assert any("filesystem.device is left out" in note for note in copies.notes)


def test_mistakes_are_told_with_their_places() -> None:
    with pytest.raises(InvalidConfig) as caught:
        prepare("resources:\n  mona:\n    depend_on: moan\n", "bad.yaml")
    assert [str(problem.where) for problem in caught.value.problems] == ["bad.yaml:3:16"]
