"""What the node tells of its data: keepalived by the fitness, everybody by the snapshot."""

import json
from ipaddress import ip_address

from escadm.agent.drivers.driver import Driver, Post
from escadm.core.drbd.state import Replica
from escadm.core.lifecycle import FAILURE_LIMIT, Event
from escadm.core.peer import LONGEST_REASON
from escadm.core.plan import Plan, Unit
from escadm.core.rules.trouble import failing
from escadm.core.specs import DrbdSpec, KeepalivedSpec, Kind
from escadm.core.states import UnitState
from escadm.paths import Paths
from tests.unit.agent.world import OBEDIENT, Scripted, ScriptedNode, run, wait_for

VRRP = KeepalivedSpec(ip_address("192.0.2.10"), "nosuch0", "nosuch0", 51)
DRBD = DrbdSpec((ip_address("192.0.2.1"), ip_address("192.0.2.2")), "/dev/vdb", "/dev/drbd1", 7789)
VOLUME = Unit("drbd", Kind.DRBD, spec=DRBD)
FINE = Replica("Secondary", "Connected", "Secondary", "UpToDate", "UpToDate", "Established", 0, 1 << 20)
OLD = Replica("Secondary", "Connecting", "Unknown", "Outdated", "DUnknown", "Off", 0, 1 << 20)


class Drivers:
    """The volume comes up when the test says so."""

    def __init__(self) -> None:
        self.made: list[Scripted] = []

    def __call__(self, unit: Unit, post: Post) -> Driver:
        self.made.append(Scripted(post, {**OBEDIENT, "start": None}, []))
        return self.made[-1]


def test_data_that_was_not_looked_at_is_not_offered_to_the_election(paths: Paths) -> None:
    async def work() -> None:
        drivers = Drivers()
        node = ScriptedNode(paths, Plan({"drbd": VOLUME}, VRRP, DRBD), drivers)
        await wait_for(lambda: node.stage.state("drbd") is UnitState.STARTING)
        await wait_for(paths.fitness.exists)
        assert paths.fitness.read_text() == "-254\n"
        drivers.made[0].post(Event.READY, "")
        await node.turns.until(lambda: node.stage.state("drbd") is UnitState.RUNNING)
        await node.turns.until(lambda: True)
        assert paths.fitness.read_text() == "-254\n"
        assert json.loads(paths.status.read_text())["replication"] is None
        node.inputs._on_replica(FINE)
        await wait_for(lambda: paths.fitness.read_text() == "0\n")
        node.inputs._on_replica(OLD)
        await wait_for(lambda: paths.fitness.read_text() == "-254\n")
        told = json.loads(paths.status.read_text())
        assert told["replication"]["disk"] == "Outdated"
        assert [each["detail"] for each in told["resources"]] == [
            "its data is Outdated: the peer has newer data, or may have: "
            "start the peer, or, if it is lost for good: escadm drbd resolve --keep-local"
        ]
        await node.stop_for_good()
        node.end()

    run(work())


def test_an_agent_that_takes_over_says_nothing_new_of_data_it_has_not_looked_at(paths: Paths) -> None:
    """keepalived goes by what the agent of before has written."""

    async def work() -> None:
        drivers = Drivers()
        node = ScriptedNode(paths, Plan({"drbd": VOLUME}, VRRP, DRBD), drivers)
        await wait_for(lambda: node.stage.state("drbd") is UnitState.STARTING)
        drivers.made[0].post(Event.READY, "")
        await node.turns.until(lambda: node.stage.state("drbd") is UnitState.RUNNING)
        paths.fitness.write_text("0\n")
        node.outputs.told_fit = None
        await node.turns.until(lambda: True)
        assert paths.fitness.read_text() == "0\n"
        node.inputs._on_replica(OLD)
        await wait_for(lambda: paths.fitness.read_text() == "-254\n")
        await node.stop_for_good()
        node.end()

    run(work())


def test_the_peer_is_told_once_and_shortly_why_the_volume_does_not_come_up(paths: Paths) -> None:
    async def work() -> None:
        drivers = Drivers()
        node = ScriptedNode(paths, Plan({"drbd": VOLUME}, VRRP, DRBD), drivers)
        await wait_for(lambda: node.stage.state("drbd") is UnitState.STARTING)
        for _ in range(FAILURE_LIMIT):
            node.stage.apply("drbd", Event.EXITED, "cannot bring the volume up: " + "x" * 5000)
            await wait_for(lambda: node.stage.state("drbd") in (UnitState.BACKOFF, UnitState.FAILED))
            node.stage.apply("drbd", Event.TIMEOUT)
            await wait_for(lambda: node.stage.state("drbd") is UnitState.STARTING)
        assert failing(node.situation()) == ["drbd"]
        reasons = list(node.decision.message.reasons)
        assert reasons == [f"drbd cannot bring the volume up: {'x' * 5000}"[:LONGEST_REASON]]
        drivers.made[-1].post(Event.READY, "")
        await node.stop_for_good()
        node.end()

    run(work())


def test_a_feed_that_closes_leaves_no_state_behind_and_is_no_loss_of_the_volume(paths: Paths) -> None:
    async def work() -> None:
        drivers = Drivers()
        node = ScriptedNode(paths, Plan({"drbd": VOLUME}, VRRP, DRBD), drivers)
        await wait_for(lambda: node.stage.state("drbd") is UnitState.STARTING)
        drivers.made[0].post(Event.READY, "")
        await node.turns.until(lambda: node.stage.state("drbd") is UnitState.RUNNING)
        node.inputs._on_replica(FINE)
        assert not node.inputs.volume.is_open
        node.inputs._on_replica(None)
        await node.turns.until(lambda: True)
        assert node.inputs.replica is None
        assert node.stage.state("drbd") is UnitState.RUNNING
        assert json.loads(paths.status.read_text())["replication"] is None
        await node.stop_for_good()
        node.end()

    run(work())
