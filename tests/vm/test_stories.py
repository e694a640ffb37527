"""Several faults of a replicated pair in a row: what the search of tests/model looks for, on machines.

Every test begins with a healthy pair whose replication has a cable of its own, and a client that writes through the
virtual address all the time.
"""

from __future__ import annotations

import time

import pytest

from tests.vm import volume
from tests.vm.machine import Machine
from tests.vm.replicated import MOUNT, Scene
from tests.vm.supply import GATEWAY

DECIDES = 12
"""Seconds: a node that takes its peer for dead has the role by then, and its database runs."""
OUTDATED = "its data is Outdated: the peer has newer data, or may have"
RARELY = 3
"""Seconds between two adverts: the election takes three times as long, so that the cut comes before it."""
CUT_OFF = "neither the peer nor the gateway can be reached"


def both_cut_off(scene: Scene, primary: Machine) -> None:
    """Nobody hears anybody; the primary gives the role up."""
    scene.pair.isolate_both()
    scene.pair.wait_for(lambda: primary.role == "FAULT", 30, f"the fault of {primary.hostname}")
    assert not primary.has_address(scene.vip)


def vrrp_alone_is_whole_first(scene: Scene, serves: Machine, other: Machine) -> None:
    """Both are cut off. Once the nodes hear each other, the one with the newer data serves, then and afterwards."""
    both_cut_off(scene, serves)
    scene.pair.heal("eth0")
    scene.writes_on(serves)
    scene.stays_down(other)
    scene.pair.heal()
    scene.healthy(primary=serves)
    one_served(scene)


def one_served(scene: Scene) -> None:
    """Never both at a time since ``watch``, and DRBD has not found that the data had parted."""
    assert scene.watched(), "the watch sees the database"
    scene.never_split()


@pytest.mark.parametrize("whose", ["standby", "primary"])
def test_a_standby_that_was_cut_off_is_told_to_serve_and_then_the_primary_is_back(scene: Scene, whose: str) -> None:
    """It has lost what the primary wrote alone; the primary has that, and lacks what was written since: a split."""
    primary, standby = scene.primary, scene.standby
    cut_off = time.monotonic()
    scene.pair.isolate(standby)
    scene.reads(standby, OUTDATED)
    scene.writes_on(primary)
    primary.sh(f"echo alone >{MOUNT}/note; sync {MOUNT}/note")
    scene.cut(primary)
    dead = time.monotonic()

    scene.mark(standby)
    scene.pair.heal()
    scene.wait_log(standby, f"gateway {GATEWAY} answers")
    scene.reads(standby, OUTDATED)
    scene.stays_down(standby)
    told = time.monotonic()
    standby.escadm("drbd", "resolve", "--keep-local", "--yes", "keep the data of this node")
    scene.writes_on(standby)
    standby.sh(f"echo told >{MOUNT}/note; sync {MOUNT}/note")

    scene.start(primary)
    assert scene.split() is primary
    scene.writes_on(standby)
    keeps, goes = (standby, primary) if whose == "standby" else (primary, standby)
    if goes is standby:
        goes.escadm("switchover", "--force", check=False)  # nobody can take it: that is said, and the role is left
        scene.stays_down(goes, 4)
    resolved = time.monotonic()
    goes.escadm("drbd", "resolve", "--discard-local", "--yes", "discard the data of this node")
    keeps.escadm("drbd", "resolve", "--keep-local")
    scene.healthy(counted=False)
    begin, end = (cut_off, dead) if goes is primary else (told, resolved)
    lost = scene.client.lost()
    assert lost
    assert all(begin < row.acknowledged and row.sent < end for row in lost), "what the other one wrote is there"
    # with its journal: the power went before all of it was where it belongs
    kept = goes.sh("mount -o loop /var/lib/escadm/discarded-*.img /mnt; cat /mnt/note; umount /mnt")
    assert kept.strip() == ("alone" if goes is primary else "told")


def test_the_one_that_went_on_alone_is_cut_off_as_well_and_then_vrrp_alone_is_whole(scene: Scene) -> None:
    """The standby has outdated its data: the other one serves, whoever VRRP would choose."""
    primary, standby = scene.primary, scene.standby
    scene.watch()
    scene.pair.isolate(standby)
    scene.reads(standby, OUTDATED)
    scene.writes_on(primary)
    vrrp_alone_is_whole_first(scene, primary, standby)


def test_the_same_where_the_first_cut_comes_before_anybody_has_the_role(scene: Scene) -> None:
    """The one that is cut off knows of no primary, and has not outdated its data when the two hear each other again.

    It asks for the role, as VRRP prefers it; the other one has the newer data.
    """
    alone, preferred = scene.pair.a, scene.pair.b
    for machine in (scene.standby, scene.primary):
        machine.escadm("stop")
    for machine in scene.pair.machines:
        scene.set(machine, "resources.keepalived.advert_interval", RARELY)
        machine.escadm("reload")
    scene.watch()
    for machine in scene.pair.machines:
        machine.sh("setsid escadm start >/dev/null 2>&1 </dev/null &")
    both = ["UpToDate/UpToDate"] * 2
    scene.pair.wait_for(lambda: [volume.disks(each) for each in scene.pair.machines] == both, 30, "disks UpToDate")
    scene.pair.isolate(preferred)
    assert volume.role(alone) == "Secondary/Secondary"

    scene.writes_on(alone)
    assert volume.disks(alone) == "UpToDate/Outdated"
    scene.reads(preferred, CUT_OFF)
    assert volume.disks(preferred) == "UpToDate/DUnknown"
    vrrp_alone_is_whole_first(scene, alone, preferred)


def test_the_primary_is_cut_off_for_a_moment_and_then_the_standby(scene: Scene) -> None:
    """Both have an answer of the gateway's that is newer than the other one's last word: the standby's is too old.

    The primary goes on, or gives the role up where its machine is so busy that it misses one answer more.
    """
    primary, standby = scene.primary, scene.standby
    scene.watch()
    scene.answered(primary)
    time.sleep(0.5)
    standby.sh("pkill -x ping")  # the agent asks again a second later: half a second after the primary's does
    scene.answered(standby)
    scene.answered(primary)
    scene.pair.isolate(primary)
    time.sleep(1)
    scene.answered(standby)
    scene.pair.isolate(standby)
    scene.stays_down(standby, DECIDES)
    scene.pair.heal()
    scene.healthy()
    one_served(scene)
