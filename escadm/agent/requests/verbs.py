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
from escadm.agent.requests.fence_peer import ask_for_peer
from escadm.agent.requests.waiting import Overtaken, Patience, needs_of
from escadm.config.overlay import canonical
from escadm.core.change import PAIRED_STEPS, Change, ChangeClass, classify
from escadm.core.graph import above, below
from escadm.core.lifecycle import Life
from escadm.core.reconcile import DOWN, WAITING, counted_needs
from escadm.core.role import master_units, why_not_take_over, why_peer_lacks_data
from escadm.core.rules.role import ELECTION
from escadm.core.states import Role, UnitState, Vrrp
from escadm.errors import Failed, Usage
from escadm.system.host import Host
from escadm.system.net import host_facts

Say = Callable[[Mapping[str, object]], None]

TAKES_OVER_WITHIN = 10.0
NOBODY, AGAIN = "nobody took the role over", ": this node stands for it again"

PAIRED = f"both nodes must change together: {'; '.join(PAIRED_STEPS)}"


class Verbs:
    """The verbs over one node. Each returns the sentence that tells what was done, or raises EscadmError."""

    def __init__(self, node: Node, host: Host) -> None:
        self._node = node
        self._patience = Patience(node)
        self._host = host

    async def do(self, request: Mapping[str, object], say: Say) -> str:
        """Carry out one request of the control socket's protocol."""
        names = request.get("resources") or []
        resources = [canonical(str(name)) for name in names] if isinstance(names, list) else []
        force = request.get("force") is True
        known: dict[str, Callable[[], Awaitable[str]]] = {
            "start": lambda: self.start(resources),
            "stop": lambda: self.stop(resources),
            "restart": lambda: self.restart(resources),
            "reload": lambda: self.reload(say, force=force),
            "switchover": lambda: self.switchover(force=force),
            "fence-peer": lambda: ask_for_peer(self._node),
            "trust": lambda: self.trust(str(request.get("key") or ""), forget=request.get("forget") is True),
        }
        verb = known.get(str(request.get("do")))
        if verb is None:
            raise Usage(f"the agent knows no request {request.get('do')!r}")
        self._check_names(resources)
        node = self._node
        resources = sorted(set(resources) | (node.plan.with_members(resources) - node.absent))

        def progress(name: str, _before: Life, life: Life) -> None:
            if ":" not in name:
                detail = life.reason if life.again or life.state in WAITING else ""
                say({"unit": name, "state": life.state.value, "detail": detail})

        node.stage.watchers.append(progress)
        try:
            return await verb()
        finally:
            node.stage.watchers.remove(progress)

    # --- start, stop, restart ---

    async def start(self, resources: list[str]) -> str:
        """Everything, or the named resources with what they stand on."""
        node, wishes = self._node, self._node.wishes
        if wishes.ending:
            raise Failed("cannot start anything: the agent is ending", "start it with: escadm agent")
        if not resources:
            wishes.active, wishes.down = True, frozenset()
            node.stage.reset(node.plan.units)
            await self._patience.come_up(frozenset(node.plan.units), await_role=True)
            return f"started; this node is {node.role}"
        if not wishes.active:
            raise Failed("cannot start single resources: this node is stopped", "start it first with: escadm start")
        scope = below({name: counted_needs(unit, node.absent) for name, unit in node.plan.units.items()}, resources)
        absent = sorted(scope & node.absent)
        if absent:
            raise Failed(
                f"cannot start {resources[0]}: {absent[0]} is not installed", "give it a command in esc-config.yaml"
            )
        wishes.up |= {name for name in resources if not node.plan.units[name].startup}
        wishes.down -= scope
        node.stage.reset(scope)
        await self._patience.come_up(scope)
        late = [name for name in resources if node.stage.state(name) is not UnitState.RUNNING]
        if late:
            raise self._patience.why_not_up(late[0])
        return f"started: {', '.join(resources)}"

    async def stop(self, resources: list[str]) -> str:
        """Everything, or the named resources after what stands on them."""
        node, wishes, state = self._node, self._node.wishes, self._node.stage.state
        if resources:
            off = {name for name in resources if not node.plan.units[name].startup}
            wishes.up -= off  # switched off at startup: it is that again
            wishes.down |= frozenset(resources) - off
            scope: Collection[str] = above(needs_of(node.plan), resources)
        else:
            wishes.active, wishes.up = False, frozenset()
            scope = [*node.plan.units, *node.stage.lives]

        def overtaken() -> bool:
            if not resources:
                return wishes.active
            return node.has_decided and bool(node.decision.goal.intersection(resources))

        await self._patience.until(lambda: overtaken() or all(state(name) in DOWN for name in scope), scope)
        if overtaken():
            raise Failed("the stop was overtaken by a later start")
        return f"stopped: {', '.join(resources)}" if resources else "stopped"

    async def restart(self, resources: list[str]) -> str:
        """Everything, by the configuration as it is now on disk; or the named resources and what stands on them."""
        node, wishes, state = self._node, self._node.wishes, self._node.stage.state
        if not resources:
            prepared = await self._prepare()
            await self.stop([])
            await asyncio.to_thread(commit, prepared, self._host)
            node.take_plan(prepared.plan)
            return await self._start_again([])
        stale, was_active = node.stage.stale, wishes.active
        wishes.down -= below(needs_of(node.plan), resources)
        stale |= {name for name in resources if state(name) not in DOWN}
        await self._patience.until(
            lambda: not wishes.active or all(name not in stale or state(name) in DOWN for name in resources),
            above(needs_of(node.plan), resources),
        )
        if wishes.down.intersection(resources) or (was_active and not wishes.active):
            raise Overtaken("restart")
        return await self._start_again(resources)

    async def _start_again(self, resources: list[str]) -> str:
        """The second half of a restart, with what stands on the named resources."""
        try:
            done = await self.start(resources)
            await self._patience.come_up(above(needs_of(self._node.plan), resources))
        except Overtaken:
            raise Overtaken("restart") from None
        return done.replace("started", "restarted", 1)

    def _check_names(self, resources: list[str]) -> None:
        for name in resources:
            unit = self._node.plan.units.get(name)
            if unit is None:
                close = get_close_matches(name, self._node.plan.units, 1)
                raise Usage(f"there is no resource {name}", f"did you mean {close[0]}?" if close else "")
            if unit.kind.is_implied:
                raise Usage(f"{name} is a state, not a resource", "to move the role: escadm switchover")

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
        if paired and not force and node.stage.state("keepalived") not in DOWN:
            raise Failed(f"not reloaded, nothing was changed: {paired[0].what} is a matter of both nodes", PAIRED)
        written = await asyncio.to_thread(commit, prepared, self._host)
        for path in written:
            say({"say": f"wrote {path}"})
        if _of(changes, ChangeClass.RESTART) and not node.lacks:
            return "reloaded; what was changed takes effect with: escadm restart"
        node.take_plan(prepared.plan)
        await node.reload(written)
        if node.wishes.active:
            await self._patience.come_up(frozenset(node.plan.units))
        return "reloaded" if changes or written else "reloaded: nothing has changed"

    async def _prepare(self) -> Prepared:
        paths = self._node.paths
        return await asyncio.to_thread(lambda: prepare(paths, host_facts(paths), self._host))

    # --- switchover ---

    async def switchover(self, *, force: bool) -> str:
        """Hand the role to the peer: stop in order, let the VIP go, wait until all runs there."""
        node, inputs, wishes = self._node, self._node.inputs, self._node.wishes
        if not node.plan.is_pair:
            raise Failed("cannot switch over: this node is standalone", "make it one of a pair with: escadm ha set")
        if node.role is not Role.MASTER:
            raise Failed(f"cannot switch over: this node is {node.role}, not the primary", "run it on the primary")
        if wishes.switchover:
            raise Failed("a switchover is under way already")
        lacks = why_peer_lacks_data(inputs.replica, replicates=node.plan.drbd is not None)
        why = why_not_take_over(inputs.peer) or lacks
        if why and not force:
            raise Failed(f"cannot switch over: {why}", "to give the role up all the same: escadm switchover --force")
        began = time.monotonic()
        wishes.switchover = "the role is handed to the peer on purpose (switchover)"
        try:
            primary = master_units(node.plan, node.stage.live())
            await self._patience.until(lambda: node.decision.is_drained or inputs.vrrp is not Vrrp.MASTER, primary)
            taken = await self._patience.within(TAKES_OVER_WITHIN, self._peer_has_taken_over)
            if not taken and inputs.peer is not None:
                unfit = node.decision.message.reasons
                raise Failed(f"{NOBODY}, and this node cannot have it now: {unfit[0]}" if unfit else NOBODY + AGAIN)
        finally:
            wishes.switchover = ""
            node.turns.wake()
        await self._patience.within(TAKES_OVER_WITHIN, lambda: node.role is Role.BACKUP or inputs.vrrp is Vrrp.MASTER)
        if inputs.peer is None:
            return await self._given_up_to_somebody()
        patience = sum(unit.start_timeout for unit in node.plan.units.values())
        settled = await self._patience.within(
            patience, lambda: self._peer_is_settled() or not self._peer_has_taken_over()
        )
        if inputs.peer is None or not self._peer_has_taken_over():
            raise Failed("the peer took the role and lost it again", "see: escadm status")
        left = "" if settled else "; not all of it runs there yet"
        return f"the primary is now {inputs.peer.address}, after {time.monotonic() - began:.1f} s{left}"

    async def _given_up_to_somebody(self) -> str:
        """The end of a switchover without a known peer: the role comes back by itself if nobody wanted it."""
        spec = self._node.plan.keepalived
        election = ELECTION * spec.advert_interval if spec else 0.0
        if await self._patience.within(election, lambda: self._node.inputs.vrrp is Vrrp.MASTER):
            raise Failed(NOBODY + AGAIN)
        return "the role was given up; who has it now is not known here, as the peer's address is not"

    # --- the peer's key ---

    async def trust(self, key: str, *, forget: bool) -> str:
        """Take another key for the peer's, or have the next first contact decide about it."""
        link = self._node.inputs.link
        if link is None:
            raise Failed("this node knows no peer", "make it one of a pair with: escadm ha set")
        return link.forget() if forget else link.trust(key)

    def _peer_is_settled(self) -> bool:
        peer = self._node.inputs.peer
        return peer is not None and peer.settled

    def _peer_has_taken_over(self) -> bool:
        peer = self._node.inputs.peer
        return peer is not None and peer.heard and peer.vrrp is Vrrp.MASTER and peer.role is Role.MASTER


def _of(changes: tuple[Change, ...], kind: ChangeClass) -> list[Change]:
    return [change for change in changes if change.kind is kind]
