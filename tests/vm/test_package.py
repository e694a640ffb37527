"""The package on a pair that works: the next version, taken off, purged, and put on again."""

from __future__ import annotations

import time

import pytest

from tests.packaging.deb import source_version
from tests.vm.answers import Answers
from tests.vm.conftest import Measured
from tests.vm.machine import PATHS, Machine
from tests.vm.packages import NEXT
from tests.vm.pair import VIP, Pair
from tests.vm.replicated import CONFIG, MOUNT, PATH, Scene, text_of, wait_healthy
from tests.vm.supply import GATEWAY


def test_the_next_version_on_a_running_pair(ready: Pair, measured: Measured) -> None:
    """As docs/how-to/upgrade-a-pair.md has it: no answer is lost, no service starts anew."""
    with Scene(ready) as scene, Answers(ready) as answers:
        begin, before = time.monotonic(), processes(scene.primary)
        old = scene.primary.escadm("version").stdout
        assert source_version() in old
        for machine in (scene.standby, scene.primary):
            agent = machine.read(PATHS.lock)
            machine.install(NEXT)
            assert machine.read(PATHS.lock) != agent
            assert wait_healthy(ready) == (scene.primary, scene.standby)
            assert machine.escadm("version").stdout != old
            told = machine.escadm("health", check=False)
            assert told.code == 0, told.stdout
        assert processes(scene.primary) == before
        assert answers.heard > 0
        assert answers.lost() == 0
        measured("upgrade of both nodes: longest time without a commit", scene.client.longest_gap(begin))
        scene.healthy(primary=scene.primary)


@pytest.mark.long
def test_the_package_is_removed_and_comes_back(ready: Pair) -> None:
    """Removed: the peer takes over, nothing of ours runs. Purged: the data is left, and is the pair's again; the node
    has another key, which the peer is told to accept."""
    with Scene(ready) as scene:
        old, new = scene.primary, scene.standby
        old.sh("dpkg --remove escadm", timeout=120)
        scene.writes_on(new)
        assert_nothing_runs(old)
        assert old.read(PATH) is not None
        assert "DRBD" in old.sh("drbdadm --version; file=/etc/drbd.d/esc.res; test -s $file; cat $file")
        old.install()
        old.escadm("restart")
        assert wait_healthy(ready) == (new, old)

        old.sh("dpkg --purge escadm", timeout=120)
        assert_nothing_runs(old)
        assert old.read(PATH) is None
        assert old.read(PATHS.drbd_res) is None
        old.install()
        old.write(PATH, CONFIG)
        nodes = [machine.cross_address for machine in ready.machines]
        unicast = ["--kad_unicast_src_ip=", old.address, "--kad_unicast_peer=", new.address]
        names = ["--ha_node_list=", *nodes, *unicast, "--gateway=", GATEWAY]
        told = old.escadm("ha", "set", "--kad_vip=", VIP, "--kad_vif=", "eth0", *names).stdout
        assert "systemctl enable esc_service" in told
        old.escadm("reload")
        old.escadm("restart")
        ready.wait_for(lambda: "escadm ha trust" in text_of(new), 60, "a stranger at the peer's address")
        assert "from now on" in new.escadm("ha", "trust").stdout
        scene.healthy(primary=new)


def processes(machine: Machine) -> dict[str, int]:
    """The leading process of each resource that has one."""
    return {each["name"]: each["pgid"] for each in machine.published()["resources"] if each["pgid"]}


def assert_nothing_runs(machine: Machine) -> None:
    """No process, no mount, no virtual address, no role."""
    assert machine.sh("find /sys/fs/cgroup/esc.slice -name cgroup.procs -exec cat {} + 2>/dev/null", check=False) == ""
    assert machine.sh("pgrep -a 'keepalived|postgres|escadm'", check=False) == ""
    assert MOUNT not in machine.sh("cat /proc/mounts")
    assert not machine.has_address(VIP)
    assert "esc" not in machine.sh("drbdsetup status", check=False)
