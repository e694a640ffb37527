"""A systemd unit as a unit of ours: systemd starts, stops and keeps it, and says when it has ended."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

from escadm.agent.drivers.driver import Post
from escadm.agent.drivers.probing import Probing, Tasks, mark_prefix
from escadm.agent.inputs.looks import Looks
from escadm.core.lifecycle import KILL_TIMEOUT, Event
from escadm.core.types import Alive, Notify, ProcessSpec, SystemdSpec, Unit
from escadm.errors import EscadmError
from escadm.log import get
from escadm.paths import Paths
from escadm.system import systemd
from escadm.system.process import ProcessId, identify, open_pidfd, outcome, spawn
from escadm.system.scope import new_scope
from escadm.system.systemd import State

LOOK_AGAIN = 0.1
WATCH_AGAIN = 1.0
MARGIN = 5.0
"""Seconds by which systemctl is given longer than the unit has: the limit of the unit's life comes first."""

RESULTS = {
    "timeout": "took longer than its unit file allows",
    "watchdog": "missed the watchdog of its unit file",
    "oom-kill": "was killed for want of memory",
    "protocol": "did not do what the Type= of its unit file asks for",
    "resources": "lacks resources, says systemd",
}
LOADS = {
    "not-found": "is not installed: systemd knows no unit {}",
    "masked": "is masked: `systemctl unmask {}` lifts that",
}
NOT_UP = "ended as soon as it was started, or a condition of its unit file does not hold"
STOPPED = "is not active any more: somebody else has stopped it, or it has ended by itself"

log = get(__name__)


class SystemdUnit:
    """One incarnation of a systemd unit; see Driver for the contract of its verbs.

    That it has ended is said by a ``systemctl start --wait``, and by its main process's end. The former is in a scope
    that systemd stops after the agent and before the unit: at shutdown the agent stops the unit, when its turn comes.
    """

    def __init__(
        self, unit: Unit, spec: SystemdSpec, post: Post, paths: Paths, looks: Looks, *, wake: Callable[[], None]
    ) -> None:
        self.leader: ProcessId | None = None
        self._unit = unit
        self._systemd = spec.unit
        self._post = post
        self._paths = paths
        self._wake = wake  # it has another leader
        self._probing = Probing(unit, ProcessSpec(()), post, paths, looks)
        self._tasks = Tasks(unit.name, post)
        self._endings = Tasks(unit.name, post)
        self._starting: asyncio.Future[None] | None = None
        self._ending = False
        self._restarts = 0
        self._watcher: tuple[subprocess.Popen[bytes], ProcessId] | None = None

    @property
    def doubt(self) -> str:
        """Why it is not ready yet."""
        if self._starting is not None and not self._starting.done():
            return "systemd has not started it yet"
        return self._probing.doubt

    # --- the verbs ---

    def start(self) -> None:
        self._tasks.do(self._start())

    def adopt(self, *, ready: bool) -> None:
        """Take over what an earlier agent started; ``ready``: it counted as running already."""
        self._tasks.do(self._adopt(ready=ready))

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
            self._post(Event.EXITED, self._why(state, trouble or NOT_UP))

    async def _adopt(self, *, ready: bool) -> None:
        state = await self._settled()
        if state.is_active:
            self._take(state)
            log.info("%s: adopted (%s, pid %d)", self._unit.name, self._systemd, state.main_pid)
            await (self._probing.keep_checking() if ready else self._become_ready())
        else:
            self._post(Event.EXITED, self._why(state, STOPPED))

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
                self._post(Event.EXITED, self._why(state, again if state.is_active else STOPPED))
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

    def _why(self, state: State, otherwise: str) -> str:
        """Why it is not up, for people; ``otherwise`` where systemd does not know of any failure."""
        if state.load in LOADS:
            return LOADS[state.load].format(self._systemd)
        if not state.is_active and state.result in RESULTS:
            return RESULTS[state.result]
        if not state.is_active and (state.result != "success" or _is_crash(state)):
            code = state.status if state.ended == os.CLD_EXITED else -state.status
            return outcome(code) if state.ended else "could not be started: a command of its unit file failed"
        return otherwise

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


def _is_crash(state: State) -> bool:
    """Whether its main process has ended otherwise than a process does that was asked to: systemd judges later."""
    return state.active == "deactivating" and state.ended != 0 and state.status not in (0, signal.SIGTERM)


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
