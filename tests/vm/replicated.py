"""The replicated pair as an administrator installs it, a client that writes, and what both tell: for scenarios."""

from __future__ import annotations

import subprocess
import threading
import time

from tests.vm.machine import Machine
from tests.vm.pair import VIP, Pair

CONFIG = """\
resources:
  drbd:
    disk: /dev/vdb
  pgsql:
    command: >-
      /usr/lib/postgresql/15/bin/postgres -D /opt/cisco/esc/esc_database/pgsql
      -c listen_addresses=* -c unix_socket_directories=/tmp
    user: postgres
    stop_signal: SIGINT
    ready: {exec: [/usr/lib/postgresql/15/bin/psql, -h, /tmp, -qAtXc, select 1, postgres]}
"""
PATH = "/opt/cisco/esc/esc-config/esc-config.yaml"
MOUNT = "/opt/cisco/esc/esc_database"
DATA = f"{MOUNT}/pgsql"
INITDB = f"""\
drbdadm primary esc
mkdir -p {MOUNT}
mount /dev/drbd1 {MOUNT}
install -d -o postgres -g postgres -m 700 {DATA}
su postgres -c "/usr/lib/postgresql/15/bin/initdb -D {DATA} -A trust --no-sync -N" >/dev/null
echo "host all all 172.0.0.0/8 trust" >>{DATA}/pg_hba.conf
umount {MOUNT}
drbdadm secondary esc
"""


def text_of(machine: Machine) -> str:
    return str(machine.status()["text"])


def make_pair(pair: Pair) -> None:
    """The manual's three lines on both machines, with the first installation between them."""
    for machine in pair.machines:
        machine.write(PATH, CONFIG)
        machine.sh("systemctl start esc_service")
        machine.escadm(
            "ha", "set", "--kad_vip=", VIP, "--kad_vif=", "eth0", "--ha_node_list=", "172.16.0.0", "172.16.1.0"
        )
        machine.escadm("reload")
    for machine in pair.machines:
        machine.escadm("drbd", "init")
    pair.a.escadm("drbd", "init", "--primary")
    pair.a.sh(INITDB, timeout=120)
    for machine in pair.machines:
        machine.escadm("restart", check=False)


def wait_healthy(pair: Pair, limit: float = 120) -> tuple[Machine, Machine]:
    wanted = ["ESC Backup Healthy", "ESC Master Healthy"]
    pair.wait_for(lambda: sorted(map(text_of, pair.machines)) == wanted, limit, "a healthy pair", poll=0.5)
    return (pair.a, pair.b) if pair.a.role == "MASTER" else (pair.b, pair.a)


class Writer(threading.Thread):
    """A client that inserts numbered rows through the VIP, one by one, and remembers which were acknowledged."""

    def __init__(self, pair: Pair) -> None:
        super().__init__(daemon=True)
        self.pair = pair
        self.acknowledged: list[tuple[float, int]] = []
        self.ending = threading.Event()

    def sql(self, text: str) -> str | None:
        """The answer, None where there was none."""
        argv = ["psql", "-qAtX", "-v", "ON_ERROR_STOP=1", "-c", text, f"host={VIP} user=postgres connect_timeout=1"]
        try:
            done = subprocess.run(self.pair.client_argv(*argv), capture_output=True, text=True, timeout=10)
        except subprocess.TimeoutExpired:
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    def run(self) -> None:
        number = 0
        while not self.ending.is_set():
            number += 1
            if self.sql(f"insert into rows values ({number:d})") is not None:  # noqa: S608 - a number
                self.acknowledged.append((time.monotonic(), number))

    def first_after(self, moment: float) -> float | None:
        """Seconds from the moment to the next acknowledged row."""
        return next((at - moment for at, _ in self.acknowledged if at > moment), None)

    def check(self) -> None:
        """Every acknowledged row is there, and none twice."""
        there = [int(line) for line in (self.sql("select number from rows order by 1") or "").splitlines()]
        assert len(there) == len(set(there))
        assert {number for _, number in self.acknowledged} - set(there) == set()
