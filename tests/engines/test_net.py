from __future__ import annotations

import select
import socket
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest

from escadm.paths import Paths
from escadm.system import net
from tests.engines.namespace import run_apart

IN_A_NAMESPACE = """
import select
import subprocess
from ipaddress import ip_address
from escadm.paths import Paths
from escadm.system import net

def ip(*words):
    subprocess.run(["ip", *words], check=True)

def until(true, what):
    while not true():  # more than one event may come until it is so
        assert select.select([events], [], [], 20)[0], f"no event for {what}"
        net.drain(events)

ip("link", "add", "left", "address", "52:54:00:00:00:01", "type", "veth", "peer", "name", "right")
events = net.open_address_events()
ip("addr", "add", "172.16.0.1/16", "dev", "left")
ip("addr", "add", "172.16.2.0/16", "dev", "left")
ip("addr", "add", "172.16.9.9/32", "peer", "172.16.9.1", "dev", "right")
ip("addr", "add", "fd00::5/64", "dev", "left", "nodad")
assert select.select([events], [], [], 5)[0], "no event"
net.drain(events)
assert not select.select([events], [], [], 0)[0], "not drained"
facts = net.host_facts(Paths())
assert facts.interfaces["left"] == tuple(map(ip_address, ("172.16.0.1", "172.16.2.0", "fd00::5"))), facts
assert facts.interfaces["right"] == (ip_address("172.16.9.9"),), facts
assert net.has_address("left", ip_address("172.16.2.0"))
assert not net.has_address("right", ip_address("172.16.2.0"))
ip("addr", "del", "172.16.2.0/16", "dev", "left")
assert not net.has_address("left", ip_address("172.16.2.0"))
assert select.select([events], [], [], 5)[0], "no event for the loss"
net.drain(events)
look = net.interfaces()
assert set(look) == {"lo", "left", "right"}
assert (look["left"].hardware, look["lo"].hardware) == ("52:54:00:00:00:01", "00:00:00:00:00:00")
assert not look["left"].up
assert not look["lo"].up
ip("link", "set", "left", "up")
until(lambda: net.interfaces()["left"].up, "the link")
assert not net.interfaces()["left"].carrier
ip("link", "set", "right", "up")
until(lambda: net.interfaces()["left"].carrier, "the carrier")
assert net.interfaces()["left"].addresses[0] == ip_address("172.16.0.1")
events.setsockopt(1, 8, 1)  # SO_RCVBUF as small as it gets: an overrun must not raise
lines = [f"addr add 10.1.{number // 250}.{number % 250 + 1}/32 dev left" for number in range(400)]
subprocess.run(["ip", "-batch", "-"], check=True, input=chr(10).join(lines).encode())
net.drain(events)
left = [each for each in net.host_facts(Paths()).interfaces["left"] if not each.is_link_local]
assert len(left) == 402
ip("link", "del", "left")
assert set(net.interfaces()) == {"lo"}
"""


def test_addresses_and_events_in_a_network_of_its_own() -> None:
    run_apart(IN_A_NAMESPACE)


def test_only_the_machine_itself_is_strict(tmp_path: Path) -> None:
    facts = net.host_facts(Paths())
    assert facts.strict
    assert ip_address("127.0.0.1") in facts.interfaces["lo"]
    assert ip_address("127.0.0.1") in facts.addresses
    assert not net.host_facts(Paths(tmp_path)).strict


def test_an_interface_that_is_not_there_has_no_address() -> None:
    assert not net.has_address("nosuch0", ip_address("127.0.0.1"))
    assert net.has_address("lo", ip_address("127.0.0.1"))


def test_a_quiet_socket_drains_at_once() -> None:
    with net.open_address_events() as events:
        net.drain(events)
        assert not select.select([events], [], [], 0)[0]


def test_a_list_that_changed_while_it_was_read_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    real = net._dump

    def interrupted(sock: socket.socket) -> Iterator[tuple[int, int, bytes]]:
        """The first two lists lack everything, and say that they are not to be trusted."""
        asked.append(sock)
        for kind, flags, body in real(sock):
            if len(asked) > 2 or kind == net.NLMSG_DONE:
                yield kind, flags | (net.NLM_F_DUMP_INTR if len(asked) < 3 else 0), body

    monkeypatch.setattr(net, "_dump", interrupted)
    assert net.has_address("lo", ip_address("127.0.0.1"))
    assert len(asked) == 3
