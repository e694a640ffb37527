"""The replicated pair on two machines: first installation, takeover, switchover, and what it does with the data."""

from __future__ import annotations

import subprocess
import threading
import time

from tests.vm.conftest import Measured
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
ROUNDS = 3


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


def test_the_three_lines_make_a_replicated_pair(pair: Pair, measured: Measured) -> None:
    make_pair(pair)
    primary, standby = wait_healthy(pair)
    shown = primary.escadm("status", "-v", check=False).stdout
    assert "drbd (pgid 0) is master" in shown
    assert "pgsql (pgid" in shown
    assert "drbd (pgid 0) is backup" in standby.escadm("status", "-v", check=False).stdout
    begin = time.monotonic()
    primary.power_cut()
    pair.wait_for(lambda: text_of(standby).startswith("ESC Master Degraded"), 60, "the takeover")
    measured("power cut to all services up", time.monotonic() - begin)
    primary.power_on()
    primary.sh("systemctl start esc_service")
    assert wait_healthy(pair) == (standby, primary)
    done = standby.escadm("switchover")
    assert "the primary is now" in done.stdout
    assert wait_healthy(pair) == (primary, standby)


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


def test_no_acknowledged_row_is_lost(pair: Pair, measured: Measured) -> None:
    make_pair(pair)
    primary, standby = wait_healthy(pair)
    writer = Writer(pair)
    pair.wait_for(lambda: writer.sql("create table rows (number int)") is not None, 30, "the table")
    writer.start()
    try:
        for turn in range(ROUNDS):
            before = len(writer.acknowledged)
            pair.wait_for(lambda n=before: len(writer.acknowledged) > n + 5, 30, "some rows")
            cut = time.monotonic()
            primary.power_cut()
            seconds = pair.wait_for(lambda at=cut: writer.first_after(at), 90, "a commit on the new primary")
            measured(f"round {turn + 1}: power cut to the first commit", seconds)
            primary.power_on()
            primary.sh("systemctl start esc_service")
            assert wait_healthy(pair) == (standby, primary)
            primary, standby = standby, primary
        primary.escadm("switchover")
        begin = time.monotonic()
        measured(
            "end of a switchover under load to the next commit",
            pair.wait_for(lambda: writer.first_after(begin), 30, "a commit after the switchover"),
        )
        assert wait_healthy(pair) == (standby, primary)
    finally:
        writer.ending.set()
        writer.join()
    writer.check()
    assert len(writer.acknowledged) > 5 * ROUNDS
