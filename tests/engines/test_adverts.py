"""The feed of adverts in a network of its own: what leaves, comes in and falls silent; an interface that goes."""

from __future__ import annotations

from tests.engines.namespace import run_apart

IN_A_NAMESPACE = """
import asyncio, socket, struct, subprocess
from ipaddress import ip_address
from escadm.agent.inputs import adverts as module
from escadm.agent.inputs.adverts import AdvertFeed
from escadm.core.specs import KeepalivedSpec

def ip(*words):
    subprocess.run(["ip", *words], check=True)

def message(router, priority, source, target, vip="10.0.0.9"):
    head, body = bytes([0x31, router, priority, 1]) + struct.pack("!H", 10), ip_address(vip).packed
    pseudo = ip_address(source).packed + ip_address(target).packed
    size = len(head) + 2 + len(body)
    pseudo += struct.pack("!HH", 112, size) if ip_address(source).version == 4 else struct.pack("!II", size, 112)
    data = pseudo + head + bytes(2) + body
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return head + struct.pack("!H", 0xFFFF ^ total) + body

def send(source, target, router=9, priority=250, vip="10.0.0.9"):
    family = socket.AF_INET if ip_address(source).version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_RAW, 112) as sock:
        scope = socket.if_nametoindex("right") if source.startswith("fe80") else 0
        sock.bind((source, 0) if family == socket.AF_INET else (source, 0, 0, scope))
        if family == socket.AF_INET:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 255)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 255)
        else:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        sock.sendto(message(router, priority, source, target, vip), (target, 0))

async def until(true):
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.005)

async def main():
    # the other end stays in this namespace: what one interface sends comes in on the other
    news = []
    feed = AdvertFeed(lambda: news.append(feed.seen))
    module.LOOK_AGAIN = 0.05
    spec = KeepalivedSpec(ip_address("10.0.0.9"), "left", "left", 9)
    feed.watch(spec)
    feed.open()
    assert feed.seen.since is None, "there is no such interface yet"
    ip("link", "add", "left", "type", "veth", "peer", "name", "right")
    for name, last in (("left", 1), ("right", 2)):
        ip("link", "set", name, "up")
        ip("addr", "add", f"10.0.{last}.1/24", "dev", name)
        ip("addr", "add", f"fe80::{last}/64", "dev", name, "nodad")
    ip("route", "add", "224.0.0.18", "dev", "right", "src", "10.0.2.1")
    await until(lambda: feed.seen.since is not None)
    before = feed.seen.since
    await asyncio.sleep(0)
    news.clear()

    send("10.0.2.1", "224.0.0.18")
    await until(lambda: news)
    assert list(map(str, news[-1].others)) == ["10.0.2.1"], news
    assert news[-1].own is None
    for _ in range(5):
        send("10.0.2.1", "224.0.0.18")
        await asyncio.sleep(0.02)
    assert len(news) == 1, "each advert is no news"
    first = news[-1].others[ip_address("10.0.2.1")]
    latest = feed.seen.others[ip_address("10.0.2.1")]
    assert (latest.since, latest.last > first.last) == (first.since, True)

    await until(lambda: len(news) == 2)  # it has fallen silent: 3.5 of its intervals of 0.1 s
    assert not any(each.goes_on(asyncio.get_running_loop().time()) for each in news[-1].others.values())

    send("10.0.2.1", "224.0.0.18")
    await until(lambda: len(news) == 3)
    send("10.0.2.1", "224.0.0.18", priority=0)
    await until(lambda: len(news) == 4)  # it says that it leaves

    ip("route", "replace", "224.0.0.18", "dev", "left", "src", "10.0.1.1")
    send("10.0.1.1", "224.0.0.18")
    await until(lambda: news[-1].own is not None)
    assert str(news[-1].own.advert.source) == "10.0.1.1"
    assert "10.0.1.1" not in map(str, news[-1].others)

    ip("route", "replace", "224.0.0.18", "dev", "right", "src", "10.0.2.1")
    send("10.0.2.1", "224.0.0.18", router=8, vip="10.0.0.8")  # nobody's business
    send("fe80::2", "ff02::12", vip="fd00::9")
    await until(lambda: ip_address("fe80::2") in feed.seen.others)
    assert feed.seen.others[ip_address("10.0.2.1")].advert.router == 9
    send("10.0.2.1", "224.0.0.18", router=8)  # with our address it is
    await until(lambda: feed.seen.others[ip_address("10.0.2.1")].advert.router == 8)

    for number in range(40):  # a table that nobody can fill
        ip("addr", "add", f"10.0.2.{number + 10}/24", "dev", "right")
        send(f"10.0.2.{number + 10}", "224.0.0.18")
    await until(lambda: ip_address("10.0.2.49") in feed.seen.others)
    assert len(feed.seen.others) <= module.MOST_SOURCES

    ip("link", "del", "left")
    await until(lambda: feed.seen.since is None)
    feed.close()
    assert feed.seen.others == {}

asyncio.run(main())
"""


def test_adverts_in_a_network_of_its_own() -> None:
    run_apart(IN_A_NAMESPACE)
