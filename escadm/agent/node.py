"""The node: everything that is known and wanted, and the turn that leads from one to the other.

Whatever happens only wakes it: a turn asks the reconciler for the steps that may be taken now, has them taken, and
publishes what is true. There is one loop and one state, so two changes of role cannot overlap.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from escadm.agent.attempt import Attempts, is_answered
from escadm.agent.driver import Driver, Post
from escadm.agent.fence import Fence
from escadm.agent.gateway import GatewayFeed
from escadm.agent.journal import Journal, iso
from escadm.agent.make import make_driver
from escadm.agent.memory import Memory
from escadm.agent.peer import PeerLinks, heartbeat_interval
from escadm.agent.publish import publish_end, publish_role
from escadm.agent.replicas import ReplicaFeed
from escadm.agent.stage import Stage
from escadm.agent.tell import publish_node, remember_node, tell_keepalived, tell_peer
from escadm.agent.vrrp import Keepalived, RoleFeed
from escadm.core.fencing import NO_GATEWAY, sees_more
from escadm.core.lifecycle import Event, Life
from escadm.core.reconcile import DOWN, Intent, goal, reconcile
from escadm.core.replication import Replica, why_unfit
from escadm.core.role import TAKES_THE_ROLE, Peer, gives_up, is_drained, reached, why_peer_lacks_data
from escadm.core.types import Kind, Plan, Role, RoleChange, SystemdSpec, Unit, UnitState, Vrrp
from escadm.log import get
from escadm.paths import Paths
from escadm.system.systemd import unit_exists

PASSING = (UnitState.STARTING, UnitState.STOPPING, UnitState.KILLING)
TARGETS = {Vrrp.MASTER: Role.MASTER, Vrrp.BACKUP: Role.BACKUP}

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
        self.role = memory.role
        self.role_since = memory.role_since
        self.vrrp = Vrrp.UNKNOWN
        self.switchover = ""  # why the role is given up on purpose
        self.release = ""
        self.link: PeerLinks | None = None
        self.gateway = GatewayFeed(self.wake)
        self.fence = Fence(self, memory.abandoned)
        self.watchers: list[Callable[[str, Life], None]] = []
        self.history: list[RoleChange] = list(memory.history)
        self.journal = Journal(time.monotonic, time.time, self.history)
        self.feed = RoleFeed(paths, self._on_vrrp)
        self.replicas = ReplicaFeed(self._on_replica)
        self.replica: Replica | None = None
        self.stage = Stage(self.make_driver, self._on_change)
        self.since: dict[str, str] = {}
        self.told_fit: bool | None = None  # the fitness that is on disk, as far as this agent wrote it
        self._written: Role | None = None  # likewise the role
        self._absent: frozenset[str] = frozenset()
        self._waiting: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []
        self._loop = asyncio.get_running_loop()
        self._due = False
        self._attempts = Attempts(self.wake)
        self.take_plan(plan)

    # --- what verbs and events change ---

    def take_plan(self, plan: Plan) -> None:
        """Go by another plan from now on."""
        self.plan = plan
        self.stage.redefine(plan)
        specs = {name: unit.spec for name, unit in plan.units.items()}
        self._absent = frozenset(
            name
            for name, spec in specs.items()
            if isinstance(spec, SystemdSpec)
            and (not unit_exists(spec.unit, self.paths) or (spec.implied and not plan.units[name].mentioned))
        )
        self._connect()
        self.wake()

    def wake(self) -> None:
        """Look again, soon; many calls make one turn."""
        if not self._due:
            self._due = True
            self._loop.call_soon(self._turn)

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait until ``true()`` holds at the end of a turn; an error in it is raised here."""
        future: asyncio.Future[None] = self._loop.create_future()
        self._waiting.append((true, future))
        self.wake()
        await future

    @property
    def intent(self) -> Intent:
        master = self.vrrp is Vrrp.MASTER and not self.release and not self.fence.hold
        return Intent(self.active, master, self.down, self.up, self._absent)

    @property
    def goal(self) -> frozenset[str]:
        """What should be up now."""
        return goal(self.plan, self.intent)

    @property
    def peer(self) -> Peer | None:
        return self.link.peer if self.link else None

    def state(self, name: str) -> UnitState:
        """The state of a unit; one that never lived is stopped."""
        life = self.stage.lives.get(name)
        return life.state if life else UnitState.STOPPED

    def is_settled(self) -> bool:
        """Whether all that should be up is up (the condition aside), and nothing else is."""
        wanted = {name for name in self.goal if self.plan.units[name].kind is not Kind.CONDITION}
        return all(self.state(name) is UnitState.RUNNING for name in wanted) and all(
            life.state in DOWN for name, life in self.stage.lives.items() if name not in wanted
        )

    def is_down(self) -> bool:
        """Whether nothing runs here."""
        return all(life.state in DOWN for life in self.stage.lives.values())

    def is_drained(self) -> bool:
        """Whether nothing of the primary is left here."""
        return is_drained(self.plan, self.stage.live())

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
        if self.plan.is_pair:
            self._attempts.make("write the role", lambda: publish_role(Role.FAULT, self.paths))
        self._attempts.make("forget", lambda: self.paths.state.unlink(missing_ok=True))
        self._attempts.make("publish the end", lambda: publish_end(self.paths, tuple(self.history)))

    # --- events ---

    def _on_vrrp(self, vrrp: Vrrp) -> None:
        before, self.vrrp = self.vrrp, vrrp
        driver = self.stage.drivers.get("keepalived")
        if isinstance(driver, Keepalived) and vrrp is not Vrrp.STOP:
            driver.word()
        if vrrp is not before:
            self._begin(TARGETS.get(vrrp, Role.FAULT), f"keepalived says {vrrp}")
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

    @property
    def unfit(self) -> str:
        """Why the data here must not be served, or cannot be; empty when it may, and while that is not known yet."""
        life = self.stage.lives.get("drbd")
        if self.plan.drbd is None or life is None:
            return ""
        if life.state is UnitState.RUNNING:
            return why_unfit(self.replica) if self.replica else ""
        return f"drbd {life.reason}" if life.streak else ""

    @property
    def peer_lacks(self) -> str:
        """Why the role must not be moved to the peer on purpose for the data's sake; empty when it may."""
        return why_peer_lacks_data(self.replica, replicates=self.plan.drbd is not None)

    def _begin(self, target: Role, cause: str) -> None:
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

    def _turn(self) -> None:
        self._due = False
        if self._over:
            return
        make = self._attempts.make
        make("judge what the peer does", self.fence.turn)
        make("take the next steps", self._take_steps)
        make("reach the role", self._reach)
        make("write the role", self._write_role)
        make("tell keepalived", lambda: tell_keepalived(self))
        make("publish the status", lambda: publish_node(self))
        make("remember", lambda: remember_node(self))
        if self.link is not None:
            make("tell the peer", self.link.say)
        self._waiting = [pair for pair in self._waiting if not is_answered(*pair)]

    def _take_steps(self) -> None:
        self._judge_release()
        for step in reconcile(self.plan, self.stage.live(), self.intent):
            self.stage.take(step, self.plan)

    def failing(self) -> list[str]:
        """Units with the verdict, in start order; what is kept up for ever is never a reason to fail over.

        Nor is what an administrator has stopped since.
        """
        lives = self.stage.lives
        return [name for name in self.plan.units if name in lives and lives[name].failed and name not in self.down]

    def _judge_release(self) -> None:
        lives = self.stage.lives
        reasons = [f"{name} {lives[name].reason}" for name in self.failing()] + ([self.unfit] if self.unfit else [])
        reasons += [NO_GATEWAY] if self.gateway.gone else []
        lost = self.fence.why_lost() if self.role is Role.MASTER or self.vrrp is Vrrp.MASTER else ""
        why = self.switchover or (f"gave the role up: {lost}" if lost else "")
        if not why and self.plan.is_pair and self.active and not self.peer_lacks and gives_up(reasons, self.peer):
            why = f"gave the role up: {reasons[0]}"
        if why and not self.release and self.role is Role.MASTER:
            self._begin(Role.FAULT, why)
        self.release = why

    def _reach(self) -> None:
        live = self.stage.live()
        if self.vrrp is not Vrrp.MASTER and is_drained(self.plan, live):
            self.journal.mark("stopped")
        role = reached(self.plan, self.vrrp, live, self.role)
        if role is not self.role:
            log.info("role: %s", role)
            self.role, self.role_since = role, iso(time.time())
            self.journal.mark("role")
        if self.journal.target == role and self.is_settled():
            if role is Role.MASTER:
                self.journal.mark("services")
            self.journal.end()

    def _write_role(self) -> None:
        if self.role is not None and self.role is not self._written:
            publish_role(self.role, self.paths)
            self._written = self.role

    # --- the peer ---

    def _connect(self) -> None:
        """(Re)open the links to the peer where the plan knows its address, and ask the gateway that it names."""
        spec = self.plan.keepalived
        interval = heartbeat_interval(spec.advert_interval) if spec else 1.0
        self.gateway.ask(spec.gateway if spec else (), interval)
        route = (spec.peer_paths if spec else (), interval)
        if self.link is not None and self.link.route == route:
            return
        if self.link is not None:
            self.link.close()
        self.link = PeerLinks(*route, lambda: tell_peer(self), self.wake) if route[0] else None
        self.fence.listens_anew()
        if self.link is not None:
            self._opening = self._loop.create_task(self.link.open())

    def make_driver(self, unit: Unit, post: Post) -> Driver:
        """The driver for one incarnation of the unit."""
        return make_driver(self, unit, post)
