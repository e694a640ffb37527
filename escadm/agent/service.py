"""A process as a unit: started, watched by pidfd until it ends, stopped with all that belongs to it."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
from collections.abc import Coroutine

from escadm.agent.driver import Post
from escadm.core.lifecycle import Event
from escadm.core.types import Alive, Exec, Http, Notify, ProcessSpec, Tcp, Unit
from escadm.errors import EscadmError
from escadm.log import get
from escadm.paths import Paths
from escadm.system.notify import is_ready, open_listener
from escadm.system.probe import probe
from escadm.system.process import (
    ProcessId,
    kill,
    members,
    open_pidfd,
    outcome,
    send,
    service_environment,
    signal_group,
    spawn,
)

FIRST_PAUSE = 0.02
LONGEST_PAUSE = 0.5
MOST_WATCHED = 64

log = get(__name__)


def mark_prefix(paths: Paths) -> str:
    """What the marks of all services of this node begin with."""
    return f"{paths.run}:"


class Service:
    """One incarnation of a process unit; see Driver for the contract of its verbs."""

    def __init__(self, unit: Unit, spec: ProcessSpec, post: Post, paths: Paths) -> None:
        self.leader: ProcessId | None = None
        self.doubt = ""
        self._unit = unit
        self._spec = spec
        self._post = post
        self._paths = paths
        self._mark = mark_prefix(paths) + unit.name
        self._check_mark = f"{self._mark}:check"
        self._asking = 0  # probes under way
        self._child: subprocess.Popen[bytes] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._watched: set[int] = set()  # pids, each with a pidfd in the loop
        self._stopping = False
        self._killing = False
        self._due = False  # a sweep is on its way
        self._notified = asyncio.Event()
        self._listener: socket.socket | None = None

    # --- the verbs ---

    def start(self) -> None:
        try:
            self._launch({})
        except (EscadmError, OSError) as error:
            self._post(Event.EXITED, error.message if isinstance(error, EscadmError) else str(error))
        else:
            self._do(self._become_ready())

    def adopt(self, leader: ProcessId, *, ready: bool) -> None:
        """Take over a process that an earlier agent started; ``ready``: it counted as running already."""
        self.leader = leader
        self._watch(leader)
        self._do(self._keep_checking() if ready else self._become_ready())

    def terminate(self) -> None:
        self._quiet()
        self._stopping = True
        if self.leader is not None:
            signal_group(self.leader, self._spec.stop_signal)
        self._sweep()

    def kill(self) -> None:
        self._quiet()
        self._stopping = self._killing = True
        self._sweep()

    # --- starting ---

    def _launch(self, extra: dict[str, str]) -> None:
        environment = dict(extra)
        if isinstance(self._unit.ready, Notify):
            path = self._paths.notify_directory / self._unit.name
            self._listener = open_listener(path)
            asyncio.get_running_loop().add_reader(self._listener, self._hear)
            environment["NOTIFY_SOCKET"] = str(path)
        file = self._paths.log_directory / f"{self._unit.name}.log"
        self._child, self.leader = spawn(self._spec, mark=self._mark, log=file, environment=environment)
        self._watch(self.leader)

    def _hear(self) -> None:
        if self._listener is not None and is_ready(self._listener):
            self._notified.set()

    async def _become_ready(self) -> None:
        wanted = self._unit.ready
        if isinstance(wanted, Alive):
            await asyncio.sleep(wanted.seconds)
        elif isinstance(wanted, Notify):
            await self._notified.wait()
        else:
            await self._until_good(wanted)
        self._post(Event.READY, "")
        await self._keep_checking()

    async def _until_good(self, wanted: Tcp | Http | Exec) -> None:
        pause = FIRST_PAUSE
        while (doubt := await self._ask(wanted)) is not None:
            self.doubt = doubt
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, LONGEST_PAUSE)

    async def _keep_checking(self) -> None:
        check = self._unit.check
        bad = 0
        while check is not None:
            await asyncio.sleep(check.interval)
            doubt = await self._ask(check.probe)
            bad = bad + 1 if doubt is not None else 0
            if bad >= check.failures:
                self._post(Event.CHECK_FAILED, f"did not pass its check: {doubt}")
                return

    async def _ask(self, wanted: Tcp | Http | Exec) -> str | None:
        spec = self._spec
        environment = service_environment(spec, self._check_mark, {})
        self._asking += 1
        try:
            return await asyncio.to_thread(
                probe, wanted, user=spec.user, environment=environment, working_directory=spec.working_directory
            )
        finally:
            self._asking -= 1

    # --- watching ---

    def _watch(self, process: ProcessId) -> None:
        """Look again when the process ends; at once if it has ended."""
        loop = asyncio.get_running_loop()
        descriptor = open_pidfd(process)
        if descriptor is None:
            loop.call_soon(self._ended, process)
            return
        self._watched.add(process.pid)
        loop.add_reader(descriptor, self._on_pidfd, descriptor, process)

    def _on_pidfd(self, descriptor: int, process: ProcessId) -> None:
        asyncio.get_running_loop().remove_reader(descriptor)
        os.close(descriptor)
        self._watched.discard(process.pid)
        self._ended(process)

    def _ended(self, process: ProcessId) -> None:
        if process == self.leader:
            code = self._child.poll() if self._child is not None else None
            self._quiet()
            self._post(Event.EXITED, outcome(code))
        if self._stopping and not self._due:
            self._due = True
            asyncio.get_running_loop().call_soon(self._sweep)

    def _sweep(self) -> None:
        """GONE if nothing of the service is left; otherwise watch (or kill) what is.

        Of a service of a thousand processes a few are watched: with the last of them comes the next sweep.
        """
        self._due = False
        left = members(self._mark, self.leader)
        if not left:
            self._stopping = False
            self._post(Event.GONE, "")
            return
        if self._killing:
            kill(left)
        for process in left:
            if process.pid not in self._watched and len(self._watched) < MOST_WATCHED:
                self._watch(process)

    def _signal_members(self, name: str) -> None:
        for process in members(self._mark, self.leader):
            send(process, name)

    # --- tasks ---

    def _do(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("%s: a defect of ours", self._unit.name, exc_info=error)
            self._post(Event.CHECK_FAILED, f"could not be watched: {error}")

    def _quiet(self) -> None:
        """No more probes, no more readiness. A command that still asks must not hold what the service used."""
        if self._asking:
            kill(members(self._check_mark, None))
        for task in self._tasks:
            task.cancel()
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
            self._listener = None
