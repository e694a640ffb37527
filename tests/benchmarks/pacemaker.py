"""The same volume, database and VIP under Pacemaker and corosync, as tutorials for two nodes have it: cluster.xml.

A promotable clone of ocf:linbit:drbd and, with its promoted instance, in this order, the file system, the address and
PostgreSQL; no STONITH; corosync's ``two_node``. esc.res has the options that escadm gives it, and for fencing what
comes with DRBD for such a cluster: ``crm-fence-peer.sh`` under the policy resource-only, meant for those without
STONITH. The agents' time limits are longer than usual, for hosts with other work; no takeover comes near them.
"""

from __future__ import annotations

import re
from pathlib import Path

from tests.vm.machine import Machine
from tests.vm.pair import Pair
from tests.vm.replicated import make_crossed_pair, wait_healthy
from tests.vm.volume import connection, disks, role

COROSYNC = """\
totem {
    version: 2
    cluster_name: benchmark
    crypto_cipher: none
    crypto_hash: none
    token: 3000
}
nodelist {
    node {
        name: node-a
        nodeid: 1
        ring0_addr: 172.16.0.0
        ring1_addr: 10.99.0.1
    }
    node {
        name: node-b
        nodeid: 2
        ring0_addr: 172.16.1.0
        ring1_addr: 10.99.0.2
    }
}
quorum {
    provider: corosync_votequorum
    two_node: 1
}
logging {
    to_syslog: yes
}
"""
"""As Debian's example, with two links; ``token`` is corosync's default, written out."""
HANDLERS = """\
    handlers {
        fence-peer "/usr/lib/drbd/crm-fence-peer.sh";
        after-resync-target "/usr/lib/drbd/crm-unfence-peer.sh";
    }
    disk {
        fencing resource-only;
"""
RESOURCE = "/etc/drbd.d/esc.res"
CLUSTER = Path(__file__).with_name("cluster.xml")
NEWEST = "10000"
"""The score with which the DRBD agent offers a copy that it knows to be the newest."""
EVENTS = {
    "noticed": ("corosync", r"A new membership .* was formed"),
    "services": ("pacemaker-controld", r"Result of start operation for database on .*: ok"),
}
ONLINE = "Online: [ node-a node-b ]"


def make_cluster(pair: Pair) -> None:
    """A pair under escadm hands its volume over to a cluster, which runs the services in its place."""
    make_crossed_pair(pair)
    for machine in reversed(wait_healthy(pair)):  # the standby first: nobody takes over
        machine.sh("systemctl disable --now esc_service", timeout=120)
    for machine in pair.machines:
        machine.write(RESOURCE, translate(machine.read(RESOURCE) or ""))
        machine.write("/etc/corosync/corosync.conf", COROSYNC)
        machine.sh("systemctl enable --now corosync pacemaker", timeout=120)
    pair.wait_for(lambda: ONLINE in pair.a.sh("crm_mon --one-shot"), 180, "both nodes of the cluster", poll=2)
    command = ["cibadmin", "--modify", "--allow-create", "--scope", "configuration", "--xml-pipe"]
    pair.a.exec(command, stdin=CLUSTER.read_text())
    wait_settled(pair)


def wait_settled(pair: Pair) -> tuple[Machine, Machine]:
    """Primary and standby, once the services run and the standby could take over at once."""
    return pair.wait_for(lambda: settled(pair), 600, "a settled cluster", poll=3)


def settled(pair: Pair) -> tuple[Machine, Machine] | None:
    first = role(pair.a)
    if first not in ("Primary/Secondary", "Secondary/Primary"):
        return None
    primary, standby = pair.machines if first == "Primary/Secondary" else pair.machines[::-1]
    if connection(primary) != "Connected" or disks(primary) != "UpToDate/UpToDate":
        return None
    offer = ["crm_attribute", "--query", "--quiet", "--lifetime=reboot", "--name=master-volume"]
    if primary.exec([*offer, f"--node={standby.hostname}"], check=False).stdout.strip() != NEWEST:
        return None
    idle = primary.exec(["crm_resource", "--wait", "--timeout=60s"], check=False, timeout=90).code == 0
    return (primary, standby) if idle and "Started" in primary.sh("crm_mon --one-shot --resource=database") else None


def translate(text: str) -> str:
    """escadm's esc.res with the fencing of a Pacemaker cluster."""
    text = re.sub(r"^ *fencing [\w-]+;\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"^ *handlers \{.*?^ *\}\n", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"^ *disk \{\n", HANDLERS, text, flags=re.MULTILINE)
