"""Faults of a replicated pair: who is the primary afterwards, what an administrator reads, and no row is lost.

Every test begins with a healthy pair whose replication has a cable of its own, and a client that writes through the
virtual address all the time.
"""

from __future__ import annotations

import time

import pytest

from tests.vm.replicated import MOUNT, Scene
from tests.vm.supply import GATEWAY
from tests.vm.uml import DATA_DISK as DISK

HELD_HANDLER = """\
touch /run/held
mv /usr/bin/escadm-fence-peer /usr/bin/escadm-fence-peer.real
cat >/usr/bin/escadm-fence-peer <<'END'
#!/bin/sh
while [ -e /run/held ]; do sleep 0.1; done
echo the handler ends >/dev/kmsg
exit 5
END
chmod 755 /usr/bin/escadm-fence-peer
"""
"""DRBD's handler answers, once a file is gone, what it would have answered before the volume went down."""

LOSSY_FOR = 40


# --- power ------------------------------------------------------------------------------------------------


def test_both_lose_power_and_one_comes_back_alone_then_the_other(scene: Scene) -> None:
    """Nobody knows whether its data is the newest: the one that is alone waits. Together they know."""
    primary, standby = scene.primary, scene.standby
    scene.cut(primary, standby)
    scene.start(standby)
    scene.reads(standby, "whether it is the newest only the peer knows")
    scene.stays_down(standby)
    scene.start(primary)
    scene.healthy()


def test_the_one_that_has_newer_data_knows_and_the_other_one_waits(scene: Scene) -> None:
    """The old primary, back alone, must not serve what it has; the new one, back alone, may."""
    old, new = scene.primary, scene.standby
    scene.cut(old)
    scene.writes_on(new)
    scene.cut(new)
    scene.start(old)
    scene.reads(old, "whether it is the newest only the peer knows")
    scene.stays_down(old)
    scene.cut(old)
    scene.start(new)
    scene.writes_on(new)
    scene.start(old)
    scene.healthy(primary=new)


def test_the_peer_is_lost_for_good(scene: Scene) -> None:
    """An administrator may declare the data of the node that is left the good one, by a command that says so."""
    primary, standby = scene.primary, scene.standby
    scene.cut(primary, standby)
    scene.start(primary)
    scene.reads(primary, "escadm drbd resolve --keep-local")
    scene.stays_down(primary)
    primary.escadm("drbd", "resolve", "--keep-local", "--yes", "keep the data of this node")
    scene.writes_on(primary)
    scene.start(standby)
    scene.healthy(primary=primary)


@pytest.mark.parametrize("which", ["primary", "standby"])
def test_power_cut_in_the_middle_of_a_resync(scene: Scene, which: str) -> None:
    primary, standby = scene.primary, scene.standby
    scene.begin_resync()
    if which == "standby":
        scene.cut(standby)
        scene.writes_on(primary)
        scene.start(standby)
    else:
        scene.cut(primary)
        scene.reads(standby, "its data is Inconsistent")
        scene.stays_down(standby)
        scene.start(primary)
    scene.healthy(primary=primary)


@pytest.mark.parametrize("step", ["drbd:master: starting", "pgsql: starting"])
def test_power_cut_in_the_middle_of_a_takeover(scene: Scene, step: str) -> None:
    old, new = scene.primary, scene.standby
    scene.mark(new)
    scene.cut(old)
    scene.wait_log(new, step)
    scene.cut(new)
    scene.start(old, new)
    scene.healthy()


@pytest.mark.parametrize("step", ["pgsql: stopping", "drbd:master: stopping"])
def test_power_cut_in_the_middle_of_giving_the_role_up(scene: Scene, step: str) -> None:
    old, new = scene.primary, scene.standby
    scene.mark(old)
    old.sh("setsid escadm switchover >/dev/null 2>&1 &")
    scene.wait_log(old, step)
    scene.cut(old)
    scene.writes_on(new)
    scene.start(old)
    scene.healthy(primary=new)


# --- cables -----------------------------------------------------------------------------------------------


def test_the_replication_link_alone_is_cut(scene: Scene) -> None:
    """The primary goes on; the standby outdates its data and never serves it, also when the primary dies."""
    primary, standby = scene.primary, scene.standby
    scene.pair.partition("eth1")
    scene.reads(standby, "its data is Outdated")
    scene.writes_on(primary)
    scene.reads(primary, "replication is not connected")
    scene.refuses_switchover("its data is Outdated")
    scene.cut(primary)
    scene.reads(standby, "its data is Outdated")
    scene.stays_down(standby)
    scene.pair.heal()
    scene.start(primary)
    scene.healthy(primary=primary)


def test_the_primary_is_cut_off_from_everybody_with_a_gateway(scene: Scene) -> None:
    """It gives the role up, the standby takes it, and when the cables are back the old one follows by itself."""
    old, new = scene.primary, scene.standby
    scene.pair.isolate(old)
    scene.writes_on(new)
    scene.pair.wait_for(lambda: old.role == "FAULT", 60, "the old primary's fault")
    assert not old.has_address(scene.vip)
    scene.reads(old, "neither the peer nor the gateway can be reached")
    scene.pair.heal()
    scene.healthy(primary=new)


@pytest.mark.one_release
def test_the_volume_stays_up_while_drbd_waits_for_an_answer(scene: Scene) -> None:
    """DRBD 8.4 takes a late answer to its question after the peer for one about a volume that is gone: a panic."""
    old, new = scene.primary, scene.standby
    old.sh(HELD_HANDLER)
    scene.pair.isolate(old)
    scene.writes_on(new)
    scene.reads(old, "cannot take the volume down: DRBD waits for what it asked about a peer")
    old.sh("rm /run/held")
    scene.pair.heal()
    scene.healthy(primary=new)


def test_the_standby_is_cut_off_from_everybody_with_a_gateway(scene: Scene) -> None:
    primary, standby = scene.primary, scene.standby
    scene.pair.isolate(standby)
    scene.reads(standby, "neither the peer nor the gateway can be reached")
    scene.writes_on(primary)
    scene.pair.wait_for(lambda: standby.role == "FAULT", 30, "the standby's fault")
    assert not standby.has_address(scene.vip)
    scene.pair.heal()
    scene.healthy(primary=primary)


def test_a_standby_that_was_cut_off_does_not_serve_what_it_has_once_the_primary_is_dead(scene: Scene) -> None:
    """The primary went on without it, and nobody is left to say so. Its rows are there again once it is back."""
    primary, standby = scene.primary, scene.standby
    scene.pair.isolate(standby)
    scene.reads(standby, "its data is Outdated: the peer has newer data, or may have")
    scene.writes_on(primary)
    scene.cut(primary)
    scene.mark(standby)
    scene.pair.heal()
    scene.wait_log(standby, f"gateway {GATEWAY} answers")
    scene.stays_down(standby)
    scene.start(primary)
    scene.healthy(primary=primary)


def test_vrrp_alone_is_cut(scene: Scene) -> None:
    """The standby hears the primary on the other path, and keeps out of the way."""
    primary, standby = scene.primary, scene.standby
    scene.pair.partition("eth0")
    scene.reads(standby, "has the role and can be heard, but VRRP does not hear it", limit=90)
    scene.pair.wait_for(lambda: not standby.has_address(scene.vip), 30, "the address to go")
    scene.writes_on(primary)
    scene.pair.heal()
    scene.healthy(primary=primary)


@pytest.mark.one_release
def test_one_way_silence_without_a_gateway(scene: Scene) -> None:
    """The standby hears nothing and takes the role; the primary hears it say so, and that it is not heard itself."""
    old, new = scene.primary, scene.standby
    for machine in scene.pair.machines:
        scene.set(machine, "resources.keepalived.gateway", [])
        machine.escadm("reload")
    scene.pair.silence(old, new)
    scene.writes_on(new)
    scene.pair.wait_for(lambda: old.role != "MASTER", 30, "the end of the old primary's role")
    assert not old.has_address(scene.vip)
    scene.pair.heal()
    scene.healthy(primary=new)


@pytest.mark.parametrize("percent", [30, 70])
def test_the_path_of_vrrp_loses_packets(scene: Scene, percent: int) -> None:
    """keepalived takes the peer for dead again and again; the other path says that it is not: one set of services."""
    scene.watch()
    for machine in scene.pair.machines:
        machine.sh(f"modprobe sch_netem; tc qdisc add dev eth0 root netem loss {percent}%")
    time.sleep(LOSSY_FOR)
    for machine in scene.pair.machines:
        machine.sh("tc qdisc del dev eth0 root")
    assert scene.watched() > LOSSY_FOR, "the database has run for a tenth of the time at least"
    scene.healthy()


def test_the_clients_network_of_the_primary_is_dead(scene: Scene) -> None:
    """It cannot reach the gateway, the standby can, and both hear each other over the replication link."""
    old, new = scene.primary, scene.standby
    scene.pair.isolate(old, "eth0")
    scene.writes_on(new)
    scene.pair.heal()
    scene.healthy(primary=new)


def test_the_gateway_itself_is_dead(scene: Scene) -> None:
    """Both miss it, the one a second before the other: that moves nothing."""
    primary, standby = scene.primary, scene.standby
    changes = len(primary.status()["history"])
    scene.pair.client("ip", "address", "del", f"{GATEWAY}/11", "dev", "eth0")
    for machine in scene.pair.machines:
        scene.reads(machine, "the gateway cannot be reached")
    scene.stays(8)
    assert len(primary.status()["history"]) == changes
    scene.refuses_switchover("the gateway cannot be reached")
    scene.pair.client("ip", "address", "add", f"{GATEWAY}/11", "dev", "eth0")
    scene.healthy(primary=primary)
    assert standby.role == "BACKUP"


# --- disks, modules, files --------------------------------------------------------------------------------


def test_a_process_sits_in_the_mount(scene: Scene) -> None:
    old, new = scene.primary, scene.standby
    deaf = "trap '' TERM INT HUP; while :; do sleep 100; done"
    old.sh(f'cd {MOUNT} && setsid sh -c "{deaf}" >/dev/null 2>&1 </dev/null &')
    old.escadm("switchover")
    scene.writes_on(new)
    scene.healthy(primary=new)


def test_the_primarys_disk_fails(scene: Scene) -> None:
    """DRBD lets the disk go and works on over the standby's, and the role goes to the node that has a disk."""
    standby, primary = scene.primary, scene.standby
    scene.put_disk_on_mapper(primary)
    standby.escadm("switchover")
    scene.writes_on(primary)
    error = f'0 "$(blockdev --getsz {DISK})" error'
    primary.sh(f"echo {error} | dmsetup load data; dmsetup suspend data; dmsetup resume data")
    scene.writes_on(standby)
    scene.reads(primary, "Diskless")
    primary.sh(f'echo 0 "$(blockdev --getsz {DISK})" linear {DISK} 0 | dmsetup load data; dmsetup resume data')
    primary.escadm("restart", check=False)
    scene.healthy(primary=standby)


def test_the_module_is_missing(scene: Scene) -> None:
    primary, standby = scene.primary, scene.standby
    module = "/lib/modules/$(uname -r)/kernel/drivers/block/drbd/drbd.ko"
    standby.sh(f"escadm stop; rmmod drbd; mv {module} /root; depmod")
    standby.escadm("start", check=False)
    scene.reads(standby, "this kernel has no DRBD (module drbd)")
    scene.reads(primary, "is not fit")
    scene.refuses_switchover("is not fit")
    scene.writes_on(primary)
    standby.sh(f"mv /root/drbd.ko {module}; depmod; modprobe drbd")  # the agent may load no modules
    standby.escadm("start", check=False)
    scene.healthy(primary=primary)


def test_the_peer_has_another_volume_configured(scene: Scene) -> None:
    primary, standby = scene.primary, scene.standby
    scene.set(standby, "resources.drbd.port", 7799)
    standby.escadm("restart", check=False)
    scene.reads(primary, "is configured differently: drbd")
    scene.reads(standby, "replication is not connected")
    scene.writes_on(primary)
    scene.set(standby, "resources.drbd.port", None)
    standby.escadm("restart", check=False)
    scene.healthy(primary=primary)


# --- split brain ------------------------------------------------------------------------------------------


def test_split_brain_is_made_told_and_resolved(scene: Scene) -> None:
    """Without a gateway both become primary. Nothing is thrown away until somebody says whose data goes."""
    first, second = scene.primary, scene.standby
    for machine in scene.pair.machines:
        scene.set(machine, "resources.keepalived.gateway", None)
        machine.escadm("reload")
    scene.pair.isolate(first)
    scene.writes_on(second)
    assert first.role == "MASTER"
    first.sh("su postgres -c \"psql -h /tmp -qc 'insert into rows values (-1)'\"")
    scene.pair.heal()
    loser = scene.split()
    health = loser.escadm("health", check=False).stdout
    for words in (
        "generation",
        "last write",
        "escadm drbd resolve --discard-local",
        "escadm drbd resolve --keep-local",
    ):
        assert words in health
    winner = scene.pair.other(loser)
    loser.escadm("drbd", "resolve", "--discard-local", "--yes", "discard the data of this node")
    winner.escadm("drbd", "resolve", "--keep-local")
    scene.healthy(primary=winner, counted=winner is second)
    assert loser.sh("ls /var/lib/escadm/").startswith("discarded-")
