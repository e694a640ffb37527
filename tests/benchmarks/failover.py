"""Failover by power cut in the lab: escadm, with its phases, beside bare keepalived with the same adverts."""

from __future__ import annotations

import random
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from escadm.lab import Lab
from escadm.lab.node import Node
from escadm.lab.watch import Watch
from tests.benchmarks.table import print_table, spread

ADVERTS = (1.0, 0.2)
DELAY = 0.3
SERVICE = "escmanager"
NOBODY = 9
"""A port that nobody serves: a refused connection tells that the VIP is there."""

BARE = """\
global_defs {{
    router_id {hostname}
    vrrp_version 3
}}
vrrp_instance ESC {{
    state BACKUP
    nopreempt
    interface eth0
    virtual_router_id 51
    priority 250
    advert_int {advert}
    unicast_src_ip {address}
    unicast_peer {{
        {peer}
    }}
    virtual_ipaddress {{
        {vip} dev eth0
    }}
}}
"""

Figures = dict[str, list[float]]


def run(repetitions: int) -> None:
    """Measure and print."""
    columns: dict[float, Figures] = {}
    for advert in ADVERTS:
        with TemporaryDirectory() as directory:
            columns[advert] = bare(Path(directory) / "lab", advert, repetitions)
        with TemporaryDirectory() as directory:
            columns[advert] |= with_escadm(Path(directory) / "lab", advert, repetitions)
    print(f"failover by power cut, seconds from the cut: median of {repetitions} (least-most)")
    names = dict.fromkeys(name for figures in columns.values() for name in figures)
    rows = [["", *(f"adverts every {advert:g} s" for advert in ADVERTS)]]
    rows += [[name, *(spread(columns[advert].get(name, [])) for advert in ADVERTS)] for name in names]
    print_table(rows)
    print(
        f"The services are stand-ins that take {DELAY:g} s to start; {SERVICE} waits for others: it is second in a row."
    )


def bare(directory: Path, advert: float, repetitions: int) -> Figures:
    """keepalived alone: how long the VIP is gone."""
    figures: Figures = defaultdict(list)
    with Lab(directory, agent=False) as lab:
        for node in lab.nodes:
            start_keepalived(lab, node, advert)
        for _ in range(repetitions):
            lab.wait_for(lambda: len(lab.holders()) == 1, 30, "one holder of the VIP")
            old = lab.holders()[0]
            new = next(node for node in lab.nodes if node is not old)
            # a node that has just come keeps still for a while; it must have heard its peer before it is to take over
            lab.wait_for(partial(is_standby, new), 30, "the standby")
            _, seconds = outage_of_vip(lab, advert, old, partial(holds_vip, lab, new))
            figures["bare keepalived: VIP"].append(seconds)
            lab.fault("power-on", old.name)
            start_keepalived(lab, old, advert)
    return figures


def is_standby(node: Node) -> bool:
    return "Entering BACKUP STATE" in (node.read("/var/log/keepalived.log") or "")


def holds_vip(lab: Lab, node: Node) -> bool:
    return node in lab.holders()


def is_master(node: Node) -> bool:
    return node.role == "MASTER"


def start_keepalived(lab: Lab, node: Node, advert: float) -> None:
    peer = next(each for each in lab.nodes if each is not node)
    text = BARE.format(
        hostname=node.hostname, advert=f"{advert:g}", address=node.address, peer=peer.address, vip=lab.network.vip
    )
    node.write("/etc/keepalived/keepalived.conf", text)
    node.exec(["sh", "-c", "setsid --fork keepalived -n -l -D >/var/log/keepalived.log 2>&1 </dev/null"])


def outage_of_vip(lab: Lab, advert: float, old: Node, moved: Callable[[], bool]) -> tuple[float, float]:
    """Cut the power of ``old``: when (monotonic clock), and seconds until the VIP answers again."""
    with lab.client(f"{lab.network.vip}:{NOBODY}") as vip:
        lab.wait_for(lambda: any(answer.present for answer in vip.answers()), 10, "the VIP")
        time.sleep(random.uniform(0, advert))  # noqa: S311 - the cut comes at any moment between two adverts
        cut = time.monotonic()
        lab.fault("power-cut", old.name)
        lab.wait_for(moved, 30, "the takeover")
        lab.wait_for(lambda: vip.answers()[-1].present, 10, "the VIP, again")
        gap = vip.longest_gap(cut, presence=True)
    assert gap is not None
    return cut, gap.end - cut


def with_escadm(directory: Path, advert: float, repetitions: int) -> Figures:
    """The pair: how long the VIP is gone, how long the service, and what the new primary says about its phases."""
    figures: Figures = defaultdict(list)
    with Lab(directory, advert=advert, delay=DELAY) as lab:
        for _ in range(repetitions):
            old, new = lab.wait_for(lambda: healthy_pair(lab), 60, "a healthy pair")
            with lab.client(f"http://{lab.network.vip}:{lab.ports[SERVICE]}/") as service:
                lab.wait_for(partial(serves, service, old), 10, "the service")
                cut, vip = outage_of_vip(lab, advert, old, partial(is_master, new))
                first = lab.wait_for(partial(service.first_answer, new.hostname, cut), 60, "the service")
            figures["escadm: VIP"].append(vip)
            figures[f"escadm: {SERVICE} on the VIP"].append(first.at - cut)
            for phase, seconds in phases(lab, new).items():
                figures[f"  phase {phase}"].append(seconds)
            lab.fault("power-on", old.name)
    return figures


def serves(service: Watch, node: Node) -> bool:
    """Whether it is this node that answers."""
    return service.serving() == node.hostname


def healthy_pair(lab: Lab) -> tuple[Node, Node] | None:
    """Primary and standby, once both say that they are well."""
    by_text = {node.status()["text"]: node for node in lab.nodes}
    if by_text.keys() != {"ESC Master Healthy", "ESC Backup Healthy"}:
        return None
    return by_text["ESC Master Healthy"], by_text["ESC Backup Healthy"]


def phases(lab: Lab, node: Node) -> dict[str, float]:
    """The phases of the newest change to MASTER, seconds from its begin to each."""

    def newest() -> dict[str, Any] | None:
        changes = [change for change in node.status()["history"] if change["to"] == "MASTER"]
        return changes[-1] if changes else None

    return dict(lab.wait_for(newest, 30, "the role change in the history")["phases"])
