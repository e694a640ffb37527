from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from ipaddress import ip_address
from typing import Any, get_args

import pytest

from escadm.core import change
from escadm.core.change import Change, ChangeClass, classify
from escadm.core.plan import Plan, Unit
from escadm.core.probes import Check, Http, Tcp
from escadm.core.specs import DrbdSpec, FilesystemSpec, KeepalivedSpec, Kind, ProcessSpec, Secret, Spec, SystemdSpec

LOCAL, PAIRED, RESTART = ChangeClass.LOCAL, ChangeClass.PAIRED, ChangeClass.RESTART

HERE, THERE, ELSEWHERE = (ip_address(f"172.16.{number}.0") for number in (0, 1, 7))
VRRP = KeepalivedSpec(
    ip_address("172.16.2.0"), "eth0", "eth0", 51, unicast_source=HERE, unicast_peers=(THERE,), gateway=(ELSEWHERE,)
)
DRBD = DrbdSpec((HERE, THERE), "/dev/vdb", "/dev/drbd1", 7789)
MONA = Unit(
    "mona",
    Kind.PROCESS,
    needs=("filesystem",),
    spec=ProcessSpec(("mona", "--port", "1"), environment=(("TOKEN", "hunter2"), ("COLOUR", "blue"))),
)
FILESYSTEM = Unit("filesystem", Kind.FILESYSTEM, ("drbd:master",), FilesystemSpec("/db", "/dev/drbd1"))
UNITS = {
    "drbd": Unit("drbd", Kind.DRBD, spec=DRBD),
    "keepalived": Unit("keepalived", Kind.KEEPALIVED, spec=VRRP),
    "keepalived:master": Unit("keepalived:master", Kind.CONDITION, ("keepalived",)),
    "drbd:master": Unit("drbd:master", Kind.PROMOTION, ("drbd", "keepalived:master")),
    "filesystem": FILESYSTEM,
    "mona": MONA,
    "portal": Unit("portal", Kind.UNIT, ("mona",), SystemdSpec("portal.service")),
}
PLAN = Plan(UNITS, VRRP, DRBD)


def with_vrrp(**fields: object) -> Plan:
    spec = replace(VRRP, **fields)  # type: ignore[arg-type]
    return Plan({**UNITS, "keepalived": replace(UNITS["keepalived"], spec=spec)}, spec, DRBD)


def with_drbd(**fields: object) -> Plan:
    spec = replace(DRBD, **fields)  # type: ignore[arg-type]
    return Plan({**UNITS, "drbd": replace(UNITS["drbd"], spec=spec)}, VRRP, spec)


def with_unit(name: str, **fields: object) -> Plan:
    return Plan({**UNITS, name: replace(UNITS[name], **fields)}, VRRP, DRBD)  # type: ignore[arg-type]


def with_mona(**fields: object) -> Plan:
    assert isinstance(MONA.spec, ProcessSpec)
    return with_unit("mona", spec=replace(MONA.spec, **fields))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("spec", "classes", "others"),
    [
        (KeepalivedSpec, change.KEEPALIVED, {"unicast_source", "unicast_peers", "peer_paths"}),
        (DrbdSpec, change.DRBD, {"nodes", "shared_secret", "major"}),
        (Unit, change.UNIT, {"name", "spec", "mentioned"}),
    ],
)
def test_every_field_has_its_class(spec: type[Any], classes: dict[str, object], others: set[str]) -> None:
    assert {each.name for each in fields(spec)} == classes.keys() | others


def test_the_same_plan_changes_nothing() -> None:
    assert classify(PLAN, PLAN) == ()
    assert classify(PLAN, Plan(dict(reversed(UNITS.items())), VRRP, DRBD)) == ()


@pytest.mark.parametrize(
    ("new", "change"),
    [
        (with_vrrp(virtual_router_id=7), Change("keepalived.virtual_router_id", "51", "7", PAIRED)),
        (with_vrrp(vip=ELSEWHERE), Change("keepalived.vip", "172.16.2.0", "172.16.7.0", PAIRED)),
        (with_vrrp(vip_prefix=16), Change("keepalived.vip_prefix", "none", "16", PAIRED)),
        (with_vrrp(advert_interval=0.2), Change("keepalived.advert_interval", "1", "0.2", PAIRED)),
        (with_vrrp(priority=200), Change("keepalived.priority", "250", "200", LOCAL)),
        (with_vrrp(gateway=()), Change("keepalived.gateway", "172.16.7.0", "none", LOCAL)),
        (with_vrrp(interface="eth1"), Change("keepalived.interface", "eth0", "eth1", RESTART)),
        (with_vrrp(vip_interface="eth1"), Change("keepalived.vip_interface", "eth0", "eth1", RESTART)),
        (with_vrrp(unicast_source=ELSEWHERE), Change("keepalived.unicast_source", "172.16.0.0", "172.16.7.0", PAIRED)),
        (
            with_vrrp(unicast_peers=(THERE, ELSEWHERE)),
            Change("keepalived.unicast_peers", "172.16.1.0", "172.16.1.0, 172.16.7.0", PAIRED),
        ),
        (with_drbd(port=7790), Change("drbd.port", "7789", "7790", PAIRED)),
        (with_drbd(device="/dev/drbd2"), Change("drbd.device", "/dev/drbd1", "/dev/drbd2", PAIRED)),
        (with_drbd(disk="/dev/vdc"), Change("drbd.disk", "/dev/vdb", "/dev/vdc", RESTART)),
        (
            with_drbd(nodes=(HERE, ELSEWHERE)),
            Change("drbd.nodes", "172.16.0.0, 172.16.1.0", "172.16.0.0, 172.16.7.0", PAIRED),
        ),
        (
            with_drbd(net_options=(("ping-int", "1"), ("max-buffers", "8000"))),
            Change("drbd.net_options", "none", "ping-int 1, max-buffers 8000", PAIRED),
        ),
        (
            with_drbd(disk_options=(("resync-rate", "1M"),)),
            Change("drbd.disk_options", "none", "resync-rate 1M", LOCAL),
        ),
        (with_mona(argv=("mona", "a b")), Change("mona: command", "mona --port 1", "mona 'a b'", LOCAL)),
        (with_mona(user="esc"), Change("mona: user", "none", "esc", LOCAL)),
        (with_mona(stop_signal="SIGINT"), Change("mona: stop_signal", "SIGTERM", "SIGINT", LOCAL)),
        (with_unit("mona", needs=()), Change("mona: depend_on", "filesystem", "none", LOCAL)),
        (with_unit("mona", startup=False), Change("mona: startup", "yes", "no", LOCAL)),
        (with_unit("mona", run_forever=True), Change("mona: run_forever", "no", "yes", LOCAL)),
        (with_unit("mona", group="esc_service"), Change("mona: group", "none", "esc_service", LOCAL)),
        (with_unit("mona", stop_timeout=5.0), Change("mona: stop_timeout", "30", "5", LOCAL)),
        (
            with_unit("mona", ready=Tcp(80)),
            Change("mona: ready", "alive seconds 0.1", "tcp port 80 host 127.0.0.1 timeout 2", LOCAL),
        ),
        (
            with_unit("mona", check=Check(Http("http://[::1]/"), 5.0)),
            Change("mona: check", "none", "check probe http url http://[::1]/ timeout 2 interval 5 failures 3", LOCAL),
        ),
        (
            with_unit("portal", spec=SystemdSpec("p.service")),
            Change("portal: unit", "portal.service", "p.service", LOCAL),
        ),
        (
            with_unit("filesystem", spec=FilesystemSpec("/db", "/dev/vdc")),
            Change("filesystem: device", "/dev/drbd1", "/dev/vdc", RESTART),
        ),
    ],
    ids=lambda value: value.what if isinstance(value, Change) else "",
)
def test_one_change(new: Plan, change: Change) -> None:
    assert classify(PLAN, new) == (change,)
    assert classify(new, PLAN) == (replace(change, old=change.new, new=change.old),)


@pytest.mark.parametrize(
    "same",
    [
        with_drbd(nodes=(THERE, HERE)),
        with_unit("mona", mentioned=True),
        with_unit("portal", spec=SystemdSpec("portal.service", implied=True)),
    ],
)
def test_what_is_no_change(same: Plan) -> None:
    assert classify(PLAN, same) == ()


def test_from_unicast_to_multicast_is_a_matter_of_both_and_then_nobody_asks_for_the_source() -> None:
    multicast = with_vrrp(unicast_peers=())
    assert classify(PLAN, multicast)[0] == Change("keepalived: adverts", "unicast", "multicast", PAIRED)
    other = with_vrrp(unicast_peers=(), unicast_source=ELSEWHERE)
    assert {change.kind for change in classify(multicast, other)} == {LOCAL}


def test_from_standalone_to_a_pair_is_one_change_per_engine() -> None:
    alone = Plan(
        {
            "filesystem": replace(FILESYSTEM, needs=()),
            "mona": MONA,
            "portal": UNITS["portal"],
        }
    )
    pair = Plan({name: unit for name, unit in UNITS.items() if name not in ("drbd", "keepalived")}, VRRP, DRBD)
    assert classify(alone, pair) == (
        Change("keepalived", "standalone", "a pair with the VIP 172.16.2.0", RESTART),
        Change("drbd", "no replication", "replication between 172.16.0.0 and 172.16.1.0", RESTART),
    )
    assert [change.kind for change in classify(pair, alone)] == [RESTART, RESTART]


def test_services_that_come_and_go() -> None:
    without = Plan({name: unit for name, unit in UNITS.items() if name != "mona"}, VRRP, DRBD)
    assert classify(PLAN, without) == (Change("mona", "process", "absent", LOCAL),)
    assert classify(without, PLAN) == (Change("mona", "absent", "process", LOCAL),)


def test_another_type_is_one_change() -> None:
    new = with_unit("mona", kind=Kind.UNIT, spec=SystemdSpec("mona.service"))
    assert classify(PLAN, new) == (Change("mona: type", "process", "unit", LOCAL),)


@pytest.mark.parametrize(
    "make",
    [
        lambda secret: with_drbd(shared_secret=Secret(secret)),
        lambda secret: with_drbd(net_options=(("shared-secret", secret),)),
        lambda secret: with_mona(environment=(("TOKEN", secret), ("COLOUR", "blue"))),
        lambda secret: with_mona(argv=("mona", Secret(secret))),
    ],
)
def test_a_changed_secret_is_a_change_and_stays_one(make: Callable[[str], Plan]) -> None:
    old, new = make("hunter2"), make("correct horse")
    changes = classify(old, new)
    assert len(changes) == 1
    assert "hunter2" not in repr(changes)
    assert "correct" not in repr(changes)


def test_of_an_environment_the_names_are_told() -> None:
    new = with_mona(environment=(("COLOUR", "green"), ("SIZE", "1")))
    assert classify(PLAN, new) == (
        Change("mona: environment", "COLOUR=***, no SIZE, TOKEN=***", "COLOUR=***, SIZE=***, no TOKEN", LOCAL),
    )


def test_every_spec_has_its_class() -> None:
    engines = {KeepalivedSpec, DrbdSpec}  # told field by field, each with a class of its own
    assert set(change.SPECS) == set(get_args(Spec)) - engines
