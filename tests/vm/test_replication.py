"""The replicated pair on two machines: first installation, takeover, switchover, and what it does with the data."""

from __future__ import annotations

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
DATA = "/opt/cisco/esc/esc_database/pgsql"
INITDB = f"""\
set -e
install -d -o postgres -g postgres -m 700 {DATA}
su postgres -c "/usr/lib/postgresql/15/bin/initdb -D {DATA} -A trust --no-sync -N" >/dev/null
echo "host all all 172.0.0.0/8 trust" >> {DATA}/pg_hba.conf
sync
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
    pair.a.sh(
        "drbdadm primary esc && mkdir -p /mnt/x && mount /dev/drbd1 /mnt/x && "
        f"mkdir -p {DATA} && mount --bind /mnt/x {DATA.rsplit('/', 1)[0]} && ({INITDB}); "
        f"umount {DATA.rsplit('/', 1)[0]}; umount /mnt/x; drbdadm secondary esc",
        timeout=120,
    )
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
