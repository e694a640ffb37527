"""Waiting on behalf of an administrator: until it is done, or until it is plain that it does not get done."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection

from escadm.agent.drivers.registry import KINDS
from escadm.agent.node import Node
from escadm.core.graph import above, below
from escadm.core.health import describe_unit
from escadm.core.lifecycle import Life
from escadm.core.plan import Plan
from escadm.core.reconcile import WAITING
from escadm.core.role import master_units
from escadm.core.rules.role import ELECTION
from escadm.core.specs import Kind
from escadm.core.states import Role, UnitState, Vrrp
from escadm.errors import Failed


def needs_of(plan: Plan) -> dict[str, tuple[str, ...]]:
    """What each unit of the plan needs."""
    return {name: unit.needs for name, unit in plan.units.items()}


class Overtaken(Failed):
    """Somebody has asked for a stop meanwhile."""

    def __init__(self, verb: str) -> None:
        super().__init__(f"the {verb} was overtaken by a later stop")


class Patience:
    """Waits for the node. None of it waits for ever for what has failed, or was overtaken by a later wish."""

    def __init__(self, node: Node) -> None:
        self._node = node

    async def until(self, true: Callable[[], bool], scope: Collection[str]) -> None:
        """Wait until ``true()``; raises Failed when one of ``scope`` turns out not to stop (attempts go on)."""
        node = self._node
        stuck: list[str] = []

        def note(name: str, before: Life, life: Life) -> None:
            # A unit that is being killed changes without getting anywhere only when that has come to nothing. A stop
            # that comes to nothing is not the end: killing is still to come, and a mount is taken from its holders.
            if name in scope and before.state is life.state is UnitState.KILLING:
                stuck.append(f"{name} cannot be stopped: {life.reason}")

        node.stage.watchers.append(note)
        try:
            await node.turns.until(lambda: true() or bool(stuck))
        finally:
            node.stage.watchers.remove(note)
        if stuck and not true():
            raise Failed(stuck[0], "it is still being tried; see: escadm status")

    async def within(self, limit: float, true: Callable[[], bool]) -> bool:
        """Wait until ``true()``, at most ``limit`` seconds; whether it came true."""
        try:
            await asyncio.wait_for(self._node.turns.until(true), limit)
        except TimeoutError:
            return False
        return True

    async def come_up(self, scope: frozenset[str], *, await_role: bool = False) -> None:
        """Wait until all in ``scope`` that should be up is; raises Failed with the first failure's reason."""
        node = self._node
        failures: dict[str, str] = {}

        def note(name: str, _before: Life, life: Life) -> None:
            if name in scope and life.reason and (life.again or life.state in WAITING):
                failures.setdefault(name, life.reason)

        role_is_known = self._election() if await_role else lambda: True
        node.stage.watchers.append(note)
        try:
            await self.until(lambda: not node.wishes.active or (self._is_tried(scope) and role_is_known()), scope)
        finally:
            node.stage.watchers.remove(note)
        if not node.wishes.active:
            raise Overtaken("start")
        for name, reason in failures.items():
            if node.stage.state(name) is not UnitState.RUNNING:
                unit = node.stage.units[name]
                place = KINDS[unit.kind].log_place(unit, node.paths)
                raise Failed(f"{name} {reason}", f"its output is in {place}")

    def _is_tried(self, scope: frozenset[str]) -> bool:
        """Whether every unit that should be up is, or has failed, or stands on one that has."""
        node, state = self._node, self._node.stage.state
        if not node.has_decided:
            return False
        plan = node.decision.facts.plan
        held = above(needs_of(plan), [name for name in plan.units if state(name) in WAITING])
        return all(
            state(name) is UnitState.RUNNING or name in held or plan.units[name].kind is Kind.CONDITION
            for name in node.decision.goal & scope
        )

    def _election(self) -> Callable[[], bool]:
        """A question answered yes once VRRP has decided, or has had as long as that may take."""
        node = self._node
        spec = node.plan.keepalived
        if spec is None:
            return lambda: True
        limit = ELECTION * spec.advert_interval
        loop = asyncio.get_running_loop()
        begun = loop.time()

        def decided() -> bool:
            if "keepalived" not in node.decision.goal:
                return True
            life = node.stage.lives.get("keepalived")
            if life is None or life.state is not UnitState.RUNNING:
                return life is not None and life.state in WAITING
            vrrp, peer = node.inputs.vrrp, node.inputs.peer
            if vrrp is Vrrp.MASTER:
                return node.role is Role.MASTER
            peer_has_it = peer is not None and peer.heard and peer.vrrp is Vrrp.MASTER
            in_fault = vrrp is Vrrp.FAULT and not node.kept.release  # keepalived is about to be told that it is over
            left = (begun if in_fault else life.since) + limit - loop.time()
            if (in_fault or (vrrp is Vrrp.BACKUP and not peer_has_it)) and left > 0:
                loop.call_later(left + 0.01, node.turns.wake)
                return False
            return True

        return decided

    def why_not_up(self, name: str) -> Failed:
        """What there is to say about a resource that was asked for and that is not up."""
        node = self._node
        unit = node.plan.units.get(name)
        if unit is None or node.wishes.down & below(needs_of(self._node.plan), [name]):
            return Overtaken("start")
        if name in master_units(node.plan, {}) and node.inputs.vrrp is not Vrrp.MASTER:
            return Failed(f"{name} waits for the role: this node is {node.role}, and it runs on the primary")
        state, detail = describe_unit(node.decision.facts, unit)
        return Failed(f"{name} {detail}" if detail else f"{name} is {state}")
