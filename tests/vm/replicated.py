"""The replicated pair as an administrator installs it, a client that writes, and what both tell: for scenarios."""

from __future__ import annotations

import itertools
import re
import subprocess
import threading
import time
from typing import NamedTuple

import yaml

from tests.vm.image import POSTGRESQL
from tests.vm.machine import Machine
from tests.vm.pair import VIP, Pair
from tests.vm.supply import GATEWAY
from tests.vm.uml import DATA_DISK as DISK

CONFIG = f"""\
resources:
  drbd:
    disk: {DISK}
  pgsql:
    command: >-
      {POSTGRESQL}/bin/postgres -D /opt/cisco/esc/esc_database/pgsql
      -c listen_addresses=* -c unix_socket_directories=/tmp
    user: postgres
    stop_signal: SIGINT
    ready: {{exec: [{POSTGRESQL}/bin/psql, -h, /tmp, -qAtXc, select 1, postgres]}}
"""
PATH = "/opt/cisco/esc/esc-config/esc-config.yaml"
MOUNT = "/opt/cisco/esc/esc_database"
DATA = f"{MOUNT}/pgsql"
NOTICE_A_DEAD_SERVER = (
    "connect_timeout=1 tcp_user_timeout=2000 keepalives_idle=1 keepalives_interval=1 keepalives_count=2"
)
"""libpq's options. Without them a client that waits for an answer when the server's power goes does so for minutes."""
INITDB = f"""\
drbdadm primary esc
mkdir -p {MOUNT}
mount /dev/drbd1 {MOUNT}
install -d -o postgres -g postgres -m 700 {DATA}
su postgres -c "{POSTGRESQL}/bin/initdb -D {DATA} -A trust --no-sync -N --wal-segsize=1" >/dev/null
echo "host all all 172.0.0.0/8 trust" >>{DATA}/pg_hba.conf
umount {MOUNT}
drbdadm secondary esc
"""
TENTH = r"(?m)^\d+\.\d"
WATCH = "setsid sh -c 'while sleep 0.04; do date +%s.%N; pgrep -x postgres >/dev/null && echo runs; done'"
"""Writes the time of each look, and whether the database is seen to run then."""
SEEN = "/run/seen"


def text_of(machine: Machine) -> str:
    return str(machine.published().get("text", ""))


def make_pair(pair: Pair) -> None:
    """The manual's three lines on both machines, with the first installation between them: one network for all."""
    pair.install()
    nodes = [machine.address for machine in pair.machines]
    for machine in pair.machines:
        configure(machine, "--ha_node_list=", *nodes)
    begin(pair)


def make_crossed_pair(pair: Pair) -> None:
    """A healthy pair with a table: VRRP and clients on eth0, where the gateway is, replication on eth1."""
    pair.install()
    nodes = [machine.cross_address for machine in pair.machines]
    for machine in pair.machines:
        peer = pair.other(machine)
        unicast = ["--kad_unicast_src_ip=", machine.address, "--kad_unicast_peer=", peer.address]
        configure(machine, "--ha_node_list=", *nodes, *unicast, "--gateway=", GATEWAY)
    begin(pair)
    wait_healthy(pair)
    client = Writer(pair)
    pair.wait_for(lambda: client.sql("create table rows (number int)") is not None, 30, "the table")
    for machine in pair.machines:
        machine.sh("systemctl enable esc_service; sync")


def configure(machine: Machine, *options: str) -> None:
    """The machine is told its half of a pair."""
    machine.write(PATH, CONFIG)
    machine.escadm("ha", "set", "--kad_vip=", VIP, "--kad_vif=", "eth0", *options)
    machine.escadm("reload")


def begin(pair: Pair) -> None:
    """The first installation of the volume, a database on it, and the start as a pair, of the agents too."""
    for machine in pair.machines:
        machine.escadm("drbd", "init")
    pair.a.escadm("drbd", "init", "--primary")
    pair.a.sh(INITDB, timeout=120)
    for machine in pair.machines:
        machine.escadm("restart", check=False)


def wait_healthy(pair: Pair, limit: float = 120) -> tuple[Machine, Machine]:
    """The primary and the standby, once ``status`` of both says that all is well."""
    wanted = ["ESC Backup Healthy", "ESC Master Healthy"]

    def is_told() -> bool:
        """First what is cheap to ask; what the command says has to agree."""
        if sorted(map(text_of, pair.machines)) != wanted:
            return False
        told = sorted(machine.escadm("status", check=False).stdout for machine in pair.machines)
        return told == [f"0 ESC status=0 {text}\n" for text in wanted]

    pair.wait_for(is_told, limit, "a healthy pair", poll=1.0)
    return (pair.a, pair.b) if pair.a.role == "MASTER" else (pair.b, pair.a)


PAUSE = 0.3
"""Seconds between two rows. Each has a connection of its own, and so a process of PostgreSQL's."""


class Row(NamedTuple):
    """A row that was acknowledged: when it was sent and acknowledged, ``time.monotonic()``."""

    number: int
    sent: float
    acknowledged: float


class Writer(threading.Thread):
    """A client that inserts numbered rows through the VIP, one by one, and remembers which were acknowledged."""

    def __init__(self, pair: Pair) -> None:
        super().__init__(daemon=True)
        self.pair = pair
        self.acknowledged: list[Row] = []
        self.ending = threading.Event()

    def sql(self, text: str) -> str | None:
        """The answer, None where there was none."""
        argv = [
            "psql",
            "-qAtX",
            "-v",
            "ON_ERROR_STOP=1",
            "-c",
            text,
            f"host={VIP} user=postgres {NOTICE_A_DEAD_SERVER}",
        ]
        try:
            done = subprocess.run(self.pair.client_argv(*argv), capture_output=True, text=True, timeout=10)
        except subprocess.TimeoutExpired:
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    def insert(self, number: int) -> bool:
        """Whether a row was acknowledged; if so, that is remembered."""
        sent = time.monotonic()
        done = self.sql(f"insert into rows values ({number:d})") is not None  # noqa: S608 - a number
        if done:
            self.acknowledged.append(Row(number, sent, time.monotonic()))
        return done

    def run(self) -> None:
        number = 0
        while not self.ending.is_set():
            number += 1
            self.insert(number)
            self.ending.wait(PAUSE)

    def first_after(self, moment: float) -> float | None:
        """Seconds from the moment until a row was acknowledged that was not yet sent then."""
        return next((row.acknowledged - moment for row in self.acknowledged if row.sent > moment), None)

    def longest_gap(self, begin: float) -> float:
        """The most seconds between two acknowledged rows since then."""
        moments = [row.acknowledged for row in self.acknowledged if row.acknowledged >= begin]
        return max(later - earlier for earlier, later in itertools.pairwise([begin, *moments]))

    def end(self) -> None:
        """No more rows."""
        self.ending.set()
        self.join()

    def rows(self) -> set[int]:
        """What is there; none of it twice."""
        there = [int(line) for line in (self.sql("select number from rows") or "").splitlines()]
        assert len(there) == len(set(there))
        return set(there)

    def lost(self) -> list[Row]:
        """The acknowledged rows that are not there; none that is there is there twice."""
        there = self.rows()
        return [row for row in self.acknowledged if row.number not in there]

    def check(self) -> None:
        """Every acknowledged row is there, and none twice."""
        assert self.lost() == []


class Scene:
    """A healthy pair, and a client that writes all the time; what happens to them, and what can be seen then."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self.vip = VIP
        self.client = Writer(pair)
        self._marks: dict[str, int] = {}
        self._watched_since = 0.0

    def __enter__(self) -> Scene:
        self.primary, self.standby = wait_healthy(self.pair)
        self.client.start()
        self.writes_on(self.primary)
        return self

    def __exit__(self, *_: object) -> None:
        self.client.end()

    # --- acts ---

    def cut(self, *machines: Machine) -> None:
        """The power of these goes at once."""
        for machine in machines:
            machine.power_cut()

    def start(self, *machines: Machine) -> None:
        """Boot these; the service starts with them."""
        for machine in machines:
            machine.switch_on()
        for machine in machines:
            machine.wait_until_up()

    def set(self, machine: Machine, path: str, value: object) -> None:
        """Change one key of a machine's esc-config.yaml; None removes it."""
        document = yaml.safe_load(machine.read(PATH) or "")
        *parents, key = path.split(".")
        place = document
        for parent in parents:
            place = place[parent]
        place[key] = value
        if value is None:
            del place[key]
        machine.write(PATH, yaml.safe_dump(document))

    def begin_resync(self) -> None:
        """The standby lacks 24 MB, and a slow copy of them has begun."""
        self.set(self.standby, "resources.drbd.disk_options", {"c-max-rate": "1M", "c-min-rate": "500k"})
        self.standby.escadm("stop")
        self.primary.sh(f"head -c 24000000 /dev/urandom >{MOUNT}/blob; sync {MOUNT}/blob")
        self.standby.escadm("restart", check=False)
        self.reads(self.standby, "being brought up to date from the peer")

    def put_disk_on_mapper(self, machine: Machine) -> None:
        """DRBD's disk on this machine is a device that can be made to fail."""
        machine.escadm("stop")
        machine.sh(f'dmsetup create data --table "0 $(blockdev --getsz {DISK}) linear {DISK} 0"')
        self.set(machine, "resources.drbd.disk", "/dev/mapper/data")
        machine.escadm("restart", check=False)
        wait_healthy(self.pair)

    def watch(self) -> None:
        """From now on each machine notes when its database runs, for ``watched``, until its power goes."""
        for machine in self.pair.machines:
            machine.sh(f"{WATCH} >{SEEN} 2>/dev/null </dev/null &")
        self._watched_since = time.monotonic()

    # --- what can be seen ---

    def watched(self) -> int:
        """In how many tenths of a second the database has run since ``watch``; in none of them on both machines."""
        told = [machine.read(SEEN) or "" for machine in self.pair.machines]
        looked = [set(re.findall(TENTH, each)) for each in told]
        seconds = time.monotonic() - self._watched_since
        assert min(map(len, looked)) > seconds, "each was looked at once a second at least, also by a busy machine"
        one, two = (set(re.findall(TENTH + r"(?=\d*\nruns)", each)) for each in told)
        assert not one & two, "both nodes have run the database at the same time"
        return len(one | two)

    def never_split(self) -> None:
        """DRBD has found no data that had parted, on neither machine since its boot."""
        for machine in self.pair.machines:
            assert "Split-Brain" not in machine.sh("dmesg")

    def reads(self, machine: Machine, words: str, limit: float = 60) -> None:
        """Wait until an administrator reads these words in the machine's status."""

        def told() -> bool:
            document = machine.published()
            return words in "\n".join([document.get("text", ""), *document.get("reasons", ())])

        self.pair.wait_for(told, limit, f"{words!r} in the status of {machine.hostname}", poll=1.0)
        document = machine.status()
        assert words in "\n".join([document["text"], *document["reasons"]])

    def answered(self, machine: Machine) -> None:
        """Wait for the gateway's next answer to the machine."""

        def answers() -> int:
            lines = (machine.read("/proc/net/snmp") or "").splitlines()
            names, values = (line.split() for line in lines if line.startswith("Icmp:"))
            return int(values[names.index("InEchoReps")])

        before = answers()
        self.pair.wait_for(lambda: answers() > before, 10, f"an answer to {machine.hostname}", poll=0.01)

    def writes_on(self, machine: Machine, limit: float = 90) -> None:
        """Wait until the machine is the primary and has acknowledged one more row."""
        self.pair.wait_for(lambda: machine.role == "MASTER", limit, f"{machine.hostname} to be the primary")
        begin = time.monotonic()
        self.pair.wait_for(lambda: self.client.first_after(begin), limit, "one more row")

    def stays_down(self, machine: Machine, seconds: float = 8) -> None:
        """For longer than an election takes the machine is in fault, and has not the virtual address."""
        end = time.monotonic() + seconds
        self.pair.wait_for(lambda: machine.role == "FAULT", 30, f"the fault of {machine.hostname}")
        while time.monotonic() < end:
            assert machine.role == "FAULT"
            assert not machine.has_address(self.vip)
            time.sleep(1)

    def stays(self, seconds: float) -> None:
        """For that long the client goes without a commit for three seconds at most: nothing moves."""
        begin = time.monotonic()
        self.pair.wait_for(lambda: self.client.first_after(begin + seconds), seconds + 30, "more rows")
        assert self.client.longest_gap(begin) < 3

    def refuses_switchover(self, words: str) -> None:
        done = self.primary.escadm("switchover", check=False)
        assert done.code == 1
        assert words in done.stderr

    def healthy(self, primary: Machine | None = None, *, counted: bool = True) -> None:
        """Wait for a healthy pair; it has every row that was acknowledged (``counted``), none twice."""
        found, _ = wait_healthy(self.pair, 150)
        assert primary in (None, found)
        self.writes_on(found)
        self.client.end()
        if counted:
            self.client.check()

    def split(self) -> Machine:
        """Wait until the nodes have met and one has left the role; that one."""
        for machine in self.pair.machines:
            self.reads(machine, "split brain")
        left = self.pair.wait_for(
            lambda: [machine for machine in self.pair.machines if machine.role in ("BACKUP", "FAULT")],
            60,
            "one primary",
        )
        return left[0]

    # --- logs ---

    def mark(self, machine: Machine) -> None:
        """What the machine logs from now on counts for ``wait_log``."""
        self._marks[machine.name] = len(machine.read("/var/log/esc/escadm.log") or "")

    def wait_log(self, machine: Machine, words: str) -> None:
        mark = self._marks[machine.name]
        self.pair.wait_for(
            lambda: words in (machine.read("/var/log/esc/escadm.log") or "")[mark:],
            60,
            f"{words!r} in the log",
            poll=0.01,
        )
