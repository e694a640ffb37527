"""The secret of the nodes' keys: taken up by DRBD without an interruption, and what becomes of a node that lacks it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from escadm.paths import Paths
from escadm.render.drbd import PAIR_SECRET
from tests.vm import volume
from tests.vm.machine import Machine
from tests.vm.pair import Pair
from tests.vm.replicated import Scene, wait_healthy

PATHS = Paths()
AUTHENTICATED = "Peer authenticated using 32 bytes HMAC"


@pytest.fixture
def scene(ready: Pair) -> Iterator[Scene]:
    with Scene(ready) as scene:
        yield scene


def test_a_pair_takes_it_up_while_the_client_writes(scene: Scene) -> None:
    """As after an upgrade from a version that knows of none."""
    primary = scene.primary
    found = secret_of(scene)
    for machine in scene.pair.machines:
        assert machine.sh(f"stat -c %a {PATHS.drbd_res}") == "640\n"
        for told in (machine.read(PATHS.status), machine.read(PATHS.log)):
            assert told is not None
            assert found not in told
        assert machine.sh("escadm diff") == ""
    is_asked_for(scene)

    for machine in scene.pair.machines:
        lose(machine)
    for machine in scene.pair.machines:
        machine.sh("dmesg --clear")
    for machine in scene.pair.machines:
        next_agent(machine)
    assert secret_of(scene) == found
    scene.stays(3)
    assert "conn(" not in primary.sh("dmesg")
    assert primary.role == "MASTER"
    is_asked_for(scene)
    scene.healthy(primary=primary)


@pytest.mark.parametrize("loses", ["standby", "primary"])
def test_a_node_that_has_lost_it_is_refused_until_it_has_it_again(scene: Scene, loses: str) -> None:
    primary, machine = scene.primary, scene.primary if loses == "primary" else scene.standby
    found = secret_of(scene)
    for each in scene.pair.machines:
        each.sh("sysctl -w kernel.dmesg_restrict=1")  # as Debian's own kernels have it
    lose(machine)
    is_refused(scene, machine)
    next_agent(machine)
    assert secret_of(scene) == found
    wait_healthy(scene.pair)
    scene.healthy(primary=primary)


def test_an_old_file_under_a_running_agent_is_noticed_with_the_next_connection(scene: Scene) -> None:
    standby = scene.standby
    found = secret_of(scene)
    forget(standby)
    standby.sh("drbdadm disconnect esc; drbdadm connect esc")
    assert secret_of(scene) == found
    wait_healthy(scene.pair)
    scene.healthy(primary=scene.primary)


def test_what_an_administrator_has_disconnected_stays_so(scene: Scene) -> None:
    """A copy may be held back on purpose. A new agent does not connect it."""
    primary, standby = scene.primary, scene.standby
    secret_of(scene)
    standby.sh("drbdadm disconnect esc")
    scene.writes_on(primary)
    agents = [machine.read(PATHS.lock) for machine in scene.pair.machines]
    for machine in scene.pair.machines:
        next_agent(machine)
    for machine, agent in zip(scene.pair.machines, agents, strict=True):
        scene.pair.wait_for(lambda: machine.read(PATHS.lock) not in ("", None, agent), 30, "the next agent")  # noqa: B023
    scene.stays(8)
    assert volume.connection(standby) == "StandAlone"
    standby.sh("drbdadm connect esc")
    wait_healthy(scene.pair)
    scene.healthy(primary=primary)


def test_a_replaced_peer_gets_another_one(scene: Scene) -> None:
    primary, standby = scene.primary, scene.standby
    found = secret_of(scene)
    lose(standby)
    standby.sh(f"rm {PATHS.node_key} {PATHS.node_pub} {PATHS.peer_pub}")
    is_refused(scene, standby)
    next_agent(standby)
    scene.reads(primary, "with another key")
    primary.escadm("ha", "trust")
    assert secret_of(scene) != found
    wait_healthy(scene.pair)
    is_asked_for(scene)
    scene.healthy(primary=primary)


def lose(machine: Machine) -> None:
    """The node is as an older version leaves it, while its agent stands still."""
    machine.sh(f"kill -STOP $(cat {PATHS.lock})")
    forget(machine)


def forget(machine: Machine) -> None:
    """Somebody puts an old esc.res back."""
    text = machine.read(PATHS.drbd_res)
    assert text is not None
    machine.write(str(PATHS.drbd_res), PAIR_SECRET.sub("", text))
    machine.sh("drbdadm adjust esc")
    assert "shared-secret" not in machine.sh("drbdsetup show esc")


def next_agent(machine: Machine) -> None:
    """systemd begins it."""
    machine.sh(f"kill -KILL $(cat {PATHS.lock})")


def is_refused(scene: Scene, machine: Machine) -> None:
    """The node connects anew, without the secret."""
    other = scene.pair.other(machine)
    machine.sh("drbdadm disconnect esc; drbdadm connect esc")
    scene.pair.wait_for(lambda: volume.connection(other) == "StandAlone", 30, "the node to be refused")


def secret_of(scene: Scene) -> str:
    """What both nodes' DRBD goes by, once it is the same and written down."""

    def same() -> str | None:
        found = set()
        for machine in scene.pair.machines:
            used = re.search(r'shared-secret\s+"(\w+)";', machine.sh("drbdsetup show esc"))
            written = PAIR_SECRET.search(machine.read(PATHS.drbd_res) or "")
            found |= {used[1] if used else "", written[1] if written else ""}
        return found.pop() if len(found) == 1 else None

    return scene.pair.wait_for(same, 60, "one secret on both nodes") or ""


def is_asked_for(scene: Scene) -> None:
    """The standby, connected anew, says that the primary is who it says it is."""
    scene.standby.sh("dmesg --clear; drbdadm disconnect esc; drbdadm connect esc")
    wait_healthy(scene.pair)
    assert AUTHENTICATED in scene.standby.sh("dmesg")
