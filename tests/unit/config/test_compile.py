"""From a configuration to the plan of a node."""

from ipaddress import ip_address

import pytest

from escadm.config import parse_plan
from escadm.config.compile import compile_plan
from escadm.config.load import parse
from escadm.core.graph import below
from escadm.core.plan import Plan, Unit
from escadm.core.probes import Check, Exec, Tcp
from escadm.core.problem import HostFacts
from escadm.core.specs import DrbdSpec, FilesystemSpec, KeepalivedSpec, Kind, ProcessSpec, SystemdSpec

FIRST, SECOND, VIP = (ip_address(each) for each in ("192.0.2.11", "192.0.2.12", "192.0.2.10"))
HERE = HostFacts({"lo": (ip_address("127.0.0.1"),), "eth0": (FIRST,), "eth1": (ip_address("198.51.100.11"),)})
THERE = HostFacts({"lo": (ip_address("127.0.0.1"),), "ens9": (SECOND, VIP)})

KEEPALIVED = "keepalived: {vip: 192.0.2.10, interface: eth0}"
DRBD = "drbd: {nodes: [192.0.2.11, 192.0.2.12]}"
FULL = f"{KEEPALIVED}, {DRBD}"


def plan(text: str, facts: HostFacts = HERE) -> Plan:
    return parse_plan(f"resources: {{{text}}}", "f", facts).plan


def unit(text: str, name: str = "web") -> Unit:
    return plan(text).units[name]


def keepalived(text: str, facts: HostFacts = HERE) -> KeepalivedSpec:
    found = plan(text, facts).keepalived
    assert found is not None
    return found


# --- order ------------------------------------------------------------------------------------------------

RUNGS = [
    # what a depend_on says,   with vip and nodes, with vip alone,       standalone
    ("drbd:master", "drbd:master", "keepalived:master", None),
    ("keepalived:master", "keepalived:master", "keepalived:master", None),
    ("drbd", "drbd", None, None),
    ("drbd:backup", "drbd", None, None),
    ("keepalived", "keepalived", "keepalived", None),
    ("keepalived:backup", "keepalived", "keepalived", None),
    ("monitor:running", "monitor", "monitor", "monitor"),
]


@pytest.mark.parametrize(("dependency", "replicated", "pair", "alone"), RUNGS)
def test_a_dependency_names_a_rung(dependency: str, replicated: str, pair: str | None, alone: str | None) -> None:
    web = f"web: {{command: x, depend_on: '{dependency}'}}"

    for text, expected in ((f"{FULL}, {web}", replicated), (f"{KEEPALIVED}, {web}", pair), (web, alone)):
        assert unit(text).needs == ((expected,) if expected else ())


def test_the_implied_units_of_a_pair() -> None:
    units = plan(FULL).units

    assert (units["keepalived:master"].kind, units["keepalived:master"].needs) == (Kind.CONDITION, ("keepalived",))
    assert (units["drbd:master"].kind, units["drbd:master"].needs) == (Kind.PROMOTION, ("drbd", "keepalived:master"))
    assert units["drbd"].run_forever and units["keepalived"].run_forever
    assert not units["drbd:master"].run_forever
    assert units["drbd:master"].mentioned and units["drbd:master"].group is None


def test_what_a_node_does_not_have_is_no_unit() -> None:
    assert not {"drbd", "drbd:master"} & plan(KEEPALIVED).units.keys()
    assert not {"drbd", "drbd:master", "keepalived", "keepalived:master"} & plan("").units.keys()
    assert plan("").keepalived is None
    assert plan(KEEPALIVED).drbd is None
    assert plan(FULL).is_pair


def test_the_units_are_in_start_order() -> None:
    units = plan(FULL).units
    names = list(units)

    assert all(names.index(need) < names.index(name) for name, each in units.items() for need in each.needs)


def test_members_wait_for_what_their_group_waits_for() -> None:
    text = f"{FULL}, web: {{command: x, group: esc_service, depend_on: confd}}"

    assert unit(text).needs == ("confd", "filesystem")
    assert "web" in unit(text, "esc_service").needs
    assert "filesystem" in unit(text, "esc_service").needs


def test_groups_within_groups() -> None:
    text = "web: {command: x, group: front}, front: {type: group, group: all, depend_on: mona}"
    text += ", all: {type: group, depend_on: confd}"

    assert unit(text).needs == ("confd", "mona")
    assert unit(text, "front").needs == ("confd", "mona", "web")
    assert unit(text, "all").needs == ("confd", "front")


def test_what_is_kept_up_in_every_role_does_not_wait_for_its_group() -> None:
    units = plan(f"{FULL}, web: {{command: x, group: esc_service, run_forever: true}}").units

    assert units["web"].needs == ()
    assert units["web"].run_forever
    assert "web" in units["esc_service"].needs
    assert "keepalived:master" not in below({name: each.needs for name, each in units.items()}, ["web"])


def test_what_is_switched_off_stays_in_the_plan_and_holds_nobody_up() -> None:
    units = plan("etsi: {startup: false}, portal: {startup: manual, depend_on: etsi}").units

    assert not units["etsi"].startup and not units["portal"].startup
    assert units["portal"].needs == ("etsi", "filesystem")
    assert not {"etsi", "portal"} & set(units["esc_service"].needs)


def test_a_group_that_is_switched_off_switches_its_members_off() -> None:
    units = plan("esc_service: {startup: false}, web: {command: x, group: esc_service, startup: true}").units

    assert not any(units[name].startup for name in ("esc_service", "pgsql", "escmanager", "monitor", "web"))
    assert units["filesystem"].startup


def test_who_is_mentioned() -> None:
    units = plan("confd: , web: {command: x, depend_on: [mona, postgres]}").units

    assert {name for name, each in units.items() if each.mentioned} == {"confd", "web", "mona", "pgsql"}


# --- specs ------------------------------------------------------------------------------------------------


def test_a_process() -> None:
    found = unit(
        "web: {command: /bin/web --quiet, option: start-phase0, user: root, working_directory: /srv, stop_signal: INT,"
        " environment: {A: b, C: 1.10}, ready: {exec: [probe]}, check: {tcp: 80, failures: 5}, start_timeout: 5,"
        " stop_timeout: 0.5}"
    )

    assert found.kind is Kind.PROCESS
    assert found.spec == ProcessSpec(
        argv=("/bin/web", "--quiet", "start-phase0"),
        user="root",
        environment=(("ESC_OPTION", "start-phase0"), ("A", "b"), ("C", "1.10")),
        working_directory="/srv",
        stop_signal="SIGINT",
    )
    assert (found.ready, found.check) == (Exec(("probe",)), Check(Tcp(80), failures=5))
    assert (found.start_timeout, found.stop_timeout) == (5.0, 0.5)


def test_what_is_not_said_has_the_defaults_of_a_unit() -> None:
    assert unit("web: {command: x}") == Unit("web", Kind.PROCESS, spec=ProcessSpec(("x",)), mentioned=True)


def test_systemd_units() -> None:
    for text, name, service, implied in (
        ("", "pgsql", "pgsql.service", True),
        ("confd: {option: start-phase0}", "confd", "confd.service", True),
        ("web: {type: unit}", "web", "web.service", False),
        ("web: {unit: nginx.service}", "web", "nginx.service", False),
    ):
        spec = unit(text, name).spec
        assert spec == SystemdSpec(service)
        assert isinstance(spec, SystemdSpec)
        assert spec.implied is implied
    assert unit("web: {unit: nginx.service}").kind is Kind.UNIT


def test_filesystems() -> None:
    where = "/opt/cisco/esc/esc_database"

    assert unit(FULL, "filesystem").spec == FilesystemSpec(where, "/dev/drbd1", "ext4", "noatime")
    assert unit(KEEPALIVED, "filesystem").spec == FilesystemSpec(where)
    assert unit(
        "web: {type: filesystem, mount_point: /srv/, device: /dev/vdb, fstype: xfs, options: 'ro,noexec'}"
    ).spec == (FilesystemSpec("/srv", "/dev/vdb", "xfs", "ro,noexec"))


def test_drbd() -> None:
    assert plan(FULL).drbd == DrbdSpec((FIRST, SECOND), "/dev/esc/database", "/dev/drbd1", 7789)
    more = (
        "drbd: {nodes: [192.0.2.12, 192.0.2.11], port: 1, disk: /dev/b, device: /dev/drbd7, net_options: {ping-int: 1}}"
    )
    assert plan(f"{KEEPALIVED}, {more}").drbd == DrbdSpec(
        (SECOND, FIRST), "/dev/b", "/dev/drbd7", 1, net_options=(("ping-int", "1"),)
    )
    assert plan(FULL).units["drbd"].spec == plan(FULL).drbd


# --- keepalived -------------------------------------------------------------------------------------------


def test_the_nodes_tell_interface_and_unicast() -> None:
    text = f"keepalived: {{vip: 192.0.2.10}}, {DRBD}"

    assert keepalived(text, HERE) == KeepalivedSpec(
        VIP,
        "eth0",
        "eth0",
        virtual_router_id=10,
        unicast_source=FIRST,
        unicast_peers=(SECOND,),
        peer_paths=((FIRST, SECOND),),
    )
    assert keepalived(text, THERE) == KeepalivedSpec(
        VIP,
        "ens9",
        "ens9",
        virtual_router_id=10,
        unicast_source=SECOND,
        unicast_peers=(FIRST,),
        peer_paths=((SECOND, FIRST),),
    )
    assert plan(text).units["keepalived"].spec == keepalived(text)


def test_every_setting_of_keepalived() -> None:
    text = (
        "keepalived: {vip: 203.0.113.9/24, vip_interface: eth1, interface: eth0, virtual_router_id: 77, priority: 100,"
        " advert_interval: 0.25, gateway: 192.0.2.1,"
        " unicast_source: 192.0.2.11, unicast_peers: [192.0.2.21, 192.0.2.22]}"
    )
    peers = (ip_address("192.0.2.21"), ip_address("192.0.2.22"))

    assert keepalived(text) == KeepalivedSpec(
        ip_address("203.0.113.9"),
        "eth0",
        "eth1",
        77,
        24,
        0.25,
        100,
        FIRST,
        peers,
        (ip_address("192.0.2.1"),),
        ((FIRST, peers[0]),),
    )


def test_the_paths_between_the_agents() -> None:
    """VRRP's first, then the replication's where that is another one; also where VRRP goes by multicast."""
    near, far = ip_address("198.51.100.11"), ip_address("198.51.100.12")
    other = f"unicast_source: {near}, unicast_peers: {far}"

    assert keepalived(f"keepalived: {{vip: 192.0.2.10, {other}}}, {DRBD}").peer_paths == ((near, far), (FIRST, SECOND))
    assert keepalived(f"keepalived: {{vip: 192.0.2.10, {other}}}").peer_paths == ((near, far),)
    assert keepalived(f"keepalived: {{vip: 192.0.2.10}}, {DRBD}", THERE).peer_paths == ((SECOND, FIRST),)
    assert keepalived(f"keepalived: {{vip: '2001:db8::10', interface: eth0}}, {DRBD}").peer_paths == ((FIRST, SECOND),)
    assert keepalived(KEEPALIVED).peer_paths == ()


@pytest.mark.parametrize("major", [8, 9])
def test_the_kernels_drbd_is_in_the_plan(major: int) -> None:
    found = plan(FULL, HostFacts(HERE.interfaces, drbd_major=major)).drbd
    assert found is not None
    assert found.major == major


@pytest.mark.parametrize(
    ("vip", "vrid"), [("192.0.2.10", 10), ("192.0.2.255", 255), ("172.16.2.0", 51), ("2001:db8::1:f0", 240)]
)
def test_the_default_of_the_virtual_router_id(vip: str, vrid: int) -> None:
    assert keepalived(f"keepalived: {{vip: '{vip}', interface: eth0}}").virtual_router_id == vrid


@pytest.mark.parametrize(
    ("text", "interfaces"),
    [
        ("vip: 192.0.2.10", ("eth0", "eth0")),
        ("vip: 192.0.2.10, vip_interface: eth1", ("eth0", "eth1")),
        ("vip: 192.0.2.10, interface: eth0", ("eth0", "eth0")),
    ],
)
def test_interfaces_of_a_pair_with_nodes(text: str, interfaces: tuple[str, str]) -> None:
    found = keepalived(f"keepalived: {{{text}}}, {DRBD}")

    assert (found.interface, found.vip_interface) == interfaces


def test_interfaces_of_a_pair_without_nodes() -> None:
    unicast = "unicast_source: 198.51.100.11, unicast_peers: 198.51.100.12"

    assert keepalived("keepalived: {vip: 192.0.2.10, vip_interface: eth0}").interface == "eth0"
    assert keepalived(f"keepalived: {{vip: 192.0.2.10, {unicast}}}").interface == "eth1"


def test_unicast_takes_the_rest_from_the_nodes() -> None:
    peers = keepalived(f"keepalived: {{vip: 192.0.2.10, unicast_source: 192.0.2.11}}, {DRBD}").unicast_peers
    source = keepalived(f"keepalived: {{vip: 192.0.2.10, unicast_peers: 192.0.2.12}}, {DRBD}").unicast_source

    assert (source, peers) == (FIRST, (SECOND,))


def test_no_unicast_between_unlike_addresses_and_without_any() -> None:
    for text in (f"keepalived: {{vip: '2001:db8::10'}}, {DRBD}", KEEPALIVED):
        assert (keepalived(text).unicast_source, keepalived(text).unicast_peers) == (None, ())


def test_where_the_machine_does_not_count_the_first_node_is_this_one() -> None:
    found = keepalived(f"keepalived: {{vip: 192.0.2.10}}, {DRBD}", HostFacts({}, strict=False))

    assert (found.interface, found.unicast_source, found.unicast_peers) == ("eth0", FIRST, (SECOND,))


def test_below_a_root_unicast_tells_which_node_this_is() -> None:
    text = f"keepalived: {{vip: 192.0.2.10, interface: eth0, unicast_source: 192.0.2.12}}, {DRBD}"

    assert keepalived(text, HostFacts({}, strict=False)).unicast_peers == (FIRST,)


def test_unicast_tells_which_node_this_is_where_both_addresses_are_here() -> None:
    text = f"keepalived: {{vip: 192.0.2.10, interface: eth0, unicast_source: 192.0.2.12}}, {DRBD}"

    assert keepalived(text, HostFacts({"eth0": (FIRST, SECOND)}, strict=False)).unicast_peers == (FIRST,)


def test_compile_plan_of_a_loaded_file() -> None:
    text = f"resources: {{{FULL}, postgres: }}"
    loaded = parse(text, "f")
    compiled, warnings = compile_plan(loaded, HERE)

    assert compiled == parse_plan(text, "f", HERE).plan
    assert warnings == ()
    assert parse_plan(text, "f", HERE).warnings == loaded.warnings
    assert parse_plan(text, "f", HERE).text == text
