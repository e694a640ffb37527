"""Taking over from an agent that is no more: what it left running is found, verified and watched, not disturbed."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from logging import INFO, WARNING

from escadm.agent.drivers.driver import GOING, Inherited
from escadm.agent.drivers.probing import mark_prefix
from escadm.agent.drivers.registry import started
from escadm.agent.node import Node
from escadm.agent.outputs.journal import iso
from escadm.agent.outputs.memory import Memory, UnitMemory, remember, restore_unit
from escadm.core.lifecycle import Life
from escadm.core.plan import Unit
from escadm.core.reconcile import UP
from escadm.core.specs import Kind, ProcessSpec
from escadm.core.states import UnitState
from escadm.errors import EscadmError
from escadm.log import get
from escadm.system.process import ProcessId, identify, is_alive
from escadm.system.processes import look

log = get(__name__)


def adopt(node: Node, memory: Memory) -> None:
    """Put everything on the node's stage that the last agent remembers, that carries our mark, or that is up."""
    for remembered in memory.units.values():
        _try(node, remembered)
    _adopt_strays(node, memory)
    _adopt_unwritten(node)
    _adopt_ground(node)
    node.inputs.vrrp = node.inputs.words.newest


def _adopt_strays(node: Node, memory: Memory) -> None:
    """Services that nobody wrote down: known by their marks, or by their scopes alone."""
    known = {name for name, unit in memory.units.items() if _is_the_one(unit)}
    seen = look(scoped=node.paths.is_host)
    scoped = seen.scopes
    unwritten = {pid: name for name, pids in scoped.items() if name not in memory.units for pid in pids}
    found = seen.leaders(mark_prefix(node.paths), unwritten)
    for name, leader in found.items():
        if name not in known:
            level = INFO if ":" in name else WARNING  # what only asks or watches is never written down
            log.log(level, "%s: found running (pid %d), not written down by the last agent", name, leader.pid)
            _try(node, _stray(node, name, leader, fresh=bool(memory.units)))
    for name in set(unwritten.values()) - found.keys():
        for leaderless in filter(None, map(identify, sorted(scoped[name])[:1])):
            log.warning("%s: found what is left of it (pid %d): ending that", name, leaderless.pid)
            left = _stray(node, name, leaderless, fresh=False)
            _try(node, replace(left, life=replace(left.life, state=UnitState.KILLING)))


def _is_the_one(memory: UnitMemory) -> bool:
    """Whether the remembered leader is that of the last incarnation; its children may well lead sessions of their own.

    A leader that was up and is dead has died since: a next incarnation would have been written down.
    """
    return memory.leader is not None and (memory.life.state in UP or is_alive(memory.leader))


def _try(node: Node, memory: UnitMemory, *, is_written: bool = True) -> None:
    """One unit that cannot be taken over must not keep the agent from all others."""
    try:
        _adopt(node, memory, is_written=is_written)
    except Exception:
        log.exception("%s: a defect of ours: not adopted", memory.name)


def _stray(node: Node, name: str, leader: ProcessId, *, fresh: bool) -> UnitMemory:
    """A service that nobody wrote down. ``fresh``: the rest is, so it had only just been started; otherwise all that
    was written is lost, and what stands on it would go down if it did not count as running.
    """
    unit = node.plan.units.get(name)
    if unit is None or unit.kind is Kind.CONDITION:  # no process is one, whatever its mark says
        unit = Unit(name, Kind.PROCESS, spec=ProcessSpec(()))
    now = asyncio.get_running_loop().time()
    life = Life(UnitState.STARTING, now, now + unit.start_timeout) if fresh else Life(UnitState.RUNNING, now)
    return remember(unit, life, leader, stale=False)


def _adopt(node: Node, memory: UnitMemory, *, is_written: bool) -> None:
    unit, outdated = restore_unit(memory, node.plan.units.get(memory.name))
    if memory.life.state not in (*UP, *GOING):
        if memory.name in node.plan.units:
            node.stage.adopt(unit, memory.life, None, stale=False)
        return
    post, bind = node.stage.poster(unit.name)
    driver = node.make_driver(unit, post)
    bind(driver)
    life = driver.adopt(Inherited(memory.life, memory.leader, is_written))
    node.stage.adopt(unit, life, driver, stale=outdated or not driver.gets_on(life))
    loop = asyncio.get_running_loop()
    node.outputs.since[unit.name] = iso(time.time() - (loop.time() - life.since))


def _adopt_unwritten(node: Node) -> None:
    """What is up although nobody wrote it down: a mount, the volume, a promotion, what systemd started at boot."""
    for name, unit, kind in started(node.plan):
        if name in node.absent or node.stage.state(name) is not UnitState.STOPPED:
            continue
        try:
            is_up = kind.is_up(unit, node.paths)
        except EscadmError:
            continue
        if is_up:
            log.warning("%s: found up, not written down by the last agent", name)
            _adopt_running(node, unit)


def _adopt_ground(node: Node) -> None:
    """Groups and local folders, of which the machine shows nothing: they are up where something stands on them."""
    for name, unit, kind in reversed(started(node.plan)):
        if node.stage.state(name) is not UnitState.STOPPED or not kind.is_ground(unit):
            continue
        above = (other.name for other in node.plan.units.values() if name in other.needs)
        if any(node.stage.state(other) in UP for other in above):
            _adopt_running(node, unit)


def _adopt_running(node: Node, unit: Unit) -> None:
    now = asyncio.get_running_loop().time()
    _try(node, remember(unit, Life(UnitState.RUNNING, now), None, stale=False), is_written=False)
