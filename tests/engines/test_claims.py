"""The feed of claims in networks of its own: a real kernel that has the address is asked, and what else is on the wire
wakes nobody."""

from __future__ import annotations

from tests.engines.namespace import run_apart

IN_A_NAMESPACE = """
import asyncio, os, select, subprocess, sys, time
from ipaddress import ip_address
from escadm.agent.inputs import claims as module
from escadm.agent.inputs.claims import ClaimFeed
from escadm.core.specs import KeepalivedSpec
from escadm.errors import Failed
from escadm.system import net
from escadm.system.arp import ask, claims, open_claims

VIP = ip_address("10.0.0.9")
OTHER, ANOTHER, THIRD = (f"52:54:00:aa:bb:0{number}" for number in (1, 2, 3))

def ip(*words):
    subprocess.run(["ip", *words], check=True)

def waits(sock):
    return bool(select.select([sock], [], [], 0.3)[0])

async def until(true):
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0.005)

# The other machine, a namespace of its own.
there = subprocess.Popen(["unshare", "--net", "sleep", "600"])
while os.readlink(f"/proc/{there.pid}/ns/net") == os.readlink("/proc/self/ns/net"):
    time.sleep(0.005)

def other(*argv):
    argv = ["nsenter", "--target", str(there.pid), "--net", *argv]
    return subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True).stdout

def wire():
    ip("link", "add", "left", "address", "52:54:00:00:00:01", "type", "veth", "peer", "name", "far", "address", OTHER)
    ip("link", "set", "far", "netns", str(there.pid))
    ip("link", "set", "left", "up")
    other("ip", "link", "set", "far", "up")
    ip("address", "add", "10.0.0.1/24", "dev", "left")

def heard(sock):
    return list(claims(sock)) if waits(sock) else []

def test_sockets():
    with open_claims("left", VIP) as sock:
        assert net.interfaces()["left"].hardware == "52:54:00:00:00:01"
        ask(sock, "left", VIP)
        assert heard(sock) == [], "nobody has it, and the question is not seen by who asks"
        other("ip", "address", "add", "10.0.0.9/24", "dev", "far")
        ask(sock, "left", VIP)
        assert heard(sock) == [OTHER], "a kernel that has it says so"
        assert other("ip", "neigh") == "", "nobody learns anything from the question"
        ask(sock, "left", ip_address("10.0.0.8"))
        assert heard(sock) == [], "another address is another matter"
        other("ip", "address", "del", "10.0.0.9/24", "dev", "far")
        ask(sock, "left", VIP)
        assert heard(sock) == []

def say_from_far(*words):
    code = "import socket, struct\\nfrom ipaddress import ip_address\\n" + SAY + f"\\nsay(*{words!r})"
    other(sys.executable, "-c", code)

SAY = '''
def say(hardware, address, ptype=0x0800, kind=2, count=1):
    mac = bytes.fromhex(hardware.replace(":", ""))
    body = struct.pack("!HHBBH", 1, ptype, 6, 4, kind) + mac + ip_address(address).packed + bytes(10)
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0) as sock:
        for _ in range(count):
            sock.sendto(body, ("far", 0x0806, 0, 0, bytes([255]) * 6))
'''

def test_filter():
    with open_claims("left", VIP) as sock:
        say_from_far(ANOTHER, "10.0.0.8")
        say_from_far(ANOTHER, "0.0.0.0", 0x0800, 1)
        other("ip", "address", "add", "10.0.0.5/24", "dev", "far")
        other("ping", "-c1", "-W1", "10.0.0.1")
        assert not waits(sock), "what does not come from the address wakes nobody"
        say_from_far(ANOTHER, "10.0.0.9", 0x86DD)
        assert heard(sock) == [], "nonsense"
        say_from_far(ANOTHER, "10.0.0.9", 0x0800, 1)
        assert heard(sock) == [ANOTHER], "gratuitous ARP is a claim as well"
        say_from_far(THIRD, "10.0.0.9", 0x0800, 2, 100)
        assert heard(sock) == [THIRD] * 64, "no more than that in one go"
        assert heard(sock) == [THIRD] * 36

async def test_feed():
    news = []
    feed = ClaimFeed(lambda: news.append(sorted(feed.seen)))
    module.LOOK_AGAIN = 0.05
    feed.watch(KeepalivedSpec(VIP, "left", "left", 9))
    feed.guard(True)
    await asyncio.sleep(0.2)
    assert feed._socket is None, "there is no such interface yet"
    wire()
    await until(lambda: feed._socket is not None)
    test_sockets()
    test_filter()
    await asyncio.sleep(0.1)
    feed.guard(False)
    news.clear()
    other("ip", "address", "add", "10.0.0.9/24", "dev", "far")
    feed.guard(True)
    begun = asyncio.get_running_loop().time()
    await until(lambda: news)
    assert news == [[OTHER]], news
    assert 1.0 <= asyncio.get_running_loop().time() - begun < 3.0, "asked twice"
    ip("link", "del", "left")
    await until(lambda: feed._socket is None)
    assert list(feed.seen) == [OTHER], "what was seen grows old meanwhile"
    feed.close()
    assert (dict(feed.seen), feed._next) == ({}, None)

try:
    asyncio.run(test_feed())
    try:
        open_claims("nosuch0", VIP)
    except Failed as error:
        assert error.message == "cannot look at who has 10.0.0.9 on nosuch0: No such device", error.message
    else:
        raise AssertionError("opened on an interface that is not there")
finally:
    there.kill()
"""


def test_claims_in_networks_of_their_own() -> None:
    run_apart(IN_A_NAMESPACE)
