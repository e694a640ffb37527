"""A third machine in the network of a lab: it forges the address of a node, and has listened to what the nodes said."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from escadm.lab import Lab, namespaces
from escadm.lab.node import Node

FORGE = """
import json, socket, struct, sys
given = json.loads(sys.argv[1])
here, there = (socket.inet_aton(given[key]) for key in ("source", "target"))
with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as out:
    if given["interface"]:
        out.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, given["interface"].encode())
    for text in given["datagrams"]:
        data = bytes.fromhex(text)
        udp = struct.pack("!HHHH", 5112, given["port"], 8 + len(data), 0) + data
        ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, given["ttl"], 17, 0, here, there)
        out.sendto(ip + udp, (given["target"], 0))
"""

LISTEN = """
import json, socket, sys
port, count, found = sys.argv[1], int(sys.argv[2]), []
with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3)) as tap:  # all: the bridge takes the rest away
    tap.bind((port, 3))
    tap.settimeout(10)
    while len(found) < count:
        packet = tap.recv(65535)
        if packet[0] == 0x45 and packet[9] == 17 and packet[22:24] == (5112).to_bytes(2, "big"):
            found.append([socket.inet_ntoa(packet[12:16]), packet[28:].hex()])
print(json.dumps(found))
"""


def forge(
    lab: Lab,
    source: Node,
    target: Node,
    datagrams: Sequence[bytes],
    *,
    ttl: int = 255,
    interface: str = "",
    port: int = 5112,
) -> None:
    """Have the client send ``datagrams`` to ``target`` as if they came from the agent of ``source``."""
    given = {
        "source": str(source.address),
        "target": str(target.address),
        "datagrams": [each.hex() for each in datagrams],
        "ttl": ttl,
        "interface": interface,
        "port": port,
    }
    lab.node("client").exec([sys.executable, "-c", FORGE, json.dumps(given)])


def overhear(lab: Lab, node: Node, count: int) -> list[tuple[str, bytes]]:
    """The next ``count`` datagrams of the agents at the node's port of the switch, each with its sender."""
    command = lab.require().outer.enter([sys.executable, "-c", LISTEN, node.port, str(count)], network_only=True)
    return [(sender, bytes.fromhex(text)) for sender, text in json.loads(namespaces.call(command).stdout)]


def counted(node: Node, what: str) -> int:
    """How many UDP datagrams the node has counted as ``InDatagrams`` (a program's) or ``NoPorts`` (nobody's)."""
    lines = node.exec(["cat", "/proc/net/snmp"]).stdout.splitlines()
    names, values = (line.split() for line in lines if line.startswith("Udp:"))
    return int(values[names.index(what)])
