"""What the node does about a lost peer. DRBD is the test's own: what it is told to do shows in what is seen of it."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from ipaddress import ip_address

import pytest

from escadm.agent.inputs import inputs as inputs_module
from escadm.agent.outputs import data_acts
from escadm.agent.outputs.memory import load
from escadm.agent.requests import fence_peer
from escadm.agent.requests.fence_peer import ask_for_peer
from escadm.agent.requests.verbs import Verbs
from escadm.cli.fence_peer import EXIT_CODES
from escadm.core.drbd.evidence import Evidence
from escadm.core.drbd.fencing import ISOLATED, UNCERTAIN, Answer, waits
from escadm.core.drbd.state import Gate, Replica
from escadm.core.lifecycle import Event
from escadm.core.plan import Plan, Unit
from escadm.core.role import Peer
from escadm.core.rules import role as role_rules
from escadm.core.rules.data import asks_for_peer, why_lost
from escadm.core.rules.trouble import unfit_data
from escadm.core.situation import Kept
from escadm.core.specs import DrbdSpec, KeepalivedSpec, Kind
from escadm.core.states import Role, UnitState, Vrrp
from escadm.core.trust import Acquaintance
from escadm.errors import Failed
from escadm.paths import Paths
from escadm.system.host import Host
from tests.unit.agent.test_node import Stubs
from tests.unit.agent.world import LIMIT, ScriptedNode, plan, run, status, unit, wait_for

LOW, HIGH = ip_address("192.0.2.8"), ip_address("192.0.2.9")
VRRP = KeepalivedSpec(ip_address("192.0.2.1"), "lo", "lo", 51)
DRBD = DrbdSpec((LOW, HIGH), "/dev/vdb", "/dev/drbd1", 7789)

ALONE = Replica("Secondary", "Connecting", "Unknown", "UpToDate", "DUnknown")
STANDBY = replace(ALONE, connection="Connected", peer_role="Primary", peer_disk="UpToDate")
PRIMARY = replace(ALONE, role="Primary")
FROZEN = replace(PRIMARY, suspended="fencing")

GONE = (Event.GONE, "")

SILENT = Peer(str(HIGH))


def heard(
    role: str = "Secondary", disk: str = "UpToDate", connection: str = "Connecting", *, asks: bool = False
) -> Peer:
    return Peer(str(HIGH), heard=True, vrrp=Vrrp.BACKUP, replica=Evidence(role, connection, disk), asks=asks)


FAR = Peer(str(HIGH), heard=True, vrrp=Vrrp.MASTER, role=Role.MASTER)


def pair() -> Plan:
    base = plan(
        unit("keepalived", kind=Kind.KEEPALIVED, spec=VRRP),
        Unit("keepalived:master", Kind.CONDITION, ("keepalived",)),
        Unit("drbd", Kind.DRBD, spec=DRBD),
        Unit("drbd:master", Kind.PROMOTION, ("drbd", "keepalived:master")),
        unit("pgsql", needs=("drbd:master",)),
    )
    return replace(base, keepalived=VRRP, drbd=DRBD)


class Link:
    """What the agents' datagrams have told."""

    heard_at: float | None = None

    def __init__(self) -> None:
        self.peer = SILENT

    def say(self) -> None: ...

    def acquaintance(self) -> Acquaintance:
        return Acquaintance(self.peer.address, self.peer.heard)

    def age(self) -> None:
        self.peer = replace(self.peer, stale=self.peer.heard)

    def close(self) -> None: ...


class Lost:
    """A node, its DRBD and its voices. ``done``: what DRBD was told to do."""

    def __init__(self, node: ScriptedNode, stubs: Stubs) -> None:
        self.node, self.stubs, self.link = node, stubs, Link()
        self.node.inputs.link = self.link  # type: ignore[assignment]
        self.loop = asyncio.get_running_loop()
        self.done: list[str] = []
        self.refusals: list[Failed] = []
        self.unseen = False

    def hear(self, peer: Peer) -> None:
        self.link.peer = peer
        self.node.turns.wake()

    def gateway(self, reached: bool | None) -> None:
        self.node.inputs.gateway.reached = reached
        self.node.inputs.gateway.answered_at = asyncio.get_running_loop().time() if reached else None
        self.node.turns.wake()

    def see(self, replica: Replica) -> None:
        self.node.inputs._on_replica(replica)

    def outdate(self) -> None:
        self._do("outdate", replace(self.seen, disk="Outdated"))

    def abandon(self) -> None:
        self._do("abandon", replace(self.seen, disk="Diskless", suspended=""))

    def asks(self) -> bool:
        return asks_for_peer(self.node.situation())

    def role(self) -> Role | None:
        return self.node.role

    @property
    def seen(self) -> Replica:
        assert self.node.inputs.replica is not None
        return self.node.inputs.replica

    def _do(self, what: str, then: Replica) -> None:
        """In a thread, as the node does it."""
        self.done.append(what)
        if self.refusals:
            raise self.refusals.pop()
        if not self.unseen:
            self.loop.call_soon_threadsafe(self.see, then)

    async def turns(self, count: int = 5) -> None:
        for _ in range(count):
            await self.node.turns.until(lambda: True)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What counts after seconds counts after hundredths; and the agent has listened for long enough."""
    monkeypatch.setattr(fence_peer, "ANSWERS_WITHIN", 0.05)
    monkeypatch.setattr(role_rules, "HOLDS_AFTER", 0.05)
    monkeypatch.setattr(data_acts, "ACTS_AGAIN", 0.05)
    monkeypatch.setattr(inputs_module, "SURE_AFTER", 0.0)
    yield


@asynccontextmanager
async def losing(paths: Paths, monkeypatch: pytest.MonkeyPatch, replica: Replica) -> AsyncIterator[Lost]:
    """A standby, or a primary where ``replica`` is one, that sees ``replica`` and hears nobody."""
    stubs = Stubs()
    node = ScriptedNode(paths, pair(), stubs)
    lost = Lost(node, stubs)
    monkeypatch.setattr(data_acts, "outdate", lost.outdate)
    monkeypatch.setattr(data_acts, "abandon", lost.abandon)
    node.inputs._on_vrrp(Vrrp.MASTER if replica.is_primary else Vrrp.BACKUP)
    await wait_for(lambda: node.decision.is_settled)
    lost.see(replica)
    await lost.turns()
    try:
        yield lost
    finally:
        await node.stop_for_good()
        node.end()


def why_given_up(kept: Kept) -> str:
    """Why the role is given up, as a sentence."""
    return kept.release.sentence if kept.release else ""


# --- DRBD's question ---------------------------------------------------------------------------------------


def test_a_primary_waits_for_the_truth_however_long_it_takes(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        async with losing(paths, monkeypatch, FROZEN) as lost:
            lost.gateway(True)
            lost.hear(heard())
            question = asyncio.create_task(ask_for_peer(lost.node))
            await asyncio.wait([question], timeout=fence_peer.ANSWERS_WITHIN * 3)
            assert not question.done()
            assert lost.asks(), "so that the peer outdates itself"
            lost.hear(heard(disk="Outdated"))
            assert await question is Answer.OUTDATED
            lost.see(replace(PRIMARY, peer_disk="Outdated"))
            assert not lost.asks()
            assert not lost.done

    run(work())


def test_a_gateway_that_was_gone_says_nothing_of_a_peer_that_is_still_silent(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This node was cut off, and somebody else has judged its silence meanwhile."""

    async def work() -> None:
        monkeypatch.setattr(fence_peer, "ANSWERS_WITHIN", LIMIT)
        async with losing(paths, monkeypatch, replace(ALONE, disk="Consistent")) as lost:
            lost.gateway(False)
            question = asyncio.create_task(ask_for_peer(lost.node))
            await lost.turns()
            lost.gateway(True)
            await lost.turns()
            assert not question.done()
            lost.hear(heard(disk="Outdated"))
            assert await question is Answer.OUTDATED

    run(work())


def test_a_gateway_that_was_not_heard_yet_is_not_the_same_as_none(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a reload that names another one."""

    async def work() -> None:
        async with losing(paths, monkeypatch, FROZEN) as lost:
            monkeypatch.setattr(lost.node.inputs.gateway, "_addresses", (LOW,))
            question = asyncio.create_task(ask_for_peer(lost.node))
            await lost.turns()
            assert not question.done()
            lost.gateway(True)
            assert await question is Answer.DEAD

    run(work())


def test_a_gateway_that_answered_before_the_peer_was_missed_has_to_answer_again(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This node may have lost its own cables since."""

    async def work() -> None:
        async with losing(paths, monkeypatch, FROZEN) as lost:
            lost.link.heard_at = asyncio.get_running_loop().time()
            lost.gateway(True)
            question = asyncio.create_task(ask_for_peer(lost.node))
            await lost.turns()
            assert not question.done()
            assert lost.node.inputs.gateway._awaited
            lost.link.heard_at -= 60.0
            lost.node.turns.wake()  # as the feed does with the next answer
            assert await question is Answer.DEAD
            await lost.turns()
            assert not lost.node.inputs.gateway._awaited

    run(work())


def test_once_the_connection_is_back_nobody_asks_any_longer(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or the peer would be asked to make way for a node that wants nothing of it."""

    async def work() -> None:
        async with losing(paths, monkeypatch, replace(STANDBY, role="Primary")) as lost:
            lost.hear(heard())
            question = asyncio.create_task(ask_for_peer(lost.node))
            await lost.turns()
            lost.see(FROZEN)
            await lost.turns()
            assert not question.done(), "it was asked before the loss was seen"
            assert lost.asks()
            lost.see(replace(STANDBY, role="Primary"))
            with pytest.raises(Failed, match=r"^DRBD has its connection to the peer again$"):
                await question
            lost.see(ALONE)
            assert not lost.asks()

    run(work())


def test_a_primary_that_has_handed_the_role_over_and_lost_its_power_is_dead(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its last word is of before. An "active" would outdate the only data that can be served."""

    async def work() -> None:
        monkeypatch.setattr(fence_peer, "ANSWERS_WITHIN", LIMIT)
        async with losing(paths, monkeypatch, STANDBY) as lost:
            lost.gateway(True)
            lost.hear(heard("Primary", connection="Connected"))
            lost.see(replace(STANDBY, peer_role="Secondary"))
            lost.see(ALONE)
            assert lost.node._gate(ALONE) == (Gate.WAIT, UNCERTAIN)
            question = asyncio.create_task(ask_for_peer(lost.node))
            await lost.turns()
            assert not question.done()
            lost.hear(SILENT)
            assert await question is Answer.DEAD
            assert not lost.done

    run(work())


def test_a_word_of_before_a_connection_is_no_answer_after_it(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    """Old data may have been brought up to date meanwhile, and a primary have left the role."""

    async def work() -> None:
        async with losing(paths, monkeypatch, FROZEN) as lost:
            lost.gateway(True)
            lost.hear(heard(disk="Outdated"))
            lost.see(replace(STANDBY, role="Primary"))
            lost.see(FROZEN)
            question = asyncio.create_task(ask_for_peer(lost.node))
            await lost.turns()
            assert not question.done()
            lost.hear(heard(disk="Outdated"))
            assert await question is Answer.OUTDATED

    run(work())


def test_a_new_primary_keeps_its_writes_for_a_peer_that_was_primary_before_it(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That one loses its power before it can say that it has left the role."""

    async def work() -> None:
        async with losing(paths, monkeypatch, replace(STANDBY, role="Primary", peer_role="Secondary")) as lost:
            lost.gateway(True)
            lost.hear(heard("Primary", connection="Connected"))
            lost.see(FROZEN)
            await lost.turns()
            assert not why_lost(lost.node.situation())
            assert not lost.done
            assert waits(lost.seen)

    run(work())


@pytest.mark.parametrize("known", [False, True])
def test_a_volume_that_goes_down_ends_the_question(paths: Paths, monkeypatch: pytest.MonkeyPatch, known: bool) -> None:
    """DRBD 8.4 panics over an answer that comes when the volume is gone; also over one that would be true."""

    async def work() -> None:
        async with losing(paths, monkeypatch, FROZEN) as lost:
            lost.gateway(True)
            lost.hear(heard())
            question = asyncio.create_task(ask_for_peer(lost.node))
            await lost.turns()
            assert not question.done()
            lost.stubs.made["drbd"].answers = {}
            lost.node.wishes.active = False
            lost.node.turns.wake()
            try:
                await wait_for(lambda: lost.node.stage.state("drbd") is UnitState.STOPPING)
                with pytest.raises(Failed, match=r"^the volume is being taken down$"):
                    await asyncio.wait_for(question, LIMIT)
                if known:
                    lost.hear(heard(disk="Outdated"))
                with pytest.raises(Failed, match=r"^the volume is being taken down$"):
                    await ask_for_peer(lost.node)
            finally:
                lost.stubs.made["drbd"].post(*GONE)

    run(work())


def test_what_is_known_is_told_at_once(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        monkeypatch.setattr(fence_peer, "ANSWERS_WITHIN", LIMIT)
        async with losing(paths, monkeypatch, ALONE) as lost:
            lost.hear(heard("Primary"))
            assert await ask_for_peer(lost.node) is Answer.ACTIVE

    run(work())


def test_the_control_socket_passes_the_answer_on_in_the_words_that_the_handler_knows(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> None:
        async with losing(paths, monkeypatch, FROZEN) as lost:
            lost.hear(heard(disk="Outdated"))
            told = await Verbs(lost.node, Host()).do({"do": "fence-peer"}, lambda _: None)
            assert EXIT_CODES[json.loads(json.dumps(told))] == 4

    run(work())


def test_a_promotion_is_refused_where_nothing_is_known(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        async with losing(paths, monkeypatch, ALONE) as lost:
            lost.gateway(False)
            with pytest.raises(Failed, match=r"^it is not known what the peer does$"):
                await ask_for_peer(lost.node)
            assert not lost.asks()

    run(work())


def test_two_questions_at_once_have_one_answer(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        async with losing(paths, monkeypatch, FROZEN) as lost:
            lost.hear(heard())
            questions = [asyncio.create_task(ask_for_peer(lost.node)) for _ in range(2)]
            await lost.turns()
            questions[0].cancel()
            await lost.turns()
            assert lost.asks(), "the other one is still asked"
            lost.hear(heard(disk="Outdated"))
            assert await questions[1] is Answer.OUTDATED
            assert lost.asks(), "its writes still wait"
            lost.see(replace(PRIMARY, peer_disk="Outdated"))
            assert not lost.asks()

    run(work())


def test_a_silence_in_the_agents_first_seconds_is_no_answer(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent that took over from a killed one has heard nobody yet."""

    async def work() -> None:
        async with losing(paths, monkeypatch, FROZEN) as lost:
            lost.node.inputs._sure_at = sure_at = lost.loop.time() + 0.2
            assert lost.node._gate(ALONE) == (Gate.WAIT, UNCERTAIN)
            lost.hear(heard(disk="Outdated"))
            assert lost.node._gate(ALONE)[0] is Gate.GO, "what is heard counts from the first moment"
            lost.hear(SILENT)
            assert await ask_for_peer(lost.node) is Answer.DEAD
            assert lost.loop.time() >= sure_at
            assert lost.node._gate(ALONE)[0] is Gate.GO
            assert not why_lost(lost.node.situation())

    run(work())


def test_other_addresses_to_talk_over_are_listened_to_before_a_silence_counts(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> None:
        async with losing(paths, monkeypatch, ALONE) as lost:
            assert lost.node._gate(ALONE)[0] is Gate.GO
            monkeypatch.setattr(inputs_module, "SURE_AFTER", LIMIT)
            lost.node.inputs.link = None
            lost.node.take_plan(replace(pair(), keepalived=replace(VRRP, peer_paths=((LOW, HIGH),))))
            assert lost.node._gate(ALONE) == (Gate.WAIT, UNCERTAIN)

    run(work())


def test_a_promotion_that_is_tried_without_a_connection_asks_the_peer(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> None:
        async with losing(paths, monkeypatch, ALONE) as lost:
            lost.stubs.answers["drbd:master"] = {"terminate": (0.0, *GONE)}
            assert not lost.asks()
            lost.node.inputs._on_vrrp(Vrrp.MASTER)
            await wait_for(lambda: lost.node.stage.state("drbd:master") is UnitState.STARTING)
            assert lost.asks()
            lost.see(STANDBY)
            assert not lost.asks(), "connected, DRBD itself does"

    run(work())


# --- a standby that the primary goes on without ------------------------------------------------------------


@pytest.mark.parametrize("peer", [heard("Primary"), heard(asks=True)])
def test_a_standby_outdates_its_data_once(paths: Paths, monkeypatch: pytest.MonkeyPatch, peer: Peer) -> None:
    async def work() -> None:
        async with losing(paths, monkeypatch, ALONE) as lost:
            lost.hear(peer)
            await wait_for(lambda: lost.seen.disk == "Outdated")
            await lost.turns(20)
            assert lost.done == ["outdate"]
            assert "Outdated" in unfit_data(lost.node.situation())

    run(work())


def test_a_standby_that_is_outdating_its_data_does_not_ask_its_peer_to_do_the_same(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The role has come here at this very moment; the peer would follow, and nobody have data to go on with."""

    async def work() -> None:
        monkeypatch.setattr(data_acts, "ACTS_AGAIN", LIMIT)
        async with losing(paths, monkeypatch, ALONE) as lost:
            lost.stubs.answers["drbd:master"] = {"terminate": (0.0, *GONE)}
            lost.unseen = True
            lost.hear(heard(asks=True))
            await wait_for(lambda: lost.done == ["outdate"])
            lost.node.inputs._on_vrrp(Vrrp.MASTER)
            await wait_for(lambda: lost.node.stage.state("drbd:master") is UnitState.STARTING)
            assert not lost.asks()
            lost.see(replace(ALONE, disk="Outdated"))

    run(work())


def test_what_does_not_show_at_once_is_done_again_but_not_in_a_flood(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> None:
        async with losing(paths, monkeypatch, ALONE) as lost:
            lost.unseen = True
            began = lost.loop.time()
            lost.hear(heard("Primary"))
            await wait_for(lambda: len(lost.done) == 3)
            assert lost.loop.time() - began >= 2 * data_acts.ACTS_AGAIN
            lost.unseen = False
            await wait_for(lambda: lost.seen.disk == "Outdated")

    run(work())


def test_a_refusal_is_told_and_tried_again(
    paths: Paths, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def work() -> None:
        async with losing(paths, monkeypatch, ALONE) as lost:
            lost.refusals = [Failed("cannot declare the data outdated: no")]
            lost.hear(heard("Primary"))
            await wait_for(lambda: lost.seen.disk == "Outdated")
            assert lost.done == ["outdate"] * 2

    with caplog.at_level(logging.WARNING):
        run(work())
    assert "drbd: cannot declare the data outdated: no" in [record.getMessage() for record in caplog.records]


def test_a_standby_that_is_connected_or_reaches_the_gateway_keeps_its_data(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> None:
        async with losing(paths, monkeypatch, ALONE) as lost:
            lost.gateway(True)
            await lost.turns()
            lost.see(STANDBY)
            lost.gateway(False)
            lost.hear(heard("Primary"))
            await lost.turns()
            assert not lost.done

    run(work())


def test_a_standby_that_is_cut_off_from_everybody_outdates_its_data(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The primary goes on without it, and dies before anybody can say so: the standby, back again, must not serve."""

    async def work() -> None:
        async with losing(paths, monkeypatch, STANDBY) as lost:
            lost.gateway(False)
            await lost.turns()
            assert not lost.done
            lost.see(ALONE)
            await wait_for(lambda: lost.done == ["outdate"])
            lost.gateway(True)
            await lost.turns()
            assert lost.done == ["outdate"]
            assert lost.role() is not Role.MASTER

    run(work())


# --- a primary that is cut off -----------------------------------------------------------------------------


def test_a_primary_that_is_cut_off_lets_its_writes_and_its_role_go_and_its_volume_goes_round(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> None:
        async with losing(paths, monkeypatch, FROZEN) as lost:
            assert lost.role() is Role.MASTER
            lost.gateway(False)
            await wait_for(lambda: "terminate" in lost.stubs.told["drbd"])
            told = [f"{name} {word}" for name in ("pgsql", "drbd:master") for word in lost.stubs.told[name]]
            assert told == ["pgsql start", "pgsql terminate", "drbd:master start", "drbd:master terminate"]
            await wait_for(lambda: lost.stubs.told["drbd"] == ["start", "terminate", "start"])
            assert lost.done == ["abandon"]
            assert paths.fitness.read_text() == "-254\n"
            assert why_given_up(lost.node.kept) == f"gave the role up: {ISOLATED}"
            lost.see(replace(ALONE, disk="Consistent"))
            lost.node.inputs._on_vrrp(Vrrp.FAULT)
            await lost.turns()
            assert lost.role() is Role.FAULT
            lost.gateway(True)
            await lost.turns()
            assert not lost.node.kept.release
            assert lost.stubs.told["drbd"] == ["start", "terminate", "start"]

    run(work())


def test_writes_that_are_not_waiting_are_not_given_up(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    """The role goes all the same, in order."""

    async def work() -> None:
        async with losing(paths, monkeypatch, PRIMARY) as lost:
            lost.gateway(False)
            await wait_for(lambda: lost.stubs.told["drbd:master"] == ["start", "terminate"])
            assert not lost.done
            assert lost.stubs.told["drbd"] == ["start"]

    run(work())


@pytest.mark.parametrize("voice", ["peer", "gateway"])
def test_writes_wait_as_long_as_one_voice_is_left(paths: Paths, monkeypatch: pytest.MonkeyPatch, voice: str) -> None:
    async def work() -> None:
        async with losing(paths, monkeypatch, FROZEN) as lost:
            if voice == "peer":
                lost.hear(heard())
            lost.gateway(voice == "gateway")
            await lost.turns(20)
            assert not lost.done
            assert lost.stubs.told["drbd:master"] == ["start"]
            assert waits(lost.seen)

    run(work())


def test_a_primary_whose_peer_has_gone_on_lets_its_writes_go(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        async with losing(paths, monkeypatch, FROZEN) as lost:
            lost.gateway(True)
            lost.hear(heard("Primary"))
            await wait_for(lambda: lost.stubs.told["drbd"] == ["start", "terminate", "start"])
            assert lost.done == ["abandon"]

    run(work())


def test_once_writes_were_given_up_the_role_goes_though_the_gateway_is_back(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its disk is gone: nothing that runs there could be trusted."""

    async def work() -> None:
        async with losing(paths, monkeypatch, FROZEN) as lost:
            lost.stubs.made["pgsql"].answers = {}
            lost.gateway(False)
            await wait_for(lambda: lost.done == ["abandon"])
            lost.gateway(True)
            await lost.turns(20)
            assert why_given_up(lost.node.kept) == f"gave the role up: {ISOLATED}"
            lost.stubs.made["pgsql"].post(*GONE)
            await wait_for(lambda: lost.stubs.told["drbd"] == ["start", "terminate", "start"])
            assert lost.done == ["abandon"]

    run(work())


def test_the_next_agent_knows_that_writes_were_given_up(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed before the role was gone: without that it would leave the volume without its disk."""

    async def work() -> None:
        async with losing(paths, monkeypatch, FROZEN) as lost:
            lost.stubs.made["pgsql"].answers = {}
            lost.gateway(False)
            await wait_for(lambda: lost.done == ["abandon"])
            memory = load(paths)
            assert memory.abandoned == ISOLATED
            lost.node.kept = replace(lost.node.kept, abandoned=memory.abandoned)
            lost.gateway(True)
            await lost.turns()
            assert why_given_up(lost.node.kept) == f"gave the role up: {ISOLATED}"
            lost.stubs.made["pgsql"].post(*GONE)
            await wait_for(lambda: lost.stubs.told["drbd"] == ["start", "terminate", "start"])
            await lost.turns()
            assert load(paths).abandoned == ""

    run(work())


# --- what holds a standby back -----------------------------------------------------------------------------


def test_a_standby_that_is_cut_off_leaves_the_election_at_once_and_comes_back(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> None:
        async with losing(paths, monkeypatch, STANDBY) as lost:
            lost.gateway(False)
            await wait_for(lambda: paths.fitness.read_text() == "-254\n")
            assert ISOLATED in status(paths)["reasons"]
            lost.node.inputs._on_vrrp(Vrrp.MASTER)  # keepalived had made up its mind already
            await lost.turns()
            assert lost.stubs.told.get("drbd:master") is None
            lost.node.inputs._on_vrrp(Vrrp.FAULT)
            lost.gateway(True)
            await wait_for(lambda: paths.fitness.read_text() == "0\n")

    run(work())


def test_a_role_that_only_vrrp_wants_to_give_has_to_last_before_it_is_refused(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> None:
        monkeypatch.setattr(role_rules, "HOLDS_AFTER", 600.0)
        async with losing(paths, monkeypatch, STANDBY) as lost:
            lost.stubs.answers["drbd:master"] = {"terminate": (0.0, *GONE)}
            lost.hear(FAR)
            lost.node.inputs._on_vrrp(Vrrp.MASTER)
            await lost.turns()
            assert lost.node.kept.hold is None
            lost.hear(replace(FAR, vrrp=Vrrp.BACKUP, role=Role.BACKUP))
            await lost.turns()
            monkeypatch.setattr(role_rules, "HOLDS_AFTER", 0.2)
            began = lost.loop.time()
            lost.hear(FAR)
            await wait_for(lambda: lost.node.kept.hold)
            assert lost.loop.time() - began >= 0.2, "an earlier time counts no more"

    run(work())


def test_held_back_for_vrrps_sake_it_stands_again_once_the_primary_is_heard_near(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> None:
        async with losing(paths, monkeypatch, STANDBY) as lost:
            lost.stubs.answers["drbd:master"] = {"terminate": (0.0, *GONE)}
            lost.hear(FAR)
            lost.node.inputs._on_vrrp(Vrrp.MASTER)
            await wait_for(lambda: paths.fitness.read_text() == "-254\n")
            lost.node.inputs._on_vrrp(Vrrp.FAULT)
            await lost.turns()
            assert lost.node.kept.hold is not None, "in fault it stays held"
            assert lost.stubs.told["drbd:master"] == ["start", "terminate"]
            lost.hear(replace(FAR, near=True))
            await wait_for(lambda: paths.fitness.read_text() == "0\n")
            assert lost.node.kept.hold is None

    run(work())


def test_of_two_primaries_that_hear_each_other_again_one_gives_the_role_up(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other path is back, VRRP's is not, which would settle it."""

    async def work() -> None:
        async with losing(paths, monkeypatch, PRIMARY) as lost:
            lost.hear(FAR)
            await wait_for(lambda: lost.stubs.told["drbd:master"] == ["start", "terminate"])
            await wait_for(lambda: paths.fitness.read_text() == "-254\n")
            assert not lost.done
            lost.node.inputs._on_vrrp(Vrrp.FAULT)
            await wait_for(lambda: lost.role() is Role.FAULT)
            assert lost.node.kept.hold is not None

    run(work())


def test_the_only_primary_is_never_held_back(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        async with losing(paths, monkeypatch, PRIMARY) as lost:
            lost.hear(replace(FAR, role=Role.BACKUP))
            await lost.turns()
            done = asyncio.Event()
            lost.loop.call_later(role_rules.HOLDS_AFTER * 2, done.set)
            await done.wait()
            await lost.turns()
            assert lost.node.kept.hold is None
            assert lost.role() is Role.MASTER

    run(work())
