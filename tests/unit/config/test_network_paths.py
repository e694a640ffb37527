"""Replication over a cable of its own: VRRP says from where and to whom, and the agents talk on both paths."""

from ipaddress import ip_address

from escadm.config.read import parse_plan
from escadm.core.problem import HostFacts

TEXT = """\
resources:
  keepalived: {vip: 192.0.2.10, interface: eth0, unicast_source: 192.0.2.11, unicast_peers: [192.0.2.12]}
  drbd: {nodes: [10.99.0.1, 10.99.0.2], disk: /dev/vdb}
"""
FACTS = HostFacts({"eth0": (ip_address("192.0.2.11"),), "eth1": (ip_address("10.99.0.1"),)})


def test_vrrp_and_replication_on_networks_of_their_own() -> None:
    plan = parse_plan(TEXT, "esc-config.yaml", FACTS).plan
    assert plan.keepalived is not None
    assert plan.keepalived.interface == "eth0"
    assert [tuple(map(str, path)) for path in plan.keepalived.peer_paths] == [
        ("192.0.2.11", "192.0.2.12"),
        ("10.99.0.1", "10.99.0.2"),
    ]


def test_one_network_is_one_path() -> None:
    text = TEXT.replace("10.99.0.1, 10.99.0.2", "192.0.2.11, 192.0.2.12")
    plan = parse_plan(text, "esc-config.yaml", FACTS).plan
    assert plan.keepalived is not None
    assert [tuple(map(str, path)) for path in plan.keepalived.peer_paths] == [("192.0.2.11", "192.0.2.12")]
