"""The node: gathers what is known and wanted, has it decided, and carries the decision out.

Whatever happens only wakes it. There is one loop and one decision a turn, so two changes of role cannot overlap.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection

from escadm.agent.attempt import Attempts, is_answered
from escadm.agent.drivers.driver import Driver, Post, Tools
from escadm.agent.drivers.registry import absent_units, make
from escadm.agent.drivers.stage import Stage
from escadm.agent.inputs.addresses import AddressFeed
from escadm.agent.inputs.adverts import AdvertFeed
from escadm.agent.inputs.drbd_events import ReplicaFeed
from escadm.agent.inputs.gateway import GatewayFeed
from escadm.agent.inputs.identity import Identity
from escadm.agent.inputs.looks import Looks
from escadm.agent.inputs.peer_links import PeerLinks
from escadm.agent.inputs.vrrp_fifo import RoleFeed
from escadm.agent.outputs.data_acts import DataActs
from escadm.agent.outputs.journal import Journal, iso
from escadm.agent.outputs.memory import Memory
from escadm.agent.outputs.outputs import OTHERS_GO_BY, Outputs
from escadm.agent.outputs.pair_secret import PairSecrets
from escadm.agent.turns import Turns
from escadm.core.decide import Decision, decide
from escadm.core.drbd.fencing import sees_more
from escadm.core.drbd.state import Gate, Replica
from escadm.core.lifecycle import Event, Life
from escadm.core.peer import document
from escadm.core.reason import Reason
from escadm.core.reconcile import DOWN, goal
from escadm.core.role import Peer
from escadm.core.rules.data import promotion_gate
from escadm.core.rules.peer import heartbeat_interval
from escadm.core.rules.role import intent_of
from escadm.core.situation import Gateway, Situation, Wish
from escadm.core.types import Plan, Role, Unit, UnitState, Vrrp
from escadm.log import get
from escadm.paths import Paths

PASSING = (UnitState.STARTING, UnitState.STOPPING, UnitState.KILLING)
SURE_AFTER = 3.5
"""Seconds: a silence of the peer within them says nothing, the agent has only begun to listen."""

log = get(__name__)


class Node:
    """The state of this node and its turn. Verbs change ``active``, ``down``, ``up`` and the like, and wake it."""

    def __init__(self, paths: Paths, plan: Plan, memory: Memory) -> None:
        self.paths = paths
        self.plan = plan
        self.active = memory.active
        self.wish: bool | None = None  # ``active`` as it was before the agent's end: what the next one goes by
        self.ending = self._over = False
        self.down, self.up = frozenset(memory.down), frozenset(memory.up)
        self.kept = memory.kept()
        self.vrrp = Vrrp.UNKNOWN
        self.switchover = ""  # why the role is given up on purpose
        self.asked = 0  # how many wait to hear what has become of the peer
        self.link: PeerLinks | None = None
        self.identity = Identity(paths)
        self.gateway = GatewayFeed(self.wake)
        self.addresses = AddressFeed(self.wake)
        self.adverts = AdvertFeed(self.wake)
        self.lacks: tuple[Reason, ...] = ()  # what the engines need and this machine does not have (yet)
        self.watchers: list[Callable[[str, Life], None]] = []
        self.journal = Journal(time.monotonic, time.time, list(memory.history))
        self.feed = RoleFeed(paths, self._on_vrrp)
        self.replicas = ReplicaFeed(self._on_replica)
        self.replica: Replica | None = None
        self.acts = DataActs(self.replicas, lambda: self.replica, self.until, self.wake)
        self.secrets = PairSecrets(paths, self.identity, self.wake)
        self.looks = Looks(scoped=paths.is_host)
        self.stage = Stage(self.make_driver, self._on_change)
        self._attempts = Attempts(self.wake)
        self.outputs = Outputs(paths, self.stage, self.journal.changes, self._attempts.make)
        self._tools = Tools(paths, self.looks, self.feed, self.replicas, self._gate, self.wake)
        self.absent: frozenset[str] = frozenset()
        self._waiting: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []
        self._loop = asyncio.get_running_loop()
        self._turns = Turns(self._turn)
        self._again: asyncio.TimerHandle | None = None
        self._sure_at = 0.0
        self._decision: Decision | None = None
        self.has_decided = False  # in the last turn
        self.take_plan(plan)

    # --- what verbs and events change ---

    def take_plan(self, plan: Plan) -> None:
        """Go by another plan from now on."""
        self.plan = plan
        self.lacks = ()
        self.stage.redefine(plan)
        self.absent = absent_units(plan, self.paths)
        self.secrets.forget()
        self._connect()
        self.wake()

    async def reload(self, written: Collection[str]) -> None:
        """The plan was taken, and these files were written for it: what runs takes them up."""
        try:
            await self.stage.reload(written)
        finally:
            self.secrets.forget()
            self.wake()

    def wake(self) -> None:
        """Look again, soon; many calls make one turn."""
        self._turns.wake()

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait until ``true()`` holds at the end of a turn; an error in it is raised here."""
        future: asyncio.Future[None] = self._loop.create_future()
        self._waiting.append((true, future))
        self.wake()
        await future

    @property
    def role(self) -> Role | None:
        """The role that was reached."""
        return self.kept.role

    @property
    def decision(self) -> Decision:
        """The last one; the first is made when it is asked for."""
        return self._decision or decide(self.situation())

    @property
    def goal(self) -> frozenset[str]:
        """What should be up now."""
        return goal(self.plan, intent_of(self.situation()))

    @property
    def peer(self) -> Peer | None:
        return self.link.peer if self.link else None

    def state(self, name: str) -> UnitState:
        """The state of a unit; one that never lived is stopped."""
        life = self.stage.lives.get(name)
        return life.state if life else UnitState.STOPPED

    def is_down(self) -> bool:
        """Whether nothing runs here."""
        return all(life.state in DOWN for life in self.stage.lives.values())

    async def stop_for_good(self) -> None:
        """Everything down in order, whatever else is asked for meanwhile."""
        self.wish = self.active
        self.ending, self.active = True, False
        await self.until(self.is_down)

    def end(self) -> None:
        """The agent ends in good order: everything is down, and there is nothing to remember."""
        self._over = True
        if self.link is not None:
            self.link.say()
            self.link.close()
        self.feed.close()
        self.replicas.close()
        self.gateway.close()
        self.addresses.close()
        self.adverts.close()
        self.outputs.end(pair=self.plan.is_pair or not self.plan.units)

    def remember(self) -> None:
        """Write down what the next agent has to know."""
        self.outputs.remember(self.kept, self._wish())

    def _wish(self) -> Wish:
        """What the next agent goes by: an end that was asked for is this one's alone."""
        return Wish(self.active if self.wish is None else self.wish, self.down, self.up)

    # --- events ---

    def _on_vrrp(self, vrrp: Vrrp) -> None:
        before, self.vrrp = self.vrrp, vrrp
        if vrrp is not before:
            self.journal.hear(self.role, vrrp)
            self.wake()

    def _on_replica(self, replica: Replica | None) -> None:
        gone = replica is None and self.replica is not None and self.replicas.is_open
        if gone and self.state("drbd") is UnitState.RUNNING:
            self.stage.apply("drbd", Event.EXITED, "is gone: somebody else took the volume down")
        if replica != self.replica:
            if replica is None or self.replica is None or replica.words != self.replica.words:
                log.info("drbd: %s", replica.words if replica else "not up")
            if self.link is not None and sees_more(self.replica, replica):
                self.link.age()
            self.replica = replica
            self.wake()

    def _on_change(self, name: str, before: Life, after: Life) -> None:
        if after.state is not before.state:
            self.outputs.since[name] = iso(time.time())
            took = f" after {after.since - before.since:.3f} s" if before.state in PASSING else ""
            told = after.reason and (after.again or after.state in DOWN)
            reason = f": {after.reason}" if told else ""
            log.info("%s: %s%s%s", name, after.state, took, reason)
            if after.state is UnitState.RUNNING and self.stage.units[name].kind.takes_the_role:
                self.journal.mark(self.stage.units[name].kind.value)
        self.wake()
        for watcher in self.watchers:
            watcher(name, after)

    # --- the turn ---

    def situation(self) -> Situation:
        """All that is known and wanted now."""
        stage, gateway = self.stage, self.gateway
        return Situation(
            plan=self.plan,
            wish=Wish(self.active, self.down, self.up, self.switchover),
            now=self._loop.time(),
            at=iso(time.time()),
            lives=dict(stage.lives),
            units=stage.units,
            stale=frozenset(stage.stale),
            absent=self.absent,
            vrrp=self.vrrp,
            peer=self.peer,
            heard_at=self.link.heard_at if self.link else None,
            known=self.link.acquaintance() if self.link else None,
            secret=self.secrets.seen(is_up=self.state("drbd") is UnitState.RUNNING),
            secret_acting=self.secrets.running,
            interfaces=self.addresses.interfaces,
            lacks=self.lacks,
            adverts=self.adverts.seen,
            gateway=Gateway(gateway.is_asked, gateway.reached, gateway.gone, gateway.answered_at),
            replica=self.replica,
            asked=self.asked > 0,
            acting=self.acts.running,
            unwritten=self._attempts.troubles(*OTHERS_GO_BY),
            sure_at=self._sure_at,
            kept=self.kept,
        )

    def _turn(self) -> None:
        if self._over:
            return
        self.has_decided = self._attempts.make("decide", self._decide)
        if self.has_decided:
            self._carry_out(self.decision)
        self._waiting = [pair for pair in self._waiting if not is_answered(*pair)]

    def _decide(self) -> None:
        before, self._decision = self.kept, decide(self.situation())
        self.kept = self._decision.kept
        self.journal.tell(before, self._decision)

    def _carry_out(self, decision: Decision) -> None:
        attempt = self._attempts.make
        if decision.act is not None:
            self.acts.do(decision.act, decision.act_why)
        if decision.secret_act is not None:
            self.secrets.do(decision.secret_act)
        attempt("question keepalived", lambda: self._question(decision))
        attempt("take the next steps", lambda: self._take_steps(decision))
        attempt("follow the role", lambda: self.journal.follow(self.vrrp, decision))
        self.outputs.write(decision, self._wish())
        if self.link is not None:
            attempt("tell the peer", self.link.say)
        self.gateway.awaited = decision.awaits_gateway
        self._plan_next_look(decision.look_again)

    def _question(self, decision: Decision) -> None:
        spec = decision.facts.plan.keepalived
        if decision.word_act is not None and spec is not None:
            self.feed.question(decision.word_act, spec, decision.word_why)

    def _plan_next_look(self, at: float | None) -> None:
        if self._again is not None:
            self._again.cancel()
        self._again = self._loop.call_at(at, self.wake) if at is not None else None

    def _take_steps(self, decision: Decision) -> None:
        self.stage.stale |= decision.renewed
        if not self.stage.take_all(decision.steps, self.plan):
            self._turns.hurry()

    # --- the peer ---

    def _connect(self) -> None:
        """(Re)open the links to the peer where the plan knows its address, and ask the gateway that it names."""
        spec = self.plan.keepalived
        interval = heartbeat_interval(spec.advert_interval) if spec else 1.0
        self.adverts.watch(spec)
        self.gateway.ask(spec.gateway if spec else (), interval)
        route = (spec.peer_paths if spec else (), interval)
        if self.link is not None and self.link.route == route:
            return
        if self.link is not None:
            self.link.close()
        tell = lambda: document(self.decision.message)  # noqa: E731
        self.link = PeerLinks(*route, tell, self.wake, self.identity) if route[0] else None
        self._sure_at = self._loop.time() + SURE_AFTER
        if self.link is not None:
            self._opening = self._loop.create_task(self.link.open())

    def make_driver(self, unit: Unit, post: Post) -> Driver:
        """The driver for one incarnation of the unit."""
        return make(unit, post, self._tools)

    def _gate(self, replica: Replica | None) -> tuple[Gate, str]:
        """Whether a promotion may be tried now."""
        return promotion_gate(self.situation(), replica)
