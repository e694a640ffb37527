"""A process as a unit: started, watched by pidfd until it ends, stopped with all that belongs to it."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from escadm.agent.drivers.driver import GOING, Driver, Inherited, Post, Tools
from escadm.agent.drivers.probing import Probing, Tasks, mark_prefix
from escadm.core.lifecycle import Event, Life
from escadm.core.plan import Unit, spec_of
from escadm.core.probes import Alive, Notify
from escadm.core.specs import ProcessSpec, Spec
from escadm.core.states import UnitState
from escadm.errors import EscadmError
from escadm.log import get
from escadm.system.notify import is_ready, open_listener
from escadm.system.process import ProcessId, is_alive, kill, open_pidfd, outcome, send, signal_group, spawn
from escadm.system.processes import Processes
from escadm.system.scope import Scope, is_launching, kill_scopes, new_scope, why_not_launched
from escadm.system.secrets import read, with_secrets

MOST_WATCHED = 64
LAUNCH_PAUSE = 0.002
LONGEST_LAUNCH_PAUSE = 0.05
LAUNCH_LIMIT = 10.0
"""Seconds for systemd to make a scope. A start that takes longer has failed: a service that is not in a scope would end
with the agent, and an init that does not answer is a reason to give the role up, not to go on beside it.
"""

log = get(__name__)

Whom = Callable[[Processes, ProcessId], bool]


def everyone(_seen: Processes, _process: ProcessId) -> bool:
    """Whoever is left."""
    return True


class Service(Driver):
    """One incarnation of a process unit; see Driver for the contract.

    While the leader lives its pidfd is enough. What it leaves behind is found by a look at all processes, watched, and
    looked for again when the last of that has ended: it is gone when a look finds nothing.
    """

    def __init__(self, unit: Unit, post: Post, tools: Tools) -> None:
        super().__init__(unit, post, tools)
        self._spec = self._process()
        self._mark = mark_prefix(self._paths) + unit.name
        self._tasks = Tasks(unit.name, post)
        self._looks = tools.looks
        self._probing = Probing(unit, self._spec, post, self._paths, self._looks)
        self._child: subprocess.Popen[bytes] | None = None
        self._watched: set[int] = set()  # pids, each with a pidfd in the loop
        self._stopping = False
        self._killing = False
        self._looking = False  # a sweep is on its way
        self._to_ask: Whom | None = None  # who gets SIGTERM in the next sweep
        self._found_nothing = False  # by the last look, which was not sure of it
        self._gone = False  # what has the mark from now on is another incarnation
        self._notified = asyncio.Event()
        self._listener: socket.socket | None = None
        self._scope: Scope | None = None
        self._launched = asyncio.Event()  # the process is the service itself
        self._unlaunched = ""  # why it never was
        self._log = self._paths.log_directory / f"{unit.name}.log"
        self._said = 0  # bytes in the log before this incarnation

    def _process(self) -> ProcessSpec:
        """What is started."""
        return spec_of(self._unit, ProcessSpec)

    @property
    def doubt(self) -> str:
        return self._probing.doubt

    def output(self) -> str:
        """The end of what this incarnation has written; of an adopted one, of all that is in its log."""
        return _tail(self._log, self._said)

    # --- the verbs ---

    def start(self) -> None:
        try:
            self._launch(with_secrets(self._spec, read(self._paths, tell=True)))
        except (EscadmError, OSError) as error:
            self._post(Event.EXITED, error.message if isinstance(error, EscadmError) else str(error))
        else:
            self._tasks.do(self._become_ready())

    def adopt(self, inherited: Inherited) -> Life:
        life, leader = inherited.life, inherited.leader
        if leader is None:  # it was about to be started, or was never more than that
            return replace(life, state=UnitState.STOPPED, deadline=None)
        self.leader = leader
        if life.state in GOING:
            return self._end_soon(life)
        self._watch(leader)
        self._tasks.do(self._follow_launch())
        ready = life.state is UnitState.RUNNING
        self._tasks.do(self._probing.keep_checking() if ready else self._become_ready())
        log.info("%s: %s (pid %d)", self._unit.name, "adopted" if is_alive(leader) else "is gone", leader.pid)
        return life

    def gets_on(self, life: Life) -> bool:
        """Its socket went with the agent to which it was to say that it is ready."""
        return not (isinstance(self._unit.ready, Notify) and life.state is UnitState.STARTING)

    def terminate(self) -> None:
        self._quiet()
        self._stopping = True
        if self.leader is not None:
            signal_group(self.leader, self._spec.stop_signal)
        if not self._watched:
            self._look()

    def kill(self) -> None:
        self._quiet()
        self._stopping = self._killing = True
        if self.leader is not None and self.leader.pid in self._watched:
            signal_group(self.leader, "SIGKILL")
        self._look()

    # --- starting ---

    def _launch(self, spec: ProcessSpec) -> None:
        environment = {}
        if isinstance(self._unit.ready, Notify):
            path = self._paths.notify_directory / self._unit.name
            self._listener = open_listener(path)
            asyncio.get_running_loop().add_reader(self._listener, self._hear)
            environment["NOTIFY_SOCKET"] = str(path)
        self._scope = new_scope(self._unit.name, self._paths)
        self._said = _size(self._log)
        self._child, self.leader = spawn(
            spec, mark=self._mark, log=self._log, environment=environment, scope=self._scope
        )
        self._watch(self.leader)
        self._tasks.do(self._follow_launch())

    async def _follow_launch(self) -> None:
        """Wait until the process has left systemd-run behind; end it if that takes too long."""
        leader = self.leader
        loop = asyncio.get_running_loop()
        end, pause = loop.time() + LAUNCH_LIMIT, LAUNCH_PAUSE
        while leader is not None and is_launching(leader.pid):
            if loop.time() > end:
                self._unlaunched = f"cannot start: systemd made no scope within {LAUNCH_LIMIT:g} s"
                send(leader, "SIGKILL")
                return
            await asyncio.sleep(pause)
            pause = min(pause * 1.2, LONGEST_LAUNCH_PAUSE)  # systemd makes one scope after the other
        if leader is not None and is_alive(leader):
            self._launched.set()

    def _hear(self) -> None:
        if self._listener is not None and is_ready(self._listener):
            self._notified.set()

    async def _become_ready(self) -> None:
        wanted = self._unit.ready
        await self._launched.wait()
        if isinstance(wanted, Alive):
            await asyncio.sleep(wanted.seconds)
        elif isinstance(wanted, Notify):
            await self._notified.wait()
        else:
            await self._probing.until_good(wanted)
        self._post(Event.READY, "")
        await self._probing.keep_checking()

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
            self._post(Event.EXITED, self._why_it_ended(code))
            self._to_ask = self._has_left_the_group
        if self._stopping and not self._watched:
            self._look()

    def _has_left_the_group(self, seen: Processes, process: ProcessId) -> bool:
        """The stop signal went to the leader's group; who has left that was not asked to end yet."""
        return self.leader is None or seen.group_of(process) != self.leader.pid

    def _why_it_ended(self, code: int | None) -> str:
        if self._scope is not None and code and not (self._unlaunched or self._launched.is_set()):
            self._unlaunched = why_not_launched(self._spec.argv[0], code, self.output())
        return self._unlaunched or outcome(code)

    # --- what is left ---

    def _ask(self, whom: Whom) -> None:
        """Send SIGTERM to those of the service."""
        self._to_ask = whom
        self._look()

    def _look(self) -> None:
        if not self._looking:
            self._looking = True
            self._looks.ask(self._sweep)

    def _sweep(self, seen: Processes) -> None:
        """GONE if nothing of the service is left; otherwise ask or kill what is, and watch it.

        A look that may have missed something counts when the next one finds nothing either.
        """
        self._looking = False
        left = [] if self._gone else self._members(seen)
        before, self._found_nothing = self._found_nothing, not left
        if left:
            self._end(left, seen)
        elif seen.settled or before:
            self._stopping, self._gone = False, True
            self._post(Event.GONE, "")
        else:
            self._look()

    def _members(self, seen: Processes) -> list[ProcessId]:
        return seen.members(self._mark, self.leader, seen.scopes.get(self._unit.name, ()))

    def _end(self, left: list[ProcessId], seen: Processes) -> None:
        """Of a service of a thousand processes a few are watched: with the last of them comes the next sweep."""
        if self._killing:
            if self._paths.is_host:
                kill_scopes(self._unit.name)
            kill(left)
        elif self._to_ask is not None:
            for process in left:
                if self._to_ask(seen, process):
                    send(process, "SIGTERM")
            self._to_ask = None
        for process in left:
            if process.pid not in self._watched and len(self._watched) < MOST_WATCHED:
                self._watch(process)

    def _quiet(self) -> None:
        """No more probes, no more readiness."""
        self._probing.silence()
        self._tasks.cancel()
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
            self._listener = None

    @classmethod
    def remembered(cls, unit: Unit) -> Mapping[str, str]:
        return {"stop_signal": spec_of(unit, ProcessSpec).stop_signal}

    @classmethod
    def restored(cls, remembered: Mapping[str, str]) -> Spec | None:
        return ProcessSpec((), stop_signal=remembered["stop_signal"])


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0


def _tail(file: Path, begin: int) -> str:
    """What was written since ``begin``, the end of it."""
    with suppress(OSError), file.open("rb") as opened:
        opened.seek(max(begin, _size(file) - 4096))
        return opened.read().decode(errors="replace")
    return ""
