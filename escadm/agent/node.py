"""The node: gathers what is known and wanted, has it decided, and carries the decision out.

Whatever happens only wakes it. There is one loop and one decision a turn, so two changes of role cannot overlap.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from escadm.agent.addresses import AddressFeed
from escadm.agent.adverts import AdvertFeed
from escadm.agent.attempt import Attempts, is_answered
from escadm.agent.data_acts import DataActs
from escadm.agent.driver import Driver, Post
from escadm.agent.gateway import GatewayFeed
from escadm.agent.identity import Identity
from escadm.agent.journal import Journal, iso
from escadm.agent.looks import Looks
from escadm.agent.make import DriverMaker
from escadm.agent.memory import Memory, Notes
from escadm.agent.peer import PeerLinks, heartbeat_interval
from escadm.agent.publish import Board, picture, take_back
from escadm.agent.replicas import ReplicaFeed
from escadm.agent.stage import Stage
from escadm.agent.turns import Turns
from escadm.agent.vrrp import Keepalived, RoleFeed, write_fitness
from escadm.core.decide import Decision, decide
from escadm.core.fencing import sees_more
from escadm.core.lifecycle import Event, Life
from escadm.core.peer import document
from escadm.core.reason import Reason
from escadm.core.reconcile import DOWN, goal
from escadm.core.replication import Gate, Replica
from escadm.core.role import TAKES_THE_ROLE, Peer
from escadm.core.rules.data import promotion_gate
from escadm.core.rules.role import intent_of
from escadm.core.rules.word import WordAct
from escadm.core.situation import Gateway, Kept, Situation, Wish
from escadm.core.types import Plan, Role, RoleChange, SystemdSpec, Unit, UnitState, Vrrp
from escadm.errors import EscadmError
from escadm.log import get
from escadm.paths import Paths
from escadm.system import role_file
from escadm.system.net import has_address
from escadm.system.systemd import unit_exists

PASSING = (UnitState.STARTING, UnitState.STOPPING, UnitState.KILLING)
TARGETS = {Vrrp.MASTER: Role.MASTER, Vrrp.BACKUP: Role.BACKUP}
OTHERS_GO_BY = ("write the role", "tell keepalived", "remember")
"""The attempts of a turn that write files for others; what cannot be written is told."""
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
        self.ending = False
        self._over = False
        self.down = frozenset(memory.down)
        self.up = frozenset(memory.up)
        self.kept = Kept(role=memory.role, role_since=memory.role_since, abandoned=memory.abandoned)
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
        self.history: list[RoleChange] = list(memory.history)
        self.journal = Journal(time.monotonic, time.time, self.history)
        self.feed = RoleFeed(paths, self._on_vrrp)
        self.replicas = ReplicaFeed(self._on_replica)
        self.replica: Replica | None = None
        self.acts = DataActs(self.replicas, lambda: self.replica, self.until, self.wake)
        self.looks = Looks(scoped=paths.is_host)
        self.stage = Stage(self.make_driver, self._on_change)
        self.since: dict[str, str] = {}
        self.notes = Notes(paths)
        self.board = Board(paths)
        self.told_fit: bool | None = None  # the fitness that is on disk, as far as this agent wrote it
        self.misleads = False  # an old status stands that could be neither replaced nor removed
        self._drivers = DriverMaker(paths, self.looks, self.feed, self.replicas, self._gate, self.wake)
        self.absent: frozenset[str] = frozenset()
        self._waiting: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []
        self._loop = asyncio.get_running_loop()
        self._turns = Turns(self._turn)
        self._again: asyncio.TimerHandle | None = None
        self._sure_at = 0.0
        self._decision: Decision | None = None
        self.has_decided = False  # in the last turn
        self._attempts = Attempts(self.wake)
        self.take_plan(plan)

    # --- what verbs and events change ---

    def take_plan(self, plan: Plan) -> None:
        """Go by another plan from now on."""
        self.plan = plan
        self.lacks = ()
        self.stage.redefine(plan)
        specs = {name: unit.spec for name, unit in plan.units.items()}
        self.absent = frozenset(
            name
            for name, spec in specs.items()
            if isinstance(spec, SystemdSpec)
            and (not unit_exists(spec.unit, self.paths) or (spec.implied and not plan.units[name].mentioned))
        )
        self._connect()
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
        if self.plan.is_pair or not self.plan.units:
            self._attempts.make("write the role", lambda: role_file.write(Role.FAULT, self.paths))
        self._attempts.make("forget", lambda: self.paths.state.unlink(missing_ok=True))
        self._attempts.make("publish the end", lambda: self.board.end(tuple(self.history)))

    # --- events ---

    def _on_vrrp(self, vrrp: Vrrp) -> None:
        before, self.vrrp = self.vrrp, vrrp
        driver = self.stage.drivers.get("keepalived")
        if isinstance(driver, Keepalived) and vrrp is not Vrrp.STOP:
            driver.word()
        if vrrp is not before:
            self._begin_change(TARGETS.get(vrrp, Role.FAULT), f"keepalived says {vrrp}")
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

    def _begin_change(self, target: Role, cause: str) -> None:
        if target.value != (self.journal.target or self.role):
            self.journal.begin(self.role or "-", target, cause)

    def _on_change(self, name: str, before: Life, after: Life) -> None:
        if after.state is not before.state:
            self.since[name] = iso(time.time())
            took = f" after {after.since - before.since:.3f} s" if before.state in PASSING else ""
            told = after.reason and (after.again or after.state in DOWN)
            reason = f": {after.reason}" if told else ""
            log.info("%s: %s%s%s", name, after.state, took, reason)
            if after.state is UnitState.RUNNING and self.stage.units[name].kind in TAKES_THE_ROLE:
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
            vip_here=self._vip_here(),
            peer=self.peer,
            heard_at=self.link.heard_at if self.link else None,
            known=self.link.acquaintance() if self.link else None,
            interfaces=self.addresses.interfaces,
            lacks=self.lacks,
            adverts=self.adverts.seen,
            gateway=Gateway(gateway.is_asked, gateway.reached, gateway.gone),
            replica=self.replica,
            asked=self.asked > 0,
            acting=self.acts.running,
            unwritten=self._attempts.troubles(*OTHERS_GO_BY),
            sure_at=self._sure_at,
            kept=self.kept,
        )

    def _vip_here(self) -> bool | None:
        spec = self.plan.keepalived
        if spec is None:
            return None
        try:
            return has_address(spec.vip_interface, spec.vip)
        except EscadmError:
            return None

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
        self._tell_change(before, self._decision)

    def _carry_out(self, decision: Decision) -> None:
        make = self._attempts.make
        if decision.act is not None:
            self.acts.do(decision.act, decision.act_why)
        make("question keepalived", lambda: self._question(decision))
        make("take the next steps", lambda: self._take_steps(decision))
        make("follow the role", lambda: self._follow(decision))
        make("write the role", lambda: self._write_role(decision.role))
        make("tell keepalived", lambda: self._tell_keepalived(fit=decision.fit))
        published = make("publish the status", lambda: self._publish(decision))
        self.misleads = not published and not take_back(self.paths)
        make("remember", self.remember)
        if self.link is not None:
            make("tell the peer", self.link.say)
        self._plan_next_look(decision.look_again)

    def _question(self, decision: Decision) -> None:
        """What is done about a word of keepalived's that cannot be true."""
        driver, doubt = self.stage.drivers.get("keepalived"), decision.kept.doubt
        spec = self.plan.keepalived
        if not isinstance(driver, Keepalived) or spec is None:
            return
        if decision.word_act is WordAct.BELIEVE_EYES and doubt is not None:
            log.warning("%s: this node is taken for MASTER", doubt.reason.sentence)
            self.feed.say(Vrrp.MASTER)
        elif decision.word_act is WordAct.ASK and doubt is not None:
            log.warning("%s: it is asked again", doubt.reason.sentence)
            driver.ask_again(spec)
        elif decision.word_act is WordAct.RESTART:
            log.warning("keepalived does not say what is true: it is restarted")
            driver.end_at_once()

    def _plan_next_look(self, at: float | None) -> None:
        if self._again is not None:
            self._again.cancel()
        self._again = self._loop.call_at(at, self.wake) if at is not None else None

    def _take_steps(self, decision: Decision) -> None:
        self.stage.stale |= decision.renewed
        if not self.stage.take_all(decision.steps, self.plan):
            self._turns.hurry()

    def _tell_change(self, before: Kept, decision: Decision) -> None:
        """What is new about the role, for the log and the history; before any step of it is taken."""
        kept = decision.kept
        if kept.hold != before.hold:
            log.warning("held back: %s", kept.hold.reason) if kept.hold else log.info("no longer held back")
        if (kept.waits_since is None) is not (before.waits_since is None):
            begins = kept.waits_since is not None
            log.info("waits until the peer has left the role") if begins else log.info("the peer has left the role")
        if kept.release and not before.release and before.role is Role.MASTER:
            self._begin_change(Role.FAULT, kept.release)
        if kept.role is not before.role:
            log.info("role: %s", kept.role)

    def _follow(self, decision: Decision) -> None:
        """The phases of the change of role that is under way."""
        if self.vrrp is not Vrrp.MASTER and decision.is_drained:
            self.journal.mark("stopped")
        if self.journal.target != decision.role:
            return
        self.journal.mark("role")
        if decision.is_settled:
            if decision.role is Role.MASTER:
                self.journal.mark("services")
            self.journal.end()

    # --- what goes outward ---

    def _write_role(self, role: Role) -> None:
        """Again if somebody else has written there; not without a configuration, which would say what role that is."""
        if self.plan.units:
            role_file.write(role, self.paths)

    def _tell_keepalived(self, *, fit: bool | None) -> None:
        """Whether this node may have the role, if that is news."""
        if fit is not None and fit is not self.told_fit:
            write_fitness(self.paths, fit=fit)
            self.told_fit = fit

    def _publish(self, decision: Decision) -> None:
        """What is true, for everybody."""
        drivers = self.stage.drivers
        pgids = {
            name: driver.leader.pid
            for name, driver in drivers.items()
            if driver.leader and self.state(name) not in DOWN
        }
        shown = picture(
            decision.facts,
            decision.verdict,
            pgids=pgids,
            since=self.since,
            role_since=decision.kept.role_since,
            history=tuple(self.history),
        )
        self.board.publish(shown)

    def remember(self) -> None:
        """Write down what the next agent has to know."""
        stage = self.stage
        leaders = {name: driver.leader for name, driver in stage.drivers.items()}
        units = {
            name: self.notes.unit(stage.units[name], life, leaders.get(name), stale=name in stage.stale)
            for name, life in stage.lives.items()
        }
        active = self.active if self.wish is None else self.wish
        down, up = tuple(sorted(self.down)), tuple(sorted(self.up))
        kept, history = self.kept, tuple(self.history)
        self.notes.save(Memory(active, down, up, kept.role, kept.role_since, units, history, kept.abandoned))

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

    def reload_engines(self, written: list[str]) -> None:
        """Have keepalived read its file again, if that is among the ``written``."""
        driver = self.stage.drivers.get("keepalived")
        if isinstance(driver, Keepalived) and str(self.paths.keepalived_conf) in written:
            driver.reload()

    def make_driver(self, unit: Unit, post: Post) -> Driver:
        """The driver for one incarnation of the unit."""
        return self._drivers(unit, post)

    def _gate(self, replica: Replica | None) -> tuple[Gate, str]:
        """Whether a promotion may be tried now."""
        return promotion_gate(self.situation(), replica)
