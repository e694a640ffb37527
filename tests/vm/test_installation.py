"""The first installation on two machines, an existing file system, and the deliberate decisions about data."""

from __future__ import annotations

import re
from dataclasses import replace

from escadm.config import parse_plan
from escadm.core.problem import HostFacts
from escadm.paths import Paths
from escadm.render.drbd import render_drbd
from tests.vm import volume
from tests.vm.machine import Machine
from tests.vm.pair import VIP, Pair
from tests.vm.replicated import PATH
from tests.vm.uml import DATA_DISK as DISK
from tests.vm.uml import PACKAGES_DISK

PATHS = Paths()
RESOURCES = f"""\
resources:
  drbd: {{nodes: [172.16.0.0, 172.16.1.0], disk: DISK}}
  keepalived: {{vip: {VIP}, interface: eth0}}
"""
BOTH = ["UpToDate/UpToDate"] * 2
SIZES = {"a": 65536, "b": 49152}
"""Sectors."""
KEEP = "keep the data of this node"
DISCARD = "discard the data of this node"


def configure(pair: Pair, disk: str, more: str = "") -> None:
    """The pair's files on both machines, as ``reload`` writes them where no agent runs; that takes longer there."""
    text = RESOURCES.replace("DISK", disk) + more
    spec = parse_plan(text, PATH, HostFacts({}, strict=False)).plan.drbd
    assert spec is not None
    for machine in pair.machines:
        machine.write(PATH, text)
        machine.write(PATHS.drbd_res, render_drbd(replace(spec, major=8), PATHS).text)


def refused(machine: Machine, *words: str) -> str:
    done = machine.escadm("drbd", *words, check=False)
    assert done.code == 1, done
    return done.stderr


def drbd(machine: Machine, *words: str) -> str:
    return machine.escadm("drbd", *words).stdout


def wait_in_sync(pair: Pair) -> None:
    pair.wait_for(lambda: [volume.disks(each) for each in pair.machines] == BOTH, 120, "both UpToDate")
    assert "out-of-sync:0 " in pair.a.sh("drbdsetup events2 --now --statistics esc")


def test_blank_disks_need_no_copy(installed: Pair) -> None:
    """Nor do they have to be of one size. A pair of which one is not blank is copied."""
    pair = installed
    a, b = pair.machines
    for machine in pair.machines:
        machine.sh(f"dmsetup create data --table '0 {SIZES[machine.name]} linear {DISK} 0'")
    configure(pair, "/dev/mapper/data")
    a.sh("drbdadm up esc", check=False)  # a start before there is anything to start
    assert "/dev/mapper/data: blank; meta-data written" in drbd(a, "init")
    assert "blank; meta-data written" in drbd(b, "init")
    told = drbd(a, "init", "--primary")
    assert "both disks are blank: there is nothing to copy\n/dev/drbd1: ext4 made\n" in told
    wait_in_sync(pair)
    size = int(a.sh("cat /sys/block/drbd1/size")) * 512
    assert 0 < size < SIZES["b"] * 512
    for machine in pair.machines:
        machine.sh("drbdadm down esc")
    assert len({each.sh(f"head -c {size} /dev/mapper/data | sha256sum") for each in pair.machines}) == 1

    configure(
        pair, "/dev/mapper/data", f"  filesystem: {{device: {PACKAGES_DISK}}}\n"
    )  # a new one's discards are a copy, too
    for machine in pair.machines:
        machine.sh(f"dmsetup remove data; dmsetup create data --table '0 65536 linear {DISK} 98304'")
    b.sh("head -c 5000 /dev/urandom | dd of=/dev/mapper/data bs=1M seek=20 conv=notrunc,fsync status=none")
    assert "blank" in drbd(a, "init")
    assert "blank" not in drbd(b, "init")
    assert "on the other node once more: escadm drbd init" in drbd(b, "init", "--primary")
    assert volume.disks(a) == "Inconsistent/UpToDate"
    assert drbd(a, "init") == "already done: the volume is up\n"
    wait_in_sync(pair)
    found = {each.sh("dd if=/dev/mapper/data bs=1M skip=20 count=1 iflag=direct | sha256sum") for each in pair.machines}
    assert len(found) == 1


def test_the_power_goes_in_the_middle_of_drbd_init(installed: Pair) -> None:
    """On the node that prepares its disk, and on the one that begins the first copy: typed again, both go on."""
    pair = installed
    a, b = pair.machines
    configure(pair, DISK)
    a.sh(f"echo something | dd of={DISK} bs=1M seek=40 conv=notrunc,fsync status=none")  # not blank: there is a copy
    drbd(a, "init")
    in_the_background(b, "init")
    pair.wait_for(lambda: "drbd" in b.sh(f"blkid -p {DISK}", check=False), 60, "meta-data", poll=0.02)
    b.power_cut()
    b.power_on()
    drbd(b, "init")
    in_the_background(a, "init --primary")
    pair.wait_for(lambda: volume.role(a).startswith("Primary"), 60, "the source", poll=0.02)
    a.power_cut()
    a.power_on()
    assert f"{DISK}: the disk has DRBD's meta-data already" in drbd(a, "init")
    pair.wait_for(lambda: volume.connection(a) == "Connected", 60, "the copy to go on")
    drbd(a, "init", "--primary")
    wait_in_sync(pair)
    assert a.sh("drbdadm primary esc; blkid -p -s TYPE -o value /dev/drbd1; drbdadm secondary esc") == "ext4\n"


def in_the_background(machine: Machine, words: str) -> None:
    machine.sh(f"setsid escadm drbd {words} >/dev/null 2>&1 </dev/null &")


def test_an_existing_file_system_becomes_the_pairs(installed: Pair) -> None:
    """Whatever is typed where, and although the power goes in the middle of it."""
    pair = installed
    a, b = pair.machines
    configure(pair, DISK)
    a.sh(f"mkfs.ext4 -q {DISK}; mount {DISK} /mnt; echo precious >/mnt/file; umount /mnt")
    steps = re.search(
        r"unmounted: (.+), then (resize2fs .+); then the same again", refused(a, "init", f"--keep={DISK}")
    )
    assert steps is not None
    a.sh(f"{steps[1]} -p; {steps[2]}")
    assert "blank; meta-data written" in drbd(b, "init")
    a.sh("drbdadm create-md --force esc")  # so far --keep had come when the power went
    assert f"escadm drbd init --keep {DISK}" in refused(a, "init")
    assert f"{DISK}: what is on it is the pair's data from now on" in drbd(a, "init", "--keep", DISK)
    for machine in pair.machines:
        machine.sh("drbdadm disk-options --resync-rate=1M --c-plan-ahead=0 esc")
    pair.wait_for(lambda: volume.connection(b).endswith("SyncT"), 30, "the peer to be filled")
    assert drbd(b, "init", "--primary").startswith("already done")
    pair.wait_for(lambda: volume.connection(b) == "SyncTarget", 30, "the first copy")
    b.power_cut()
    b.power_on()
    assert f"{DISK}: the disk has DRBD's meta-data already" in drbd(b, "init")
    for machine in pair.machines:
        machine.sh("drbdadm adjust esc")
    wait_in_sync(pair)
    assert b.sh("drbdadm primary esc; mount /dev/drbd1 /mnt; cat /mnt/file; umount /mnt; drbdadm secondary esc") == (
        "precious\n"
    )
    decide(pair)


def decide(pair: Pair) -> None:
    """A split brain, and a peer that is lost, on a pair whose volume holds a file system."""
    a, b = pair.machines
    for machine in pair.machines:
        machine.sh("drbdadm disconnect esc; drbdadm disk-options --fencing=dont-care esc")
        machine.sh(f"drbdadm primary esc; mount /dev/drbd1 /mnt; echo here >/mnt/{machine.name}; umount /mnt")
        machine.sh("drbdadm secondary esc")
    for machine in pair.machines:
        machine.sh("drbdadm adjust esc", check=False)
    pair.wait_for(lambda: volume.connection(a) == "StandAlone", 30, "the split brain")
    told = drbd(b, "resolve", "--discard-local", "--yes", DISCARD)
    image = re.search(r"kept in (\S+)", told)
    assert image is not None
    assert drbd(a, "resolve", "--keep-local") == "the nodes are connected: the peer takes this node's data\n"
    wait_in_sync(pair)
    found = b.sh(f"stat -c %a {image[1]}; mount -o loop {image[1]} /mnt; ls /mnt; umount /mnt")
    assert found.split() == ["600", "b", "file", "lost+found"]
    assert "a\n" in b.sh("drbdadm primary esc; mount /dev/drbd1 /mnt; ls /mnt; umount /mnt; drbdadm secondary esc")

    for machine in pair.machines:
        machine.sh("drbdadm down esc")
    a.sh("drbdadm up esc")
    pair.wait_for(lambda: volume.disks(a) == "Consistent/DUnknown", 30, "data of which nobody knows")
    assert "UpToDate from now on" in drbd(a, "resolve", "--keep-local", "--yes", KEEP)
    assert (volume.disks(a), volume.role(a)) == ("UpToDate/DUnknown", "Secondary/Unknown")
    b.sh("drbdadm up esc")
    wait_in_sync(pair)
