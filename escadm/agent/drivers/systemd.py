"""A systemd unit as a unit of ours: systemd starts, stops and keeps it, and says when it has ended."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from escadm.agent.drivers.driver import GOING, Driver, Inherited, Post, Tools
from escadm.agent.drivers.probing import Probing, Tasks, mark_prefix
from escadm.core.lifecycle import KILL_TIMEOUT, Event, Life
from escadm.core.plan import Unit, spec_of
from escadm.core.probes import Alive, Notify
from escadm.core.specs import ProcessSpec, Spec, SystemdSpec
from escadm.core.states import UnitState
from escadm.errors import EscadmError
from escadm.log import get
from escadm.paths import Paths
from escadm.system import systemd
from escadm.system.process import ProcessId, identify, open_pidfd, spawn
from escadm.system.scope import new_scope
from escadm.system.systemd import State
from escadm.system.systemd_words import why_not_up

LOOK_AGAIN = 0.1
WATCH_AGAIN = 1.0
MARGIN = 5.0
"""Seconds by which systemctl is given longer than the unit has: the limit of the unit's life comes first."""

NOT_UP = "ended as soon as it was started, or a condition of its unit file does not hold"
NO_SYSTEMD = "is a systemd unit, and systemd does not run here: give it a command"
STOPPED = "is not active any more: somebody else has stopped it, or it has ended by itself"

log = get(__name__)


class SystemdUnit(Driver):
    """One incarnation of a systemd unit; see Driver for the contract.

    That it has ended is said by a ``systemctl start --wait``, and by its main process's end. The former is in a scope
    that systemd stops after the agent and before the unit: at shutdown the agent stops the unit, when its turn comes.
    """

    def __init__(self, unit: Unit, post: Post, tools: Tools) -> None:
        super().__init__(unit, post, tools)
        self._systemd = spec_of(unit, SystemdSpec).unit
        self._wake = tools.wake  # it has another leader
        self._probing = Probing(unit, ProcessSpec(()), post, self._paths, tools.looks)
        self._tasks = Tasks(unit.name, post)
        self._endings = Tasks(unit.name, post)
        self._starting: asyncio.Future[None] | None = None
        self._ending = False
        self._restarts = 0
        self._watcher: tuple[subprocess.Popen[bytes], ProcessId] | None = None

    @property
    def doubt(self) -> str:
        if self._starting is not None and not self._starting.done():
            return "systemd has not started it yet"
        return self._probing.doubt

    # --- the verbs ---

    def start(self) -> None:
        self._tasks.do(self._start())

    def adopt(self, inherited: Inherited) -> Life:
        """systemd is asked soon; what was being stopped is stopped again."""
        life = inherited.life
        if life.state in GOING:
            return self._end_soon(life)
        self._tasks.do(self._adopt(ready=life.state is UnitState.RUNNING))
        return life

    def terminate(self) -> None:
        self._quiet()
        self._ending = True
        self._endings.do(self._end(self._unit.stop_timeout + MARGIN))

    def kill(self) -> None:
        """Asked for the first time because it has ended: systemd has only to agree. After a stop in vain: SIGKILL."""
        self._quiet()
        if self._ending:
            self._endings.do(self._kill())
        else:
            self._ending = True
            self._endings.do(self._end(KILL_TIMEOUT + MARGIN))

    # --- starting ---

    async def _start(self) -> None:
        loop = asyncio.get_running_loop()
        limit = self._unit.start_timeout + MARGIN
        self._starting = loop.run_in_executor(None, systemd.start, self._systemd, limit)
        self._starting.add_done_callback(lambda done: done.exception())  # heard, also where nobody waits any more
        trouble = ""
        try:
            await asyncio.shield(self._starting)
        except EscadmError as error:
            trouble = error.message.partition("\n")[0]
        state = await self._ask()
        if state.is_active and not trouble:
            self._take(state)
            await self._become_ready()
        else:
            self._post(Event.EXITED, why_not_up(self._systemd, state, trouble or NOT_UP))

    async def _adopt(self, *, ready: bool) -> None:
        state = await self._settled()
        if state.is_active:
            self._take(state)
            log.info("%s: adopted (%s, pid %d)", self._unit.name, self._systemd, state.main_pid)
            await (self._probing.keep_checking() if ready else self._become_ready())
        else:
            self._post(Event.EXITED, why_not_up(self._systemd, state, STOPPED))

    def _take(self, state: State) -> None:
        """It is up: from now on it is watched."""
        self._lead(state)
        self._restarts = state.restarts
        self._tasks.do(self._watch())

    def _lead(self, state: State) -> bool:
        """Learn its main process; True if that is news. One that has ended meanwhile is none: systemd will say so."""
        before, found = self.leader, identify(state.main_pid)
        if found is not None or not state.main_pid:
            self.leader = found
        self._wake()
        return self.leader != before

    async def _become_ready(self) -> None:
        wanted = self._unit.ready
        if not isinstance(wanted, Alive | Notify):
            await self._probing.until_good(wanted)
        self._post(Event.READY, "")
        await self._probing.keep_checking()

    # --- watching ---

    async def _watch(self) -> None:
        """Post EXITED as soon as it is not active. A restart that somebody asked systemd for is their business."""
        while True:
            await self._until_news()
            state = await self._settled()
            if state.is_active and identify(state.main_pid) == self.leader:  # systemctl has a reason of its own to end
                await asyncio.sleep(WATCH_AGAIN)
                state = await self._settled()
            if not state.is_active or state.restarts > self._restarts:
                again = "failed, and systemd has restarted it by itself"
                self._post(Event.EXITED, why_not_up(self._systemd, state, again if state.is_active else STOPPED))
                return
            if self._lead(state):
                log.warning("%s: somebody else has restarted %s", self._unit.name, self._systemd)

    async def _until_news(self) -> None:
        """Until systemctl says that the unit has ended, or its main process has."""
        try:
            watcher = self._watch_by_systemd()
        except EscadmError as error:
            log.warning("%s: %s", self._unit.name, error.message)
        else:
            await _first_end([watcher] if self.leader is None else [watcher, self.leader])

    def _watch_by_systemd(self) -> ProcessId:
        if self._watcher is None or self._watcher[0].poll() is not None:
            name = f"{self._unit.name}:watch"
            self._watcher = spawn(
                ProcessSpec((systemd.SYSTEMCTL, "--no-ask-password", "start", "--wait", self._systemd)),
                mark=mark_prefix(self._paths) + name,
                log=Path(os.devnull),
                environment={},
                scope=new_scope(name, self._paths, after=(self._systemd, "dbus.service")),
            )
        return self._watcher[1]

    async def _settled(self) -> State:
        """What systemd says once no job of somebody else is on its way, and it has seen the end of the main process."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self._unit.start_timeout + self._unit.stop_timeout
        while True:
            state = await self._ask()
            stale = state.is_active and state.main_pid and identify(state.main_pid) is None
            if not (state.job or stale) or loop.time() > end:
                return state
            await asyncio.sleep(LOOK_AGAIN)

    async def _ask(self) -> State:
        """What systemd says; asked again for as long as it says nothing: what is up is not down for that."""
        told = False
        while True:
            try:
                return await asyncio.to_thread(systemd.state, self._systemd)
            except EscadmError as error:
                if not told:
                    log.warning("%s: systemd cannot be asked: %s", self._unit.name, error.message)
                told = True
                await asyncio.sleep(WATCH_AGAIN)

    # --- stopping ---

    async def _end(self, limit: float) -> None:
        """Have systemd stop it, again where a start that was on its way has come after the stop.

        First the watcher goes: should it have no more than begun, its ``start`` would come after the stop as well.
        """
        if self._watcher is not None:
            self._watcher[0].kill()
            await asyncio.to_thread(self._watcher[0].wait)
        try:
            while True:
                await asyncio.to_thread(systemd.stop, self._systemd, limit)
                if self._starting is None or (await asyncio.wait({self._starting}, timeout=LOOK_AGAIN))[0]:
                    break
            await asyncio.to_thread(systemd.stop, self._systemd, limit)
        except EscadmError as error:
            self._post(Event.STOP_FAILED, error.message)
        else:
            self._post(Event.GONE, "")

    async def _kill(self) -> None:
        await asyncio.to_thread(systemd.kill, self._systemd)
        await self._end(KILL_TIMEOUT + MARGIN)

    def _quiet(self) -> None:
        """No more questions."""
        self._probing.silence()
        self._tasks.cancel()

    # --- the kind ---

    @classmethod
    def unsupported(cls, unit: Unit, paths: Paths) -> str:
        return "" if systemd.is_booted(paths) and unit.spec is not None else NO_SYSTEMD

    @classmethod
    def is_absent(cls, unit: Unit, paths: Paths) -> bool:
        spec = spec_of(unit, SystemdSpec)
        return not systemd.unit_exists(spec.unit, paths) or (spec.implied and not unit.mentioned)

    @classmethod
    def is_up(cls, unit: Unit, paths: Paths) -> bool | None:
        """systemd may have started it at boot."""
        if not systemd.is_booted(paths):
            return None
        return not systemd.state(spec_of(unit, SystemdSpec).unit).is_down

    @classmethod
    def log_place(cls, unit: Unit, paths: Paths) -> str:
        return f"the journal: journalctl -u {spec_of(unit, SystemdSpec).unit}"

    @classmethod
    def remembered(cls, unit: Unit) -> Mapping[str, str]:
        return {} if unit.spec is None else {"systemd_unit": spec_of(unit, SystemdSpec).unit}

    @classmethod
    def restored(cls, remembered: Mapping[str, str]) -> Spec | None:
        name = remembered.get("systemd_unit")
        return SystemdSpec(name) if name is not None else None


async def _first_end(processes: Iterable[ProcessId]) -> None:
    """Wait until one of them has ended."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    descriptors = []
    try:
        for process in processes:
            descriptor = open_pidfd(process)
            if descriptor is None:
                return
            descriptors.append(descriptor)
            loop.add_reader(descriptor, ended.set)
        await ended.wait()
    finally:
        for descriptor in descriptors:
            loop.remove_reader(descriptor)
            os.close(descriptor)
