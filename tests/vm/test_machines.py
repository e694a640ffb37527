"""The lab itself: two machines with systemd, DRBD and keepalived, cables to pull, and nothing left afterwards."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from tests.vm import volume
from tests.vm.conftest import Measured
from tests.vm.machine import Machine
from tests.vm.pair import VIP, Pair
from tests.vm.supply import GATEWAY
from tests.vm.uml import DATA_DISK

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


def test_both_machines_boot(cached: str, measured: Measured) -> None:
    begin = time.monotonic()
    with Pair(cached) as pair:
        measured(f"boot of both machines, {cached}", time.monotonic() - begin)
        begin = time.monotonic()
        pair.install()
        measured(f"dpkg --install on both machines, {cached}", time.monotonic() - begin)
        for machine in pair.machines:
            assert machine.sh("systemctl is-system-running").strip() == "running"
            assert machine.sh(". /etc/os-release; echo $VERSION_CODENAME").strip() == cached
            assert machine.sh("hostname").strip() == machine.hostname
            assert abs(float(machine.sh("date +%s.%N")) - time.time()) < 5
            assert machine.escadm("version").stdout.startswith("escadm ")
            assert machine.exec(["test", "-b", DATA_DISK]).code == 0
        assert pair.client("ping", "-c1", pair.a.address).code == 0


def test_commands_and_files_pass_through(pair: Pair) -> None:
    done = pair.a.exec(["sh", "-c", "cat; echo aside >&2; exit 3"], check=False, stdin="ä line\n")
    assert (done.code, done.stdout, done.stderr) == (3, "ä line\n", "aside\n")
    pair.a.write("/srv/new/file", "text", mode=0o600)
    assert pair.a.read("/srv/new/file") == "text"
    assert pair.a.sh("stat -c %a /srv/new/file").strip() == "600"
    assert pair.a.read("/srv/none") is None
    long = "".join(f"line {number}\n" for number in range(5000))
    pair.a.write("/srv/long", long)
    assert pair.a.read("/srv/long") == long


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


@pytest.mark.one_release
def test_nothing_stays_when_the_program_is_killed(cached: str) -> None:
    script = (
        "import signal\nfrom tests.vm.pair import Pair\nwith Pair() as pair:\n"
        "    print(pair.supply.inside, pair.supply.pid, pair.supply.ask('pids'), flush=True)\n    signal.pause()\n"
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


def alive(pid: int) -> bool:
    try:
        os.killpg(pid, 0)
    except ProcessLookupError:
        return False
    return True


SPEAK = 'python3 -c \'import socket; socket.socket(2, 2).sendto(b"word", ("{address}", 9999))\''
LISTEN = (
    'python3 -c \'import socket; s = socket.socket(2, 2); s.bind(("", 9999)); s.settimeout(20); '
    "print(s.recv(9).decode(), flush=True)' >/run/heard 2>&1"
)


def test_a_cable_is_silent_one_way(pair: Pair) -> None:
    for machine in pair.machines:
        assert hears(machine, pair.other(machine).address)  # they have each other's address of the network card
        machine.sh(f"setsid sh -c {shlex.quote(LISTEN)} </dev/null >&- 2>&- &")
        pair.wait_for(partial(listens, machine), 10, "a listener")
    pair.silence(pair.a, pair.b)
    for machine in pair.machines:
        machine.sh(SPEAK.format(address=pair.other(machine).address))
    pair.wait_for(lambda: pair.a.read("/run/heard") == "word\n", 10, "what b says")
    assert pair.b.read("/run/heard") == ""
    pair.heal()
    pair.a.sh(SPEAK.format(address=pair.b.address))
    pair.wait_for(lambda: pair.b.read("/run/heard") == "word\n", 10, "what a says")


def listens(machine: Machine) -> bool:
    return ":270F " in (machine.read("/proc/net/udp") or "")


def test_packets_are_late_and_lost(pair: Pair) -> None:
    pair.a.sh("tc qdisc add dev eth1 root netem delay 200ms")
    told = pair.b.sh(f"ping -qc2 -i0.2 {pair.a.cross_address}")
    least = re.search(r"= ([\d.]+)/", told)
    assert least is not None
    assert float(least[1]) >= 200
    pair.a.sh("tc qdisc change dev eth1 root netem loss 100%")
    assert not hears(pair.b, pair.a.cross_address)


def test_a_disk_fails_and_is_full(pair: Pair) -> None:
    machine = pair.a
    machine.sh(f'dmsetup create flaky --table "0 $(blockdev --getsz {DATA_DISK}) flakey {DATA_DISK} 0 0 60"')
    write = "dd if=/dev/zero of=/dev/mapper/flaky bs=4096 count=1 oflag=direct"
    assert "Input/output error" in machine.exec(["sh", "-c", write], check=False).stderr
    fill = "fallocate --length $(df --output=avail --block-size=1 / | tail -n1) /ballast; cat /dev/zero >/rest"
    assert "No space left on device" in machine.exec(["sh", "-c", fill], check=False).stderr
    assert machine.exec(["sh", "-c", "echo word >/word && sync /word"], check=False).code != 0
    machine.sh("rm /ballast /rest; echo word >/word")


def test_a_machine_stands_still_and_clocks_jump(pair: Pair) -> None:
    machine = pair.a
    up = uptime(machine)
    machine.freeze()
    begin = time.monotonic()
    assert not hears(pair.b, machine.address)
    pair.wait_for(lambda: time.monotonic() - begin > 3, 10, "three seconds")
    machine.thaw()
    assert hears(pair.b, machine.address)
    assert uptime(machine) - up > 3
    up = uptime(machine)
    machine.sh("date --set '+1 hour'")
    assert float(machine.sh("date +%s")) > time.time() + 3000
    assert uptime(machine) - up < 3000


def uptime(machine: Machine) -> float:
    return float((machine.read("/proc/uptime") or "").split()[0])
