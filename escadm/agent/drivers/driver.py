"""What starts and stops a unit: the interface, and the kinds that need no process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from escadm.core.lifecycle import Event
from escadm.core.types import FilesystemSpec, Unit
from escadm.errors import EscadmError
from escadm.log import get
from escadm.paths import Paths
from escadm.system.evict import unmount_by_force
from escadm.system.mount import mount, unmount
from escadm.system.postgres import remove_stale_pid_files
from escadm.system.process import ProcessId

log = get(__name__)

Post = Callable[[Event, str], None]
"""Tell the life of the unit what happened, with the reason where it is a failure."""


class Driver(Protocol):
    """One incarnation of a unit, from its start until it is gone.

    The three verbs return at once; what came of them is posted: READY or EXITED after ``start``, GONE or STOP_FAILED
    after ``terminate`` and ``kill``. ``doubt`` says why it is not ready yet, as far as is known.
    """

    leader: ProcessId | None

    @property
    def doubt(self) -> str: ...

    def start(self) -> None: ...

    def terminate(self) -> None: ...

    def kill(self) -> None: ...


class Mark:
    """A unit that is nothing of its own: a group, reached as soon as all of its members are."""

    leader: ProcessId | None = None
    doubt = ""

    def __init__(self, post: Post) -> None:
        self._post = post

    def start(self) -> None:
        self._post(Event.READY, "")

    def terminate(self) -> None:
        self._post(Event.GONE, "")

    kill = terminate


class Unsupported:
    """A unit that cannot be started here; it says so instead of pretending."""

    leader: ProcessId | None = None
    doubt = ""

    def __init__(self, post: Post, reason: str) -> None:
        self._post = post
        self._reason = reason

    def start(self) -> None:
        self._post(Event.EXITED, self._reason)

    def terminate(self) -> None:
        self._post(Event.GONE, "")

    kill = terminate


class Acts:
    """Blocking acts of one unit, each in a thread, one at a time; what comes of each is posted.

    What is asked for while one is under way comes after it, the last word alone.
    """

    def __init__(self, name: str, post: Post) -> None:
        self._name = name
        self._post = post
        self._task: asyncio.Task[None] | None = None
        self._next: tuple[Event, Event, Callable[[], None]] | None = None

    def run(self, good: Event, bad: Event, act: Callable[[], None]) -> None:
        """Have ``act`` done; ``good`` is posted after it, ``bad`` with the reason where it fails."""
        self._next = (good, bad, act)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._work())

    async def _work(self) -> None:
        while self._next is not None:
            (good, bad, act), self._next = self._next, None
            try:
                await asyncio.to_thread(act)
            except (EscadmError, OSError) as error:
                self._post(bad, error.message if isinstance(error, EscadmError) else str(error))
            except Exception as error:
                log.exception("%s: a defect of ours", self._name)
                self._post(bad, f"met a defect of escadm: {error}")
            else:
                self._post(good, "")


class Filesystem:
    """A mount; without a device the directory is local, and there is nothing to do."""

    leader: ProcessId | None = None
    doubt = ""

    def __init__(self, unit: Unit, spec: FilesystemSpec, post: Post, paths: Paths) -> None:
        self._unit = unit
        self._spec = spec
        self._paths = paths
        self._acts = Acts(unit.name, post)

    def start(self) -> None:
        self._acts.run(Event.READY, Event.EXITED, self._mount)

    def terminate(self) -> None:
        self._acts.run(Event.GONE, Event.STOP_FAILED, lambda: unmount(self._spec, self._paths, self._unit.stop_timeout))

    def kill(self) -> None:
        self._acts.run(
            Event.GONE, Event.STOP_FAILED, lambda: unmount_by_force(self._spec, self._paths, self._unit.stop_timeout)
        )

    def _mount(self) -> None:
        mount(self._spec, self._paths, self._unit.start_timeout)
        if self._spec.device is not None:
            remove_stale_pid_files(self._paths.below(self._spec.mount_point))
