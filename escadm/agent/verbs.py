"""What administrators ask of the agent: start, stop, restart, reload, switchover.

No verb has an order of its own. Each changes what is wanted, wakes the node and waits until that is so; progress goes
out line by line, and the last line is the outcome.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from difflib import get_close_matches

from escadm.actions.reload import Prepared, commit, prepare
from escadm.agent.node import Node
from escadm.agent.vrrp import Keepalived
from escadm.core.change import classify
from escadm.core.graph import above, below
from escadm.core.lifecycle import Life
from escadm.core.reconcile import DOWN, WAITING
from escadm.core.role import why_not_take_over
from escadm.core.types import Change, ChangeClass, Kind, Role, UnitState, Vrrp
from escadm.errors import Failed, Usage
from escadm.system.host import Host
from escadm.system.net import host_facts

Say = Callable[[Mapping[str, object]], None]

TAKES_OVER_WITHIN = 10.0
ELECTION = 4.0  # advertisement intervals: three, the skew, and a little

PAIRED_STEPS = (
    "both nodes must change together: escadm stop on the standby; escadm reload --force on the primary; "
    "then escadm reload and escadm start on the standby"
)


class Verbs:
    """The verbs over one node. Each returns the sentence that tells what was done, or raises EscadmError."""

    def __init__(self, node: Node, host: Host) -> None:
        self._node = node
        self._host = host

    async def do(self, request: Mapping[str, object], say: Say) -> str:
        """Carry out one request of the control socket's protocol."""
        names = request.get("resources") or []
        resources = [str(name) for name in names] if isinstance(names, list) else []
        force = request.get("force") is True
        known: dict[object, Callable[[], Awaitable[str]]] = {
            "start": lambda: self.start(resources),
            "stop": lambda: self.stop(resources),
            "restart": lambda: self.restart(resources),
            "reload": lambda: self.reload(say, force=force),
            "switchover": lambda: self.switchover(force=force),
        }
        if request.get("do") not in known:
            raise Usage(f"the agent knows no request {request.get('do')!r}")
        self._check_names(resources)

        def progress(name: str, life: Life) -> None:
            if ":" not in name:
                detail = life.reason if life.again or life.state in WAITING else ""
                say({"unit": name, "state": life.state.value, "detail": detail})

        self._node.watchers.append(progress)
        try:
            return await known[request.get("do")]()
        finally:
            self._node.watchers.remove(progress)

    # --- start, stop, restart ---

    async def start(self, resources: list[str]) -> str:
        """Everything, or the named resources with what they stand on."""
        node = self._node
        if not resources:
            node.active, node.down = True, frozenset()
            node.stage.reset(node.plan.units)
            await self._come_up(frozenset(node.plan.units), await_role=True)
            return f"started; this node is {node.role}"
        if not node.active:
            raise Failed("cannot start single resources: this node is stopped", "start it first with: escadm start")
        scope = below(self._needs(), resources)
        absent = sorted(scope & node.intent.absent)
        if absent:
            raise Failed(
                f"cannot start {resources[0]}: {absent[0]} is not installed", "give it a command in esc-config.yaml"
            )
        node.up |= {name for name in resources if not node.plan.units[name].startup}
        node.down -= scope
        node.stage.reset(scope)
        await self._come_up(scope)
        waiting = [name for name in resources if node.state(name) is not UnitState.RUNNING]
        if waiting:
            raise Failed(f"{waiting[0]} waits for the role: this node is {node.role}, and it runs on the primary")
        return f"started: {', '.join(resources)}"

    async def stop(self, resources: list[str]) -> str:
        """Everything, or the named resources after what stands on them."""
        node = self._node
        if resources:
            node.down |= frozenset(resources)
            scope: Collection[str] = above(self._needs(), resources)
        else:
            node.active = False
            scope = [*node.plan.units, *node.stage.lives]

        def overtaken() -> bool:
            return not node.down.issuperset(resources) if resources else node.active

        await node.until(lambda: overtaken() or all(node.state(name) in DOWN for name in scope))
        if overtaken():
            raise Failed("the stop was overtaken by a later start")
        return f"stopped: {', '.join(resources)}" if resources else "stopped"

    async def restart(self, resources: list[str]) -> str:
        """Everything, by the configuration as it is now on disk; or the named resources and what stands on them."""
        node = self._node
        if not resources:
            prepared = await self._prepare()
            await self.stop([])
            await asyncio.to_thread(commit, prepared, self._host)
            node.take_plan(prepared.plan)
            return (await self.start([])).replace("started", "restarted", 1)
        node.stage.stale |= {name for name in resources if node.state(name) not in DOWN}
        await node.until(lambda: not node.stage.stale.intersection(resources) or not node.active)
        done = await self.start(resources)
        await self._come_up(above(self._needs(), resources))
        return done.replace("started", "restarted", 1)

    def _needs(self) -> dict[str, tuple[str, ...]]:
        return {name: unit.needs for name, unit in self._node.plan.units.items()}

    def _check_names(self, resources: list[str]) -> None:
        for name in resources:
            unit = self._node.plan.units.get(name)
            if unit is None:
                close = get_close_matches(name, self._node.plan.units, 1)
                raise Usage(f"there is no resource {name}", f"did you mean {close[0]}?" if close else "")
            if unit.kind in (Kind.CONDITION, Kind.PROMOTION):
                raise Usage(f"{name} is a state, not a resource", "to move the role: escadm switchover")

    async def _come_up(self, scope: frozenset[str], *, await_role: bool = False) -> None:
        """Wait until all in ``scope`` that should be up is; raises Failed with the first failure's reason."""
        node = self._node
        failures: dict[str, str] = {}

        def note(name: str, life: Life) -> None:
            if name in scope and life.reason and (life.again or life.state in WAITING):
                failures.setdefault(name, life.reason)

        role_is_known = self._election() if await_role else lambda: True
        node.watchers.append(note)
        try:
            await node.until(lambda: not node.active or (self._is_tried(scope) and role_is_known()))
        finally:
            node.watchers.remove(note)
        if not node.active:
            raise Failed("the start was overtaken by a later stop")
        for name, reason in failures.items():
            if node.state(name) is not UnitState.RUNNING:
                raise Failed(f"{name} {reason}", f"its output is in {node.paths.log_directory / name}.log")

    def _is_tried(self, scope: frozenset[str]) -> bool:
        """Whether every unit that should be up is, or has failed, or stands on one that has."""
        node = self._node
        needs = self._needs()
        for name in node.goal & scope:
            state = node.state(name)
            fine = state is UnitState.RUNNING or state in WAITING or node.plan.units[name].kind is Kind.CONDITION
            if not fine and not any(node.state(lower) in WAITING for lower in below(needs, [name])):
                return False
        return True

    def _election(self) -> Callable[[], bool]:
        """A question answered yes once VRRP has decided, or has had as long as that may take."""
        node = self._node
        spec = node.plan.keepalived
        if spec is None:
            return lambda: True
        limit = ELECTION * spec.advert_interval
        loop = asyncio.get_running_loop()

        def decided() -> bool:
            life = node.stage.lives.get("keepalived")
            if life is None or life.state is not UnitState.RUNNING:
                return life is not None and life.state in WAITING
            if node.vrrp is Vrrp.MASTER:
                return node.role is Role.MASTER
            peer_has_it = node.peer is not None and node.peer.heard and node.peer.vrrp is Vrrp.MASTER
            left = life.since + limit - loop.time()
            if node.vrrp is Vrrp.BACKUP and not peer_has_it and left > 0:
                loop.call_later(left + 0.01, node.wake)
                return False
            return True

        return decided

    # --- reload ---

    async def reload(self, say: Say, *, force: bool) -> str:
        """Take up the configuration as far as that is possible without a change of role; tell what is left to do."""
        node = self._node
        prepared = await self._prepare()
        for warning in prepared.warnings:
            say({"say": str(warning)})
        changes = classify(node.plan, prepared.plan)
        for change in changes:
            say({"say": f"{change.what}: {change.old} -> {change.new} ({change.kind})"})
        paired = _of(changes, ChangeClass.PAIRED)
        if paired and not force and node.state("keepalived") not in DOWN:
            raise Failed(f"not reloaded, nothing was changed: {paired[0].what} is a matter of both nodes", PAIRED_STEPS)
        written = await asyncio.to_thread(commit, prepared, self._host)
        for path in written:
            say({"say": f"wrote {path}"})
        if _of(changes, ChangeClass.RESTART):
            return "reloaded; what was changed takes effect with: escadm restart"
        node.take_plan(prepared.plan)
        driver = node.stage.drivers.get("keepalived")
        if isinstance(driver, Keepalived) and str(node.paths.keepalived_conf) in written:
            driver.reload()
        if node.active:
            await self._come_up(frozenset(node.plan.units))
        return "reloaded" if changes or written else "reloaded: nothing has changed"

    async def _prepare(self) -> Prepared:
        paths = self._node.paths
        return await asyncio.to_thread(lambda: prepare(paths, host_facts(paths), self._host))

    # --- switchover ---

    async def switchover(self, *, force: bool) -> str:
        """Hand the role to the peer: stop in order, let the VIP go, wait until all runs there."""
        node = self._node
        if not node.plan.is_pair:
            raise Failed("cannot switch over: this node is standalone", "make it one of a pair with: escadm ha set")
        if node.role is not Role.MASTER:
            raise Failed(f"cannot switch over: this node is {node.role}, not the primary", "run it on the primary")
        if node.switchover:
            raise Failed("a switchover is under way already")
        why = why_not_take_over(node.peer)
        if why and not force:
            raise Failed(f"cannot switch over: {why}", "to give the role up all the same: escadm switchover --force")
        began = time.monotonic()
        node.switchover = "the role is handed to the peer on purpose (switchover)"
        try:
            await node.until(lambda: node.is_drained() or node.vrrp is not Vrrp.MASTER)
            await asyncio.wait_for(node.until(self._peer_has_taken_over), TAKES_OVER_WITHIN)
        except TimeoutError:
            raise Failed(
                f"nobody took the role over within {TAKES_OVER_WITHIN:g} s: this node stands for it again"
            ) from None
        finally:
            node.switchover = ""
            node.wake()
        await node.until(lambda: node.role is Role.BACKUP or node.vrrp is Vrrp.MASTER)
        await node.until(lambda: node.peer is None or node.peer.settled or not self._peer_has_taken_over())
        if node.peer is None or not self._peer_has_taken_over():
            raise Failed("the peer took the role and lost it again", "see: escadm status")
        return f"the primary is now {node.peer.address}, after {time.monotonic() - began:.1f} s"

    def _peer_has_taken_over(self) -> bool:
        peer = self._node.peer
        return peer is not None and peer.heard and peer.vrrp is Vrrp.MASTER and peer.role is Role.MASTER


def _of(changes: tuple[Change, ...], kind: ChangeClass) -> list[Change]:
    return [change for change in changes if change.kind is kind]
