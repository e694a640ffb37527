"""One agent's turn: what it knows as a Situation, the real ``decide``, and what comes of it. Remembered: the same
situation has the same decision."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from escadm.core.adverts import Advert, Adverts, Sighting
from escadm.core.decide import Decision, decide
from escadm.core.drbd.state import Gate, Replica
from escadm.core.lifecycle import FAILURE_LIMIT, Life
from escadm.core.peer import document, encode, parse
from escadm.core.plan import Start
from escadm.core.role import Peer
from escadm.core.rules.data import promotion_gate
from escadm.core.rules.role import ELECTION, HOLDS_AFTER, longest_wait
from escadm.core.situation import Gateway, Kept, Situation, Wish
from escadm.core.states import Role, UnitState, Vrrp
from tests.model.state import (
    DRBD,
    HIGH,
    LOW,
    PROMOTION,
    SERVICE,
    TICK,
    UNITS,
    Node,
    Setup,
    Unit,
)

UNANSWERED = 5
"""Ticks until the gateway counts as silent; as many and six more until the peer would have said so too."""
GONE = UNANSWERED + 6
SILENT = 7
HANDS_OVER = 20
AGAIN = int(ELECTION / TICK)
"""Ticks of adverts after which a node that was held back stands for the role again."""
FORGOTTEN = -5.0
"""Seconds: what is longer ago is all one."""
STANDS_AGAIN = -20.0
"""The model's core.rules.role.RELAPSE: how long it counts that a node has stood for the role again, not ten minutes."""
FRESH_TICKS = 4
"""From then on the peer's last datagram is older than core.rules.peer.FRESH."""
GATES = {Gate.GO: "go", Gate.WAIT: "wait", Gate.REFUSE: "refuse"}
ON_PURPOSE = "the role is handed to the peer on purpose (switchover)"


class View(NamedTuple):
    """The volume as the node's DRBD shows it."""

    primary: bool
    link: str
    peer_primary: bool
    disk: str
    peer_disk: str
    sync: str
    suspended: bool
    dirty: bool


class Seen(NamedTuple):
    """All of a node that a decision rests on: what differs in nothing else has the same one."""

    vrrp: str
    units: tuple[tuple[str, int], ...]
    stale: bool
    kept: int
    word: int
    near: bool
    old_word: bool
    fresh: int
    reached: bool | None
    gone: bool
    vouched: bool
    unsure: bool
    switchover: bool
    adverts: int
    view: View | None


class Turn(NamedTuple):
    """What one decision has come to, for the model: see :class:`tests.model.state.Node`."""

    steps: tuple[tuple[int, bool], ...]
    stale: bool
    kept: int
    fit: bool | None
    says: int
    act: str
    answer: str
    gate: str
    severity: int
    hands_over: int
    text: str


class Agents:
    """Both agents of a setup, with all that they have ever decided."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.plans = (setup.plan(0), setup.plan(1))
        self.words: list[Peer | None] = [None]
        self._number_of_word: dict[str, int] = {}
        self.kept: list[Kept] = [Kept()]
        self._number_of_kept: dict[str, int] = {repr(Kept()): 0}
        self._later: dict[int, int] = {}
        self._turns: tuple[dict[Seen, Turn], dict[Seen, Turn]] = ({}, {})

    def turn(self, side: int, node: Node, view: View | None) -> tuple[Node, Turn]:
        """The node after the next turn of its agent, and what was decided."""
        seen = self.seen(node, view)
        turn = self._turns[side].get(seen)
        if turn is None:
            turn = self._turns[side][seen] = self._decide(side, seen)
        units = node.units
        for index, starts in turn.steps:
            units = (*units[:index], self._begin(index, units[index], starts=starts), *units[index + 1 :])
        switchover = node.switchover
        if switchover:
            switchover = 0 if turn.hands_over < 0 else switchover - turn.hands_over
        fit = node.fit if turn.fit is None else turn.fit
        after = node._replace(
            units=units,
            stale=turn.stale,
            kept=turn.kept,
            fit=fit,
            says=turn.says,
            act=turn.act,
            answer=turn.answer,
            gate=turn.gate,
            severity=turn.severity,
            switchover=switchover,
        )
        return after, turn

    def _begin(self, index: int, unit: Unit, *, starts: bool) -> Unit:
        if starts:
            return Unit("starting", 1, unit.streak)
        if unit.state in ("backoff", "failed"):
            return Unit("stopped", 0, unit.streak)
        return Unit("stopping", self.setup.slow if index == SERVICE else 1, unit.streak)

    @property
    def decided(self) -> int:
        """How many situations were decided about."""
        return sum(map(len, self._turns))

    # --- numbers for what is large ---

    def _word(self, decision: Decision, side: int, *, hears: bool) -> int:
        data = encode(document(decision.message), (str((HIGH, LOW)[side]),) if hears else ())
        text = f"{side}{data!r}"
        if text not in self._number_of_word:
            self._number_of_word[text] = len(self.words)
            self.words.append(parse(data, str((LOW, HIGH)[side])))
        return self._number_of_word[text]

    def _keep(self, kept: Kept) -> int:
        text = repr(kept)
        if text not in self._number_of_kept:
            self._number_of_kept[text] = len(self.kept)
            self.kept.append(kept)
        return self._number_of_kept[text]

    def later(self, number: int) -> int:
        """What is kept, one tick later."""
        if number not in self._later:
            kept = self.kept[number]
            candidate, since = kept.candidate, kept.waits_since
            if candidate is not None:
                candidate = candidate[0], max(candidate[1] - TICK, -HOLDS_AFTER)
            if since is not None:
                since = max(since - TICK, -longest_wait(Situation(self.plans[0])))
            doubt, stood_at = kept.doubt, kept.stood_at
            if doubt is not None:
                doubt = replace(doubt, since=max(doubt.since - TICK, FORGOTTEN))
            if stood_at is not None:
                stood_at = stood_at - TICK if stood_at > STANDS_AGAIN else None
            self._later[number] = self._keep(
                replace(kept, candidate=candidate, waits_since=since, doubt=doubt, stood_at=stood_at)
            )
        return self._later[number]

    # --- the turn ---

    def seen(self, node: Node, view: View | None) -> Seen:
        """What the agent knows; what was heard on two paths as one, by the rules of agent/inputs/peer_links.py."""
        links, word, old_word = node.links, 0, False
        for link in (links[node.newest], *links):
            if link.word and link.age < SILENT:
                word, old_word = link.word, link.stale
                break
        age = min((link.age for link in links if link.word), default=SILENT)
        reached = node.unanswered < UNANSWERED if self.setup.gateway and node.asked else None
        return Seen(
            node.vrrp,
            tuple((unit.state, unit.streak) for unit in node.units),
            node.stale,
            node.kept,
            word,
            bool(links[0].word),
            old_word,
            min(age, FRESH_TICKS),
            reached,
            node.unanswered >= GONE,
            node.vouched,
            node.sure > 0,
            node.switchover > 0,
            node.adverts,
            view,
        )

    def peer(self, side: int, seen: Seen) -> Peer:
        """What is known of the other node."""
        address = str((HIGH, LOW)[side])
        word = self.words[seen.word]
        if word is None:
            return Peer(address)
        return replace(word, address=address, near=seen.near, stale=seen.old_word)

    def situation(self, side: int, seen: Seen) -> Situation:
        """The same as the agent gathers it; now is 0."""
        lives = {
            name: Life(
                UnitState(state),
                streak=streak,
                reason="does not run" if streak else "",
                failed=streak >= FAILURE_LIMIT and name not in ("drbd", "keepalived"),
            )
            for name, (state, streak) in zip(UNITS, seen.units, strict=True)
            if state != "stopped" or streak
        }
        plan = self.plans[side]
        return Situation(
            plan,
            wish=Wish(switchover=ON_PURPOSE if seen.switchover else ""),
            lives=lives,
            units=plan.units,
            stale=frozenset({"drbd"}) if seen.stale else frozenset(),
            vrrp=Vrrp(seen.vrrp),
            peer=self.peer(side, seen),
            heard_at=-seen.fresh * TICK if seen.word else None,
            gateway=Gateway(self.setup.gateway, seen.reached, seen.gone, 0.0 if seen.vouched else FORGOTTEN),
            replica=_replica(seen.view),
            asked=seen.view is not None and seen.view.suspended,
            sure_at=TICK if seen.unsure else 0.0,
            adverts=self._adverts(side, seen),
            kept=self.kept[seen.kept],
        )

    def _adverts(self, side: int, seen: Seen) -> Adverts:
        own, peer = (LOW, HIGH)[side], (HIGH, LOW)[side]
        spec = self.plans[side].keepalived
        assert spec is not None
        others = {}
        if seen.adverts > -SILENT:
            advert = Advert(peer, own, spec.virtual_router_id, spec.priority, spec.advert_interval)
            since, last = -max(seen.adverts, 0) * TICK, min(seen.adverts, 0) * TICK
            others[peer] = Sighting(advert, since, last)
        mine = Advert(own, peer, spec.virtual_router_id, spec.priority, spec.advert_interval)
        leaves = Sighting(mine, 0.0, 0.0) if seen.vrrp == "MASTER" else None
        return Adverts(2 * FORGOTTEN, leaves, others)

    def _decide(self, side: int, seen: Seen) -> Turn:
        situation = self.situation(side, seen)
        decision = decide(situation)
        assert decision.word_act is None, decision.word_why  # the model's keepalived tells the truth
        steps = tuple((UNITS.index(step.name), isinstance(step, Start)) for step in decision.steps)
        gate = ""
        if seen.units[PROMOTION][0] == "starting" and (PROMOTION, False) not in steps:
            gate = GATES[promotion_gate(situation, situation.replica)[0]]
        peer = situation.peer
        taken_over = peer is not None and peer.heard and peer.vrrp is Vrrp.MASTER and peer.role is Role.MASTER
        return Turn(
            steps,
            (seen.stale or "drbd" in decision.renewed) and (DRBD, True) not in steps,
            self._keep(decision.kept),
            decision.fit,
            self._word(decision, side, hears=seen.word > 0),
            decision.act.value if decision.act else "",
            decision.answer.value if decision.answer else "",
            gate,
            decision.verdict.severity,
            -1 if taken_over else int(decision.is_drained),
            decision.verdict.text,
        )


def _replica(view: View | None) -> Replica | None:
    if view is None:
        return None
    connected = view.link == "Connected"
    return Replica(
        role="Primary" if view.primary else "Secondary",
        connection=view.link,
        peer_role=("Primary" if view.peer_primary else "Secondary") if connected else "Unknown",
        disk=view.disk,
        peer_disk=view.peer_disk,
        replication=(view.sync or "Established") if connected else "Off",
        out_of_sync=1024 if view.dirty else 0,
        size=4096,
        suspended="fencing" if view.suspended else "",
    )


def is_up(node: Node) -> bool:
    """Whether the volume can be looked at."""
    return node.units[DRBD].state == "running"
