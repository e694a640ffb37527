"""The socket of a path: where it is bound, and what it knows of a datagram."""

import select
import socket
from ipaddress import ip_address

import pytest

from escadm.system import datagram
from escadm.system.datagram import LONGEST, Datagram, Path, open_path

HERE, THERE = ip_address("127.0.0.22"), ip_address("127.0.0.23")
PORT = 5133


def waits(path: Path) -> Datagram:
    assert select.select([path.sock], [], [], 20)[0]
    found = path.receive()
    assert found is not None
    return found


def test_a_datagram_of_a_neighbour() -> None:
    one, two = open_path(HERE, PORT), open_path(THERE, PORT)
    one.send(b"hello", THERE, PORT)
    assert waits(two) == Datagram(b"hello", (str(HERE), PORT), True)
    assert two.receive() is None
    one.close()
    two.close()


@pytest.mark.parametrize("ttl", [1, 64, 254])
def test_a_datagram_that_has_come_from_further_away(ttl: int) -> None:
    path = open_path(THERE, PORT)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
        other.bind((str(HERE), PORT))
        other.sendto(b"hello", (str(THERE), PORT))
    assert waits(path) == Datagram(b"hello", (str(HERE), PORT), False)
    path.close()


def test_ipv6() -> None:
    path = open_path(ip_address("::1"), PORT)
    path.send(b"hello", ip_address("::1"), PORT)
    assert waits(path) == Datagram(b"hello", ("::1", PORT), True)
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as other:
        other.sendto(b"far", ("::1", PORT))
    assert not waits(path).is_near
    path.close()


def test_a_long_one_is_cut_and_the_next_one_is_whole() -> None:
    path = open_path(THERE, PORT)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.sendto(b"x" * (LONGEST + 1), (str(THERE), PORT))
        other.sendto(b"next", (str(THERE), PORT))
    assert len(waits(path).data) == LONGEST
    assert waits(path).data == b"next"
    path.close()


def test_an_address_that_is_not_here() -> None:
    with pytest.raises(OSError, match="Cannot assign requested address"):
        open_path(ip_address("192.0.2.99"), PORT)


def test_an_address_that_has_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    path = open_path(HERE, PORT)
    assert not path.is_stale()
    monkeypatch.setattr(datagram, "_place", lambda _: ("lo", path.index + 1))
    assert path.is_stale(), "another interface of the same name"
    path.close()
