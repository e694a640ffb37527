"""Taking over from an agent that is no more: what it left running is found, verified and watched, not disturbed."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from logging import INFO, WARNING

from escadm.agent.drivers.drbd import Drbd
from escadm.agent.drivers.driver import Driver, Post
from escadm.agent.drivers.keepalived import Keepalived
from escadm.agent.drivers.probing import mark_prefix
from escadm.agent.drivers.process import Service
from escadm.agent.drivers.systemd import SystemdUnit
from escadm.agent.node import Node
from escadm.agent.outputs.journal import iso
from escadm.agent.outputs.memory import Memory, UnitMemory, remember, restore_unit
from escadm.core.lifecycle import KILL_TIMEOUT, Life
from escadm.core.types import FilesystemSpec, Kind, Notify, ProcessSpec, SystemdSpec, Unit, UnitState, Vrrp
from escadm.errors import EscadmError
from escadm.log import get
from escadm.system.drbd.commands import allow_syncs, read_replica
from escadm.system.mount import mounted_device
from escadm.system.net import has_address
from escadm.system.process import ProcessId, identify, is_alive
from escadm.system.processes import look
from escadm.system.systemd import is_booted, state

UP = (UnitState.STARTING, UnitState.RUNNING)
ASKED = (Kind.FILESYSTEM, Kind.DRBD, Kind.PROMOTION)
GOING = (UnitState.STOPPING, UnitState.KILLING)

log = get(__name__)


def adopt(node: Node, memory: Memory) -> None:
    """Put everything on the node's stage that the last agent remembers or that carries our mark."""
    for remembered in memory.units.values():
        _try(node, remembered)
    _adopt_strays(node, memory)
    _adopt_unwritten(node)
    _adopt_ground(node)
    _learn_role(node)


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


def _try(node: Node, memory: UnitMemory) -> None:
    """One unit that cannot be taken over must not keep the agent from all others."""
    try:
        _adopt(node, memory)
    except Exception:
        log.exception("%s: a defect of ours: not adopted", memory.name)


def _stray(node: Node, name: str, leader: ProcessId, *, fresh: bool) -> UnitMemory:
    """A service that nobody wrote down. ``fresh``: the rest is, so it had only just been started; otherwise all that
    was written is lost, and what stands on it would go down if it did not count as running.
    """
    unit = node.plan.units.get(name, Unit(name, Kind.PROCESS, spec=ProcessSpec(())))
    now = asyncio.get_running_loop().time()
    life = Life(UnitState.STARTING, now, now + unit.start_timeout) if fresh else Life(UnitState.RUNNING, now)
    return remember(unit, life, leader, stale=False)


def _adopt(node: Node, memory: UnitMemory) -> None:
    unit, outdated = restore_unit(memory, node.plan.units.get(memory.name))
    if memory.life.state not in (*UP, *GOING):
        if memory.name in node.plan.units:
            node.stage.adopt(unit, memory.life, None, stale=False)
        return
    post, bind = node.stage.poster(unit.name)
    driver = node.make_driver(unit, post)
    bind(driver)
    if isinstance(driver, Service):
        life = _adopt_process(unit, memory, driver, post)
        outdated = outdated or (isinstance(unit.ready, Notify) and life.state is UnitState.STARTING)
    elif isinstance(driver, SystemdUnit):
        life = _adopt_systemd(memory, driver)
    else:
        life = _adopt_plain(node, unit, memory.life, driver)
    node.stage.adopt(unit, life, driver, stale=outdated)
    loop = asyncio.get_running_loop()
    node.outputs.since[unit.name] = iso(time.time() - (loop.time() - life.since))


def _adopt_process(unit: Unit, memory: UnitMemory, service: Service, post: Post) -> Life:
    life, leader = memory.life, memory.leader
    if leader is None:  # it was about to be started, or was never more than that
        return replace(life, state=UnitState.STOPPED, deadline=None)
    if life.state in GOING:
        service.leader = leader
        return _killing(life, service)
    service.adopt(leader, ready=life.state is UnitState.RUNNING)
    log.info("%s: %s (pid %d)", unit.name, "adopted" if is_alive(leader) else "is gone", leader.pid)
    return life


def _adopt_systemd(memory: UnitMemory, driver: SystemdUnit) -> Life:
    """systemd is asked soon; what was being stopped is stopped again."""
    life = memory.life
    if life.state in GOING:
        return _killing(life, driver)
    driver.adopt(ready=life.state is UnitState.RUNNING)
    return life


def _killing(life: Life, driver: Driver) -> Life:
    """The life of what was being stopped: it is ended now."""
    loop = asyncio.get_running_loop()
    loop.call_soon(driver.kill)
    return replace(life, state=UnitState.KILLING, deadline=loop.time() + KILL_TIMEOUT)


def _adopt_plain(node: Node, unit: Unit, life: Life, driver: Driver) -> Life:
    """A unit that has no process: a group simply is, the machine is asked about mount, volume and promotion.

    What was under way when the agent ended is undone, and done again if it is still wanted: both do no harm twice.
    """
    if isinstance(driver, Drbd):
        driver.watch()
    loop = asyncio.get_running_loop()
    if life.state is not UnitState.RUNNING and unit.kind in ASKED:
        loop.call_soon(driver.terminate)
        return replace(life, state=UnitState.STOPPING, deadline=loop.time() + unit.stop_timeout, again=False)
    up = unit.kind not in ASKED or _is_up(node, unit, otherwise=True)
    return replace(life, state=UnitState.RUNNING if up else UnitState.STOPPED, deadline=None)


def _is_up(node: Node, unit: Unit, *, otherwise: bool) -> bool:
    """What the machine says of a mount, the volume or its promotion; ``otherwise`` where it cannot be asked."""
    spec = unit.spec
    try:
        if isinstance(spec, FilesystemSpec):
            return spec.device is None or mounted_device(node.paths.below(spec.mount_point)) is not None
        if isinstance(spec, SystemdSpec):
            return not state(spec.unit).is_down
        replica = read_replica()
    except EscadmError as error:
        if otherwise:
            log.warning("%s: taken to be up: %s", unit.name, error.message)
        return otherwise
    return replica is not None and (unit.kind is Kind.DRBD or replica.is_primary)


def _adopt_unwritten(node: Node) -> None:
    """What is up although nobody wrote it down: a mount, the volume, a promotion, what systemd started at boot."""
    systemd = is_booted(node.paths)
    for unit in node.plan.units.values():
        life = node.stage.lives.get(unit.name, Life())
        local = isinstance(unit.spec, FilesystemSpec) and unit.spec.device is None
        asked = unit.kind in ASKED or (systemd and unit.kind is Kind.UNIT and unit.name not in node.absent)
        if not asked or local or life.state is not UnitState.STOPPED:
            continue
        if _is_up(node, unit, otherwise=False):
            log.warning("%s: found up, not written down by the last agent", unit.name)
            if unit.kind is Kind.DRBD:
                _begin_syncs()
            now = asyncio.get_running_loop().time()
            _try(node, remember(unit, Life(UnitState.RUNNING, now), None, stale=False))


def _adopt_ground(node: Node) -> None:
    """Groups and local folders, of which the machine shows nothing: they are up where something stands on them."""
    for unit in reversed(list(node.plan.units.values())):
        life = node.stage.lives.get(unit.name, Life())
        local = isinstance(unit.spec, FilesystemSpec) and unit.spec.device is None
        if life.state is not UnitState.STOPPED or not (local or unit.kind is Kind.GROUP):
            continue
        above = (name for name, other in node.plan.units.items() if unit.name in other.needs)
        if any(node.state(name) in UP for name in above):
            now = asyncio.get_running_loop().time()
            _try(node, remember(unit, Life(UnitState.RUNNING, now), None, stale=False))


def _begin_syncs() -> None:
    """A first installation leaves them held up."""
    try:
        allow_syncs()
    except EscadmError as error:
        log.warning("%s", error.message)


def _learn_role(node: Node) -> None:
    """Where keepalived runs already: its last word if it is still in the FIFO, else whether the VIP is here.

    Without the VIP it is BACKUP or FAULT; SIGHUP makes keepalived say FAULT again if it is that.
    """
    driver = node.stage.drivers.get("keepalived")
    spec = node.plan.keepalived
    if not isinstance(driver, Keepalived) or spec is None or driver.leader is None or not is_alive(driver.leader):
        return
    node.feed.open()
    if node.feed.read():
        node.vrrp = node.feed.newest
    elif has_address(spec.vip_interface, spec.vip):
        node.vrrp = Vrrp.MASTER
    else:
        node.vrrp = Vrrp.BACKUP
        driver.reload()
    driver.word()
    log.info("keepalived runs already; this node is %s", node.vrrp)
