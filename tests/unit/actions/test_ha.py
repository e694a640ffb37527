from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest

from escadm.actions.ha_set import HaOptions, ha_set, vip_and_interface
from escadm.actions.ha_show import ha_show
from escadm.actions.ha_unset import ha_unset
from escadm.config.values import Wrong
from escadm.core.problem import HostFacts
from escadm.errors import Failed, InvalidConfig, Usage
from escadm.paths import Paths
from escadm.system import disk
from escadm.system.systemd import enabled_units

BELOW_A_ROOT = HostFacts({}, strict=False)
HERE = HostFacts({"lo": (ip_address("127.0.0.1"),), "eth0": (ip_address("172.16.0.0"),), "eth1": (), "eth2": ()})
SEED = HaOptions(kad_vip=" 172.16.2.0", kad_vif=" eth0", ha_node_list=["172.16.0.0", "172.16.1.0"])
WRITTEN = """\
resources:
  keepalived:
    vip: 172.16.2.0
    interface: eth0
  drbd:
    nodes:
      - 172.16.0.0
      - 172.16.1.0
"""
OLD = """\
# The pair of the second floor
resources:
  pgsql:
    unit: postgresql   # ours

  keepalived:
    vip: 10.0.0.1 # to be changed
    vip_interface: eth1
    priority: 200
  drbd:
    shared_secret: hunter2
"""


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(tmp_path)


def write(paths: Paths, text: str) -> None:
    paths.config.parent.mkdir(parents=True, exist_ok=True)
    paths.config.write_bytes(text.encode())


def text(paths: Paths) -> str:
    return paths.config.read_bytes().decode()


def settings(paths: Paths, **options: object) -> str:
    """What comes of an empty file with these options."""
    write(paths, "resources:\n  keepalived: {vip: 172.16.2.0, interface: eth0}\n")
    ha_set(paths, HERE, HaOptions(**options))  # type: ignore[arg-type]
    return text(paths).partition("keepalived: ")[2].strip()


def test_a_node_without_a_file_becomes_one_of_a_pair(paths: Paths) -> None:
    result = ha_set(paths, HERE, SEED)

    assert text(paths) == WRITTEN
    assert result.written
    assert result.changes == (
        ("keepalived.vip", None, "172.16.2.0"),
        ("keepalived.interface", None, "eth0"),
        ("drbd.nodes", None, "172.16.0.0 172.16.1.0"),
    )
    assert result.next_steps[:-1] == (
        "escadm reload",
        "escadm drbd init",
        "run the same three on the other node",
        "escadm drbd init --primary, on one of them",
        "escadm restart, on both",
    )
    assert "172.16.2.0" in result.next_steps[-1]
    assert result.warnings == ()


def test_the_start_with_the_machine_is_named_until_it_is_so(paths: Paths) -> None:
    step = "systemctl enable esc_service, on both"
    assert step not in ha_set(paths, HERE, SEED).next_steps
    unit = paths.below("/usr/lib/systemd/system/esc_service.service")
    unit.parent.mkdir(parents=True)
    unit.write_text("[Service]\n")
    assert step in ha_set(paths, HERE, HaOptions(kad_vri="7")).next_steps
    link = paths.below("/etc/systemd/system/multi-user.target.wants/esc_service.service")
    link.parent.mkdir(parents=True)
    link.symlink_to("/usr/lib/systemd/system/esc_service.service")
    begins = replace(HERE, enabled=enabled_units(paths))
    assert step not in ha_set(paths, begins, HaOptions(kad_vri="8")).next_steps


@pytest.mark.parametrize(("found", "is_first"), [("drbd", False), ("", True), ("ext4", True), (None, True)])
def test_a_volume_that_is_there_needs_no_first_installation(
    paths: Paths, found: str | None, is_first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the machine itself its disk is looked at; one that cannot be looked at has none either."""

    def signature(name: str) -> str:
        if found is None:
            raise Failed(f"cannot look at the disk {name}")
        return found

    monkeypatch.setattr(disk, "signature", signature)
    monkeypatch.setattr(Paths, "is_host", True)
    result = ha_set(paths, HERE, SEED)
    assert ("escadm drbd init" in result.next_steps) == is_first
    result = ha_set(paths, HERE, HaOptions(kad_vri="7"))
    assert ("escadm drbd init" in result.next_steps) == is_first


def test_the_second_time_nothing_changes(paths: Paths) -> None:
    ha_set(paths, HERE, SEED)
    before = paths.config.stat()
    result = ha_set(paths, HERE, SEED)

    assert (result.changes, result.diff, result.written, result.next_steps) == ((), "", False, ())
    after = paths.config.stat()  # but for the time of the last access
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_every_other_line_stays_as_it_was(paths: Paths) -> None:
    write(paths, OLD.replace("\n", "\r\n"))
    paths.config.chmod(0o640)
    ha_set(
        paths,
        BELOW_A_ROOT,
        HaOptions(kad_vip="172.16.2.0/24:eth2", kad_vri="7", ha_node_list=["172.16.0.0,172.16.1.0"]),
    )

    expected = OLD.replace("10.0.0.1 #", "172.16.2.0/24 #").replace("vip_interface: eth1", "vip_interface: eth2")
    expected = expected.replace("priority: 200\n", "priority: 200\n    virtual_router_id: 7\n")
    expected += "    nodes:\n      - 172.16.0.0\n      - 172.16.1.0\n"
    assert text(paths) == expected.replace("\n", "\r\n")
    assert paths.config.stat().st_mode & 0o777 == 0o640


def test_a_dry_run_writes_nothing_and_shows_the_difference(paths: Paths) -> None:
    write(paths, OLD)
    result = ha_set(paths, BELOW_A_ROOT, SEED, dry_run=True)

    assert text(paths) == OLD
    assert not result.written
    assert "-    vip: 10.0.0.1 # to be changed\n" in result.diff
    assert "+    vip: 172.16.2.0 # to be changed\n" in result.diff
    assert ("keepalived.vip_interface", "eth1", None) in result.changes
    assert "     shared_secret: ***\n" in result.diff
    assert "hunter2" not in repr(result)


def test_what_would_not_hold_together_is_not_written(paths: Paths) -> None:
    ha_set(paths, HERE, SEED)

    with pytest.raises(InvalidConfig) as caught:
        ha_set(paths, HERE, HaOptions(kad_vip="172.16.1.0", kad_vif="eth9"))

    assert [each.path for each in caught.value.problems] == [
        "resources.keepalived.interface",
        "resources.drbd.nodes[1]",
    ]
    assert text(paths) == WRITTEN


def test_a_file_with_mistakes_is_not_touched(paths: Paths) -> None:
    write(paths, "resources: {mona: {depend_on: mona}}\n")

    with pytest.raises(InvalidConfig, match="mona depends on itself"):
        ha_set(paths, HERE, SEED)
    assert text(paths) == "resources: {mona: {depend_on: mona}}\n"


@pytest.mark.parametrize(
    ("options", "facts", "path"),
    [
        (SEED, HostFacts({"eth0": (ip_address("172.16.9.9"),)}), "resources.drbd.nodes"),
        (SEED, HostFacts({"eth1": (ip_address("172.16.0.0"),)}), "resources.keepalived.interface"),
        (SEED, HostFacts({"eth0": (), "eth1": (ip_address("172.16.0.0"),)}), "resources.keepalived.interface"),
        (HaOptions(kad_vip="10.0.0.1:eth7", kad_vif="eth0"), HERE, "resources.keepalived.vip_interface"),
    ],
)
def test_it_is_held_against_the_machine(paths: Paths, options: HaOptions, facts: HostFacts, path: str) -> None:
    with pytest.raises(InvalidConfig) as caught:
        ha_set(paths, facts, options)

    assert [each.path for each in caught.value.problems] == [path]
    assert not paths.config.exists()


def test_below_a_root_what_does_not_fit_the_machine_is_a_warning(paths: Paths) -> None:
    facts = HostFacts({"ens3": (ip_address("10.0.0.1"),)}, strict=False)

    result = ha_set(paths, facts, SEED)

    assert result.written
    assert [each.path for each in result.warnings] == ["resources.keepalived.interface", "resources.drbd.nodes"]


@pytest.mark.parametrize(
    ("options", "flow"),
    [
        ({"kad_vri": "77"}, "{vip: 172.16.2.0, interface: eth0, virtual_router_id: 77}"),
        ({"advert_interval": "0.2"}, "{vip: 172.16.2.0, interface: eth0, advert_interval: 0.2}"),
        ({"gateway": ["172.16.0.9"]}, "{vip: 172.16.2.0, interface: eth0, gateway: [172.16.0.9]}"),
        (
            {"kad_unicast_src_ip": "172.16.0.0", "kad_unicast_peer": "172.16.1.0, 172.16.3.0"},
            "{vip: 172.16.2.0, interface: eth0, unicast_source: 172.16.0.0, unicast_peers: [172.16.1.0, 172.16.3.0]}",
        ),
        ({"kad_vip": "172.16.2.1"}, "{vip: 172.16.2.1, interface: eth0}"),
        ({"kad_vip": "172.16.2.0:eth1"}, "{vip: 172.16.2.0, interface: eth0, vip_interface: eth1}"),
        ({"kad_vif": "eth2"}, "{vip: 172.16.2.0, interface: eth2}"),
    ],
)
def test_what_is_not_given_keeps_its_value(paths: Paths, options: dict[str, object], flow: str) -> None:
    assert settings(paths, **options) == flow


def test_one_interface_for_both_takes_the_place_of_two(paths: Paths) -> None:
    write(paths, "resources:\n  keepalived:\n    vip: 10.0.0.1\n    vip_interface: eth1\n    interface: eth2\n")

    ha_set(paths, HERE, HaOptions(kad_vip="10.0.0.2", kad_vif="eth0"))

    assert text(paths) == "resources:\n  keepalived:\n    vip: 10.0.0.2\n    interface: eth0\n"


def test_an_interface_of_the_vip_stays_when_only_that_of_vrrp_is_given(paths: Paths) -> None:
    write(paths, "resources:\n  keepalived:\n    vip: 10.0.0.1\n    vip_interface: eth1\n    interface: eth2\n")

    ha_set(paths, HERE, HaOptions(kad_vif="eth0"))

    assert text(paths) == "resources:\n  keepalived:\n    vip: 10.0.0.1\n    vip_interface: eth1\n    interface: eth0\n"


@pytest.mark.parametrize(
    "nodes", [["172.16.0.0", "172.16.1.0"], ["172.16.0.0 172.16.1.0"], ["172.16.0.0,172.16.1.0"],
              ["172.16.0.0,", "172.16.1.0"], [" 172.16.0.0 , 172.16.1.0 "]]
)  # fmt: skip
def test_the_node_list_comes_apart_by_blank_or_comma(paths: Paths, nodes: Sequence[str]) -> None:
    ha_set(paths, HERE, HaOptions(kad_vip="172.16.2.0", kad_vif="eth0", ha_node_list=nodes))

    assert text(paths) == WRITTEN


# --- options ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "vip", "interface"),
    [
        ("172.16.2.0", "172.16.2.0", None),
        ("172.16.2.0/24", "172.16.2.0/24", None),
        ("172.16.2.0:eth0", "172.16.2.0", "eth0"),
        (" 172.16.2.0/24:eth0.5 ", "172.16.2.0/24", "eth0.5"),
        ("2001:db8::10", "2001:db8::10", None),
        ("2001:db8::10/64", "2001:db8::10/64", None),
        ("2001:db8::10/64:eth0", "2001:db8::10/64", "eth0"),
        ("[2001:db8::10]", "2001:db8::10", None),
        ("[2001:DB8::10]:eth0", "2001:db8::10", "eth0"),
        ("[2001:db8::10]/64:eth0", "2001:db8::10/64", "eth0"),
    ],
)
def test_address_prefix_and_interface(given: str, vip: str, interface: str | None) -> None:
    assert vip_and_interface(given) == (vip, interface)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("", "'' is not an IP address"),
        ("172.16.2", "'172.16.2' is not an IP address"),
        ("172.16.2.0/33", "the prefix /33 does not fit an IPv4 address"),
        ("172.16.2.0/", "the prefix / does not fit an IPv4 address"),
        ("172.16.2.0:", "is empty"),
        ("172.16.2.0:eth 0", "'eth 0' cannot be the name of an interface"),
        ("[2001:db8::10", "'[2001:db8::10' is not [ADDRESS][/PREFIX][:INTERFACE]"),
        ("[2001:db8::10]eth0", "'[2001:db8::10]eth0' is not [ADDRESS][/PREFIX][:INTERFACE]"),
        ("2001:db8::10:eth0", "'2001:db8::10:eth0' is not an IP address"),
    ],
)
def test_an_address_that_is_none(given: str, message: str) -> None:
    with pytest.raises(Wrong) as caught:
        vip_and_interface(given)

    assert caught.value.message == message


def test_every_wrong_option_is_told_at_once(paths: Paths) -> None:
    options = HaOptions(
        kad_vip="172.16.2", kad_vif="eth0 eth1", ha_node_list=["172.16.0.0"], kad_vri="x", advert_interval="99",
        kad_unicast_src_ip="here", kad_unicast_peer=[], gateway=["172.16.0.300"],
    )  # fmt: skip

    with pytest.raises(Usage) as caught:
        ha_set(paths, HERE, options)

    assert str(caught.value).splitlines() == [
        "--kad_vip: '172.16.2' is not an IP address",
        "--kad_vif: 'eth0 eth1' cannot be the name of an interface: at most 15 letters, digits and `.-_@`",
        "--kad_vri: 'x' is not a whole number: write a number from 1 to 255",
        "--advert_interval: 99 is out of range: it goes from 0.05 to 40",
        "--kad_unicast_src_ip: 'here' is not an IP address",
        "--kad_unicast_peer: no address is given",
        "--gateway: '172.16.0.300' is not an IP address",
        "--ha_node_list: 1 address instead of two: this node's and the other node's",
    ]
    assert not paths.config.exists()


def test_no_option_at_all(paths: Paths) -> None:
    with pytest.raises(Usage, match="no option is given"):
        ha_set(paths, HERE, HaOptions())


# --- show and unset ---------------------------------------------------------------------------------------


def test_show_tells_the_defaults_too(paths: Paths) -> None:
    ha_set(paths, HERE, SEED)

    assert ha_show(paths, HERE).parameters() == [
        ("kad_vip", "172.16.2.0:eth0"),
        ("kad_vif", "eth0"),
        ("kad_vri", "51"),
        ("kad_unicast_src_ip", "172.16.0.0"),
        ("kad_unicast_peer", "172.16.1.0"),
        ("advert_interval", "1"),
        ("ha_node_list", "172.16.0.0 172.16.1.0"),
    ]


def test_show_in_the_form_that_set_takes(paths: Paths) -> None:
    ha_set(paths, HERE, HaOptions(kad_vip="[2001:db8::10]/64:eth1", kad_vif="eth0", gateway=["2001:db8::1"]))
    shown = dict(ha_show(paths, HERE).parameters())

    assert shown["kad_vip"] == "[2001:db8::10]/64:eth1"
    assert shown["gateway"] == "2001:db8::1"
    assert vip_and_interface(shown["kad_vip"]) == ("2001:db8::10/64", "eth1")


def test_show_a_standalone_node(paths: Paths) -> None:
    write(paths, "resources:\n")

    assert ha_show(paths, HERE).parameters() == []


def test_unset_is_the_way_back(paths: Paths) -> None:
    before = "# mine\nresources:\n  pgsql:\n    unit: postgresql # ours\n"
    write(paths, before)
    ha_set(paths, HERE, SEED)
    result = ha_unset(paths, HERE)

    assert text(paths) == before
    assert result.changes == (
        ("keepalived.vip", "172.16.2.0", None),
        ("keepalived.interface", "eth0", None),
        ("drbd.nodes", "172.16.0.0 172.16.1.0", None),
    )
    assert result.next_steps[:2] == ("escadm reload", "escadm restart")


def test_unset_leaves_what_is_not_of_the_pair(paths: Paths) -> None:
    write(paths, OLD)
    ha_unset(paths, HERE)

    assert text(paths) == OLD.replace("    vip: 10.0.0.1 # to be changed\n    vip_interface: eth1\n", "")


def test_unset_of_a_standalone_node_is_done_already(paths: Paths) -> None:
    assert ha_unset(paths, HERE).changes == ()
    assert not paths.config.exists()
    write(paths, "resources: {}\n")
    stat = paths.config.stat()
    assert not ha_unset(paths, HERE).written
    assert paths.config.stat() == stat


def test_unset_dry_run(paths: Paths) -> None:
    ha_set(paths, HERE, SEED)
    result = ha_unset(paths, HERE, dry_run=True)

    assert text(paths) == WRITTEN
    assert "-    vip: 172.16.2.0\n" in result.diff
