"""A unit's readiness and its checks, asked again and again; and the tasks of a driver, none of them forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

from escadm.agent.drivers.driver import Post
from escadm.agent.inputs.looks import Looks
from escadm.core.lifecycle import Event
from escadm.core.plan import Unit
from escadm.core.probes import Exec, Http, Tcp
from escadm.core.specs import ProcessSpec
from escadm.errors import EscadmError
from escadm.log import get
from escadm.paths import Paths
from escadm.system.probe import probe
from escadm.system.process import kill, service_environment
from escadm.system.processes import Processes
from escadm.system.secrets import hidden, read, with_secrets

FIRST_PAUSE = 0.02
LONGEST_PAUSE = 0.5

log = get(__name__)


def mark_prefix(paths: Paths) -> str:
    """What the marks of all services of this node begin with."""
    return f"{paths.run}:"


class Tasks:
    """What one incarnation of a unit does in the loop; a defect in it is a failure of the unit."""

    def __init__(self, name: str, post: Post) -> None:
        self._name = name
        self._post = post
        self._tasks: set[asyncio.Task[None]] = set()

    def do(self, work: Coroutine[None, None, None]) -> None:
        """Have it done, until cancel()."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def cancel(self) -> None:
        """No more of it."""
        for task in self._tasks:
            task.cancel()

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("%s: a defect of ours", self._name, exc_info=error)
            self._post(Event.CHECK_FAILED, f"could not be watched: {error}")


class Probing:
    """The questions to one incarnation of a unit. ``spec`` says as whom, and where, a command asks."""

    def __init__(self, unit: Unit, spec: ProcessSpec, post: Post, paths: Paths, looks: Looks) -> None:
        self.doubt = ""
        self.asking = 0  # probes under way
        self._unit = unit
        self._spec = spec
        self._post = post
        self._paths = paths
        self._looks = looks
        self._mark = f"{mark_prefix(paths)}{unit.name}:check"

    async def until_good(self, wanted: Tcp | Http | Exec) -> None:
        """Ask until the answer is good; ``doubt`` has the last one that was not."""
        pause = FIRST_PAUSE
        while (doubt := await self._ask(wanted)) is not None:
            self.doubt = doubt
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, LONGEST_PAUSE)

    async def keep_checking(self) -> None:
        """Ask for as long as the answers are good often enough; then post CHECK_FAILED."""
        check = self._unit.check
        bad = 0
        while check is not None:
            await asyncio.sleep(check.interval)
            doubt = await self._ask(check.probe)
            bad = bad + 1 if doubt is not None else 0
            if bad >= check.failures:
                self._post(Event.CHECK_FAILED, f"did not pass its check: {doubt}")
                return

    def silence(self) -> None:
        """A command that still asks must not hold what the unit used."""
        if self.asking:
            self._looks.ask(self._end_questions)

    def _end_questions(self, seen: Processes) -> None:
        kill(seen.members(self._mark, None))

    async def _ask(self, wanted: Tcp | Http | Exec) -> str | None:
        self.asking += 1
        try:
            return await asyncio.to_thread(self._answer, wanted)
        finally:
            self.asking -= 1

    def _answer(self, wanted: Tcp | Http | Exec) -> str | None:
        try:
            variables = read(self._paths) if isinstance(wanted, Exec) else {}
        except EscadmError as error:
            return error.message
        spec = with_secrets(self._spec, variables)
        environment = service_environment(spec, self._mark, {})
        doubt = probe(wanted, user=spec.user, environment=environment, working_directory=spec.working_directory)
        return None if doubt is None else hidden(doubt, variables)
