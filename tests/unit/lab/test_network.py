from ipaddress import ip_address, ip_network

import pytest

from escadm.errors import Failed
from escadm.lab.network import SEED_NODES, SEED_VIP, free_hosts, is_host, make_network


def test_the_seeds_addresses_are_ordinary_hosts_of_one_network() -> None:
    network = make_network()
    assert network.prefix == 11
    assert network.client == ip_address("172.16.3.1")
    for address in (*SEED_NODES, SEED_VIP, network.client):
        assert is_host(address, ip_network("172.0.0.0/11"))


@pytest.mark.parametrize(
    ("first", "second", "vip", "prefix"),
    [
        ("10.1.2.3", "10.1.2.4", "10.1.2.10", 24),
        ("10.1.2.3", "10.1.3.4", "10.1.2.10", 23),
        ("192.168.1.0", "192.168.1.1", "192.168.1.2", 23),
        ("192.168.1.255", "192.168.1.1", "192.168.1.2", 22),
        ("2001:db8::11", "2001:db8::12", "2001:db8::10", 64),
    ],
)
def test_the_prefix_makes_all_addresses_hosts(first: str, second: str, vip: str, prefix: int) -> None:
    network = make_network((ip_address(first), ip_address(second)), ip_address(vip))
    assert network.prefix == prefix
    whole = ip_network(f"{vip}/{prefix}", strict=False)
    assert all(is_host(ip_address(each), whole) for each in (first, second, vip, str(network.client)))
    assert network.client not in {ip_address(first), ip_address(second), ip_address(vip)}


def test_the_client_takes_no_address_that_somebody_has() -> None:
    taken = [ip_address(f"10.1.2.{last}") for last in (10, 11, 12)]
    assert make_network((taken[1], taken[2]), taken[0]).client == ip_address("10.1.2.9")


def test_a_gateway_belongs_to_the_network() -> None:
    nodes = (ip_address("10.1.2.3"), ip_address("10.1.2.4"))
    network = make_network(nodes, ip_address("10.1.2.10"), gateways=(ip_address("10.1.4.1"),))
    assert network.prefix == 21


def test_kinds_of_addresses_are_not_mixed() -> None:
    with pytest.raises(Failed, match="IPv4 and IPv6"):
        make_network(vip=ip_address("2001:db8::10"))


def test_addresses_that_share_nothing_are_refused() -> None:
    with pytest.raises(Failed, match="one network"):
        make_network(vip=ip_address("1.2.3.4"))


def test_free_hosts_are_nobodys() -> None:
    vip = ip_address("10.1.2.254")
    found = free_hosts(vip, {vip, ip_address("10.1.2.253")}, 2)
    assert found == (ip_address("10.1.2.252"), ip_address("10.1.2.251"))
