"""The lab itself: two machines with systemd, DRBD and keepalived, cables to pull, and nothing left afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.vm import cache, volume
from tests.vm.conftest import Measured
from tests.vm.machine import Machine
from tests.vm.pair import GATEWAY, VIP, Pair

KEEPALIVED = """
global_defs {{
    vrrp_version 3
}}
vrrp_instance TEST {{
    state BACKUP
    nopreempt
    interface eth0
    virtual_router_id 51
    priority {priority}
    advert_int 0.5
    virtual_ipaddress {{
        {vip}
    }}
}}
"""


def hears(machine: Machine, address: str) -> bool:
    return machine.exec(["ping", "-c1", "-W1", address], check=False).code == 0


def test_both_machines_run_from_the_saved_state(cached: None, measured: Measured) -> None:
    begin = time.monotonic()
    with Pair() as pair:
        measured("start from the saved state", time.monotonic() - begin)
        begin = time.monotonic()
        pair.install()
        measured("dpkg --install on both machines", time.monotonic() - begin)
        for machine in pair.machines:
            assert machine.sh("systemctl is-system-running").strip() == "running"
            assert machine.sh("hostname").strip() == machine.hostname
            assert abs(float(machine.sh("date +%s.%N")) - time.time()) < 30
            assert machine.escadm("version").stdout.startswith("escadm ")
            assert machine.exec(["test", "-b", "/dev/vdb"]).code == 0
        assert pair.client("ping", "-c1", pair.a.address).code == 0


def test_commands_and_files_pass_through(pair: Pair) -> None:
    done = pair.a.exec(["sh", "-c", "cat; echo aside >&2; exit 3"], check=False, stdin="ä line\n")
    assert (done.code, done.stdout, done.stderr) == (3, "ä line\n", "aside\n")
    pair.a.write("/srv/new/file", "text", mode=0o600)
    assert pair.a.read("/srv/new/file") == "text"
    assert pair.a.sh("stat -c %a /srv/new/file").strip() == "600"
    assert pair.a.read("/srv/none") is None


def test_data_survives_a_power_cut_of_the_primary(pair: Pair, measured: Measured) -> None:
    volume.bring_up(pair)
    pair.a.sh(f"drbdadm primary esc && mke2fs -q -t ext4 {volume.DEVICE}")
    volume.promote(pair, pair.a)
    pair.a.sh(f"head -c 4000000 /dev/urandom >{volume.MOUNT_POINT}/blob; sync {volume.MOUNT_POINT}/blob")
    checksum = pair.a.sh(f"sha256sum <{volume.MOUNT_POINT}/blob")
    # on a busy machine they may have lost each other meanwhile; what follows is about a standby that has everything
    pair.wait_for(lambda: volume.disks(pair.a) == "UpToDate/UpToDate", 60, "a complete standby")
    begin = time.monotonic()
    pair.a.power_cut()
    volume.promote(pair, pair.b)
    measured("power cut to promoted and mounted, by hand", time.monotonic() - begin)
    assert pair.b.sh(f"sha256sum <{volume.MOUNT_POINT}/blob") == checksum
    begin = time.monotonic()
    pair.a.power_on()
    measured("boot after a power cut", time.monotonic() - begin)
    pair.a.sh("drbdadm up esc")
    pair.wait_for(lambda: volume.disks(pair.b) == "UpToDate/UpToDate", 120, "the resync")
    assert volume.role(pair.a) == "Secondary/Primary"
    volume.demote(pair.b)
    volume.promote(pair, pair.a)
    assert pair.a.sh(f"sha256sum <{volume.MOUNT_POINT}/blob") == checksum


def test_the_vip_answers_the_client_wherever_it_is(pair: Pair, measured: Measured) -> None:
    for machine, priority in ((pair.a, 200), (pair.b, 100)):
        machine.write("/etc/keepalived/keepalived.conf", KEEPALIVED.format(priority=priority, vip=VIP))
        machine.sh("systemctl start keepalived")
        pair.wait_for(lambda: pair.a.has_address(VIP), 30, "the VIP")
    assert pair.client("ping", "-c1", VIP).code == 0
    assert not pair.b.has_address(VIP)
    begin = time.monotonic()
    pair.a.power_cut()
    pair.wait_for(lambda: not pair.client("ping", "-c1", "-W1", VIP, check=False).code, 30, "an answer", poll=0.01)
    measured("power cut to the VIP's answer, adverts every 0.5 s", time.monotonic() - begin)
    assert pair.b.has_address(VIP)


def test_cables_are_cut_and_lost_one_by_one(pair: Pair) -> None:
    pair.cut("eth1", pair.a)
    assert pair.a.read("/sys/class/net/eth1/carrier") == "0\n"
    assert pair.b.read("/sys/class/net/eth1/carrier") == "1\n"
    assert not hears(pair.a, pair.b.cross_address)
    assert hears(pair.a, pair.b.address)
    pair.heal("eth1")
    pair.wait_for(lambda: hears(pair.a, pair.b.cross_address), 10, "the cross-over cable")

    pair.partition()
    assert not hears(pair.a, pair.b.address)
    assert not hears(pair.a, pair.b.cross_address)
    assert hears(pair.a, GATEWAY)
    assert hears(pair.b, GATEWAY)
    assert pair.a.read("/sys/class/net/eth0/carrier") == "1\n"

    pair.isolate(pair.a, "eth0")
    assert not hears(pair.a, GATEWAY)
    assert hears(pair.b, GATEWAY)
    pair.heal()
    pair.wait_for(lambda: hears(pair.a, pair.b.address) and hears(pair.a, GATEWAY), 10, "eth0")


def test_nothing_stays_when_the_program_is_killed(cached: None) -> None:
    script = (
        "import signal\nfrom tests.vm.pair import Pair\nwith Pair() as pair:\n"
        "    print(pair.supply.directory, pair.supply.pid, pair.supply.ask('pids'), flush=True)\n    signal.pause()\n"
    )
    for number in (signal.SIGINT, signal.SIGKILL):
        program = subprocess.Popen(
            [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert program.stdout
        with program.stdout as output:
            directory, *pids = output.readline().replace("[", "").replace("]", "").replace(",", "").split()
            assert len(pids) == 3
            program.send_signal(number)
            program.wait(30)
        end = time.monotonic() + 30
        while Path(directory).exists() or any(alive(int(pid)) for pid in pids):
            assert time.monotonic() < end, f"after {number.name}"
            time.sleep(0.05)
        assert not list(cache.root().glob("run-*"))


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
