"""What a node can see weighs more than what it is told: its addresses, the adverts on the wire, where the VIP is."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from escadm.core.claims import LASTS
from escadm.lab import Lab
from escadm.lab.node import Node
from tests.lab.conftest import NewLab
from tests.lab.pair import PATIENCE, events, has_vip, resource, state_of, wait_healthy, wait_text


def readdress(lab: Lab, node: Node, word: str) -> None:
    """Take the node's own address off its interface ("delete"), or put it back ("add")."""
    own = f"{node.address}/{lab.network.prefix}"
    node.exec(["ip", "address", word, own, "dev", lab.network.interface])


def rename(node: Node, old: str, new: str) -> None:
    """What a script sees of an interface that is gone, and that comes back."""
    node.exec(["sh", "-ec", f"ip link set {old} down; ip link set {old} name {new}; ip link set {new} up"])


def is_alone(lab: Lab, node: Node, other: Node) -> bool:
    """Whether ``node`` has the role and the VIP, and ``other`` neither."""
    return (node.role, other.role) == ("MASTER", "FAULT") and lab.holders() == [node]


def test_a_primary_without_its_own_address_is_in_fault_at_once(new_lab: NewLab) -> None:
    lab = new_lab()
    primary, standby = wait_healthy(lab)
    readdress(lab, primary, "delete")
    lab.wait_for(lambda: is_alone(lab, standby, primary), PATIENCE, "the standby takes over")
    told = f"{primary.address}, the address of this node, is not on {lab.network.interface}"
    assert state_of(primary) == f"ESC Fault Failed: {told}"
    assert not any("DEFECT" in line or "defect" in line for line in events(primary, "ERROR"))
    readdress(lab, primary, "add")
    assert wait_healthy(lab) == (standby, primary)


def test_a_standby_without_its_own_address_leaves_the_primary_alone(new_lab: NewLab) -> None:
    lab = new_lab()
    primary, standby = wait_healthy(lab)
    if standby.address.packed < primary.address.packed:  # the higher address is the one that wins an election
        primary.escadm("switchover")
        primary, standby = wait_healthy(lab)
    words = "role:", "keepalived says MASTER"
    before = len(events(primary, *words)), len(events(standby, *words[1:]))
    readdress(lab, standby, "delete")
    wait_text(lab, standby, lambda text: text.startswith("ESC Fault Failed: "), "in fault")
    wait_text(lab, primary, lambda text: "is not connected" in text, "misses its peer")
    readdress(lab, standby, "add")
    assert wait_healthy(lab) == (primary, standby)
    assert (len(events(primary, *words)), len(events(standby, *words[1:]))) == before


def test_an_interface_that_is_gone(new_lab: NewLab) -> None:
    lab = new_lab()
    primary, standby = wait_healthy(lab)
    interface = lab.network.interface
    rename(primary, interface, "gone0")
    lab.wait_for(lambda: (standby.role, primary.role) == ("MASTER", "FAULT"), PATIENCE, "the standby takes over")
    assert state_of(primary) == f"ESC Fault Failed: there is no interface {interface}"
    rename(primary, "gone0", interface)
    assert wait_healthy(lab) == (standby, primary)


def test_an_address_that_comes_late(new_lab: NewLab) -> None:
    lab = new_lab(agent=False)
    _, late = lab.nodes
    readdress(lab, late, "delete")
    lab.fault("agent-start")
    text = wait_text(lab, late, lambda text: text.startswith("ESC Fault Failed: "), "says what is missing")
    assert str(late.address) in text
    assert late.role == "FAULT"
    assert late.keepalived() is None
    readdress(lab, late, "add")
    wait_healthy(lab)


def test_an_agent_that_is_killed_while_its_address_is_gone(new_lab: NewLab) -> None:
    lab = new_lab()
    primary, standby = wait_healthy(lab)
    readdress(lab, primary, "delete")
    lab.fault("agent-kill", primary.name)
    lab.wait_for(lambda: is_alone(lab, standby, primary), PATIENCE, "the standby takes over")
    wait_text(lab, primary, lambda text: text.startswith("ESC Fault Failed: "), "says what is missing")
    assert not has_vip(lab, primary)
    readdress(lab, primary, "add")
    assert wait_healthy(lab) == (standby, primary)


ADVERT = """
import socket, struct, sys, time
source, target, router, priority, vip = sys.argv[1:]
def summed(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return 0xFFFF ^ total
sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, 112)
sock.bind((source, 0))
for option in (socket.IP_MULTICAST_TTL, socket.IP_TTL):
    sock.setsockopt(socket.IPPROTO_IP, option, 255)
head, body = bytes([0x31, int(router), int(priority), 1]) + struct.pack("!H", 20), socket.inet_aton(vip)
pseudo = socket.inet_aton(source) + socket.inet_aton(target) + struct.pack("!HH", 112, 12)
message = head + struct.pack("!H", summed(pseudo + head + bytes(2) + body)) + body
while True:
    sock.sendto(message, (target, 0))
    time.sleep(0.2)
"""


@contextmanager
def stranger(lab: Lab, target: str, router: int) -> Iterator[str]:
    """The client speaks as a VRRP router of the highest priority; its address."""
    client = lab.node("client")
    words = [str(client.address), target, str(router), "254", "192.0.2.77"]
    argv = client.up.enter([sys.executable, "-c", ADVERT, *words], network_only=True)
    with subprocess.Popen(argv) as sender:
        try:
            yield str(client.address)
        finally:
            sender.kill()


@pytest.mark.parametrize("how", ["multicast", "unicast"])
def test_a_stranger_with_our_virtual_router_id_is_named(lab: Lab, how: str) -> None:
    primary, standby = wait_healthy(lab)
    target = "224.0.0.18" if how == "multicast" else str(standby.address)
    said = len(events(standby, "keepalived says"))
    with stranger(lab, target, 51) as address:
        told = f"ESC Backup Degraded: another VRRP router, {address}, uses virtual_router_id 51 on eth0"
        wait_text(lab, standby, lambda text: text == told, "names the stranger")
        if how == "multicast":
            wait_text(lab, primary, lambda text: address in text, "names the stranger")
    assert wait_healthy(lab) == (primary, standby)
    assert len(events(standby, "keepalived says")) == said


def test_other_virtual_routers_are_their_own_business(lab: Lab) -> None:
    _, standby = wait_healthy(lab)
    with stranger(lab, "224.0.0.18", 52), stranger(lab, "224.0.0.18", 51):
        text = wait_text(lab, standby, lambda text: "another VRRP router" in text, "names the stranger")
    assert text.endswith("uses virtual_router_id 51 on eth0")
    wait_healthy(lab)


@contextmanager
def with_the_vip(lab: Lab) -> Iterator[str]:
    """The client has the virtual address as well, by hand; its hardware address."""
    client, words = lab.node("client"), [f"{lab.network.vip}/32", "dev", lab.network.interface]
    client.exec(["ip", "address", "add", *words])
    try:
        yield client.mac
    finally:
        client.exec(["ip", "address", "delete", *words])


def test_another_machine_that_has_the_vip_is_named(lab: Lab) -> None:
    primary, standby = wait_healthy(lab)
    said = len(events(primary, "keepalived says")), len(events(standby, "keepalived says"))
    with with_the_vip(lab) as hardware:
        told = f"another machine, {hardware}, has the virtual address {lab.network.vip}"
        wait_text(lab, primary, lambda text: text == f"ESC Master Degraded: {told}", "names the other machine")
        (found,) = primary.status()["findings"]
        assert (found["code"], found["subject"]) == ("foreign-vip", hardware)
        assert told in primary.escadm("health", check=False).stdout
        assert state_of(standby) == "ESC Backup Healthy"
    lab.wait_for(lambda: is_whole(lab), LASTS + PATIENCE, "a whole pair again")
    assert wait_healthy(lab) == (primary, standby)
    assert (len(events(primary, "keepalived says")), len(events(standby, "keepalived says"))) == said


def test_a_planned_move_makes_no_strangers(lab: Lab) -> None:
    """Each node has had the address just before the other one has it."""
    for _ in range(3):
        primary, standby = wait_healthy(lab)
        primary.escadm("switchover")
        end = time.monotonic() + 3.0
        while time.monotonic() < end:
            told = [found["code"] for node in lab.nodes for found in node.status()["findings"]]
            assert "foreign-vip" not in told
            time.sleep(0.1)
        assert wait_healthy(lab) == (standby, primary)


def is_whole(lab: Lab) -> bool:
    """Whether the pair is healthy, with the VIP where the primary is and nowhere else."""
    texts = {state_of(node): node for node in lab.nodes}
    return set(texts) == {"ESC Backup Healthy", "ESC Master Healthy"} and lab.holders() == [texts["ESC Master Healthy"]]


def test_an_emptied_keepalived_conf_and_a_sighup(new_lab: NewLab) -> None:
    lab = new_lab()
    primary, _ = wait_healthy(lab)
    lab.wait_for(lambda: is_whole(lab), PATIENCE, "a whole pair")
    primary.write("/etc/keepalived/keepalived.conf", "")
    keepalived = primary.keepalived()
    assert keepalived is not None
    keepalived.send_signal(signal.SIGHUP)
    lab.wait_for(lambda: not has_vip(lab, primary), PATIENCE, "the VIP goes")
    lab.wait_for(lambda: is_whole(lab), PATIENCE, "a whole pair again")
    assert "virtual_router_id" in (primary.read("/etc/keepalived/keepalived.conf") or "")
    assert events(primary, "was not as escadm had written it")


@pytest.mark.parametrize("where", ["primary", "standby"])
def test_a_frozen_keepalived(new_lab: NewLab, where: str) -> None:
    lab = new_lab()
    primary, standby = wait_healthy(lab)
    keepalived = (primary if where == "primary" else standby).keepalived()
    assert keepalived is not None
    child = keepalived.children()[0]
    child.suspend()
    if where == "standby":  # it is of no matter until the primary is gone
        lab.fault("power-cut", primary.name)
        lab.wait_for(lambda: lab.holders() == [standby], PATIENCE, "the standby takes over")
        lab.fault("power-on", primary.name)
    else:
        lab.wait_for(lambda: lab.holders() == [standby], PATIENCE, "the VIP on the standby alone")
        lab.wait_for(lambda: primary.role != "MASTER", PATIENCE, "the old primary is out of the role")
    lab.wait_for(lambda: is_whole(lab), PATIENCE, "a whole pair again")
    assert wait_healthy(lab) == (standby, primary)


def test_a_word_that_keepalived_never_said(new_lab: NewLab) -> None:
    """As a second keepalived leaves it in the FIFO, that somebody has started by hand."""
    lab = new_lab()
    pair = wait_healthy(lab)
    primary, _ = pair
    primary.exec(["sh", "-c", "printf 'INSTANCE \"ESC\" STOP 250\\n' > /run/escadm/vrrp.fifo"])
    lab.wait_for(lambda: events(primary, "this node is taken for MASTER"), PATIENCE, "doubts it")
    assert wait_healthy(lab) == pair
    assert has_vip(lab, primary)


def test_a_primary_whose_peer_is_dead_keeps_its_keepalived(new_lab: NewLab) -> None:
    """Once the neighbour's entry has expired, no unicast advert leaves; that is no fault of keepalived's."""
    lab = new_lab()
    primary, standby = wait_healthy(lab)
    before = resource(primary, "keepalived")["pgid"]
    lab.fault("power-cut", standby.name)
    wait_text(lab, primary, lambda text: "is not connected" in text, "misses its peer")
    primary.exec(["ip", "neigh", "flush", "all"])

    def is_unresolved() -> bool:
        entry = primary.exec(["ip", "neigh", "show", str(standby.address)]).stdout
        return "FAILED" in entry or "INCOMPLETE" in entry

    lab.wait_for(is_unresolved, PATIENCE, "an entry that cannot be resolved")
    end = time.monotonic() + 5.0
    while time.monotonic() < end:
        assert not events(primary, "it is asked again", "it is restarted")
        assert primary.role == "MASTER"
        time.sleep(0.2)
    assert resource(primary, "keepalived")["pgid"] == before
    lab.fault("power-on", standby.name)
    assert wait_healthy(lab) == (primary, standby)
    assert resource(primary, "keepalived")["pgid"] == before
