"""What a kind of unit is to the agent: the protocol that its driver keeps, complete, with what most kinds do."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from escadm.agent.inputs.drbd_events import ReplicaFeed
from escadm.agent.inputs.looks import Looks
from escadm.agent.inputs.vrrp_fifo import RoleFeed
from escadm.core.drbd.state import Gate, Replica
from escadm.core.lifecycle import KILL_TIMEOUT, Event, Life
from escadm.core.plan import Unit
from escadm.core.specs import Spec
from escadm.core.states import UnitState
from escadm.errors import EscadmError
from escadm.log import get
from escadm.paths import Paths
from escadm.system.process import ProcessId

GOING = (UnitState.STOPPING, UnitState.KILLING)

log = get(__name__)

Post = Callable[[Event, str], None]
"""Tell the life of the unit what happened, with the reason where it is a failure."""

MayPromote = Callable[[Replica | None], tuple[Gate, str]]


@dataclass(frozen=True, slots=True)
class Tools:
    """What the drivers of a node work with. ``wake``: something that is published has changed."""

    paths: Paths
    looks: Looks
    feed: RoleFeed
    replicas: ReplicaFeed
    gate: MayPromote
    wake: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Inherited:
    """A unit as an earlier agent left it. ``is_written`` False: it was found up, and nobody had written it down."""

    life: Life
    leader: ProcessId | None = None
    is_written: bool = True


class Driver(ABC):
    """One incarnation of a unit, from its start until it is gone; the class itself knows what is true of its kind.

    ``start``, ``terminate`` and ``kill`` return at once; what came of them is posted: READY or EXITED after ``start``,
    GONE or STOP_FAILED after the other two. ``leader``: the process that stands for it, if there is one.
    """

    takes_changes_up: ClassVar[bool] = False
    """Whether it goes on when its definition changes, see ``reload``; otherwise it is stopped and started again."""

    def __init__(self, unit: Unit, post: Post, tools: Tools) -> None:
        self.leader: ProcessId | None = None
        self._unit = unit
        self._post = post
        self._paths = tools.paths

    @property
    def doubt(self) -> str:
        """Why it is not ready yet, as far as is known."""
        return ""

    @abstractmethod
    def start(self) -> None:
        """Have it up."""

    @abstractmethod
    def terminate(self) -> None:
        """Have it down in good order."""

    @abstractmethod
    def kill(self) -> None:
        """Have it down by force; also asked for when it has ended by itself, to clear what is left."""

    async def reload(self, written: Collection[str]) -> None:  # noqa: B027  (most kinds take nothing up)
        """Take up what has changed in the files ``written``, while it runs. Raises EscadmError where that fails."""

    def adopt(self, inherited: Inherited) -> Life:
        """Take over in place of ``start`` what an earlier agent has left; the life that it has from now on.

        A unit that is nothing of its own simply is.
        """
        return replace(inherited.life, state=UnitState.RUNNING, deadline=None)

    def gets_on(self, life: Life) -> bool:
        """Whether it can get on from the ``life`` in which it was adopted; if not, it is stopped and started again."""
        return True

    def _end_soon(self, life: Life) -> Life:
        """The life of what was being stopped: it is ended now."""
        loop = asyncio.get_running_loop()
        loop.call_soon(self.kill)
        return replace(life, state=UnitState.KILLING, deadline=loop.time() + KILL_TIMEOUT)

    # --- what is true of the kind, without an incarnation ---

    @classmethod
    def unsupported(cls, unit: Unit, paths: Paths) -> str:
        """Why the unit cannot be run on this machine, empty where it can: its failure, as people read it."""
        return ""

    @classmethod
    def is_absent(cls, unit: Unit, paths: Paths) -> bool:
        """Whether the unit is not installed here."""
        return False

    @classmethod
    def is_up(cls, unit: Unit, paths: Paths) -> bool | None:
        """What the machine shows of the unit; None where it shows nothing. Raises EscadmError."""
        return None

    @classmethod
    def is_ground(cls, unit: Unit) -> bool:
        """Whether it is nothing of its own: as nothing shows it, it counts as up where something stands on it."""
        return False

    @classmethod
    def log_place(cls, unit: Unit, paths: Paths) -> str:
        """Where people find its output."""
        return f"{paths.log_directory / unit.name}.log"

    @classmethod
    def remembered(cls, unit: Unit) -> Mapping[str, str]:
        """What a stop needs to know of the definition; no secrets. It is written down under these names."""
        return {}

    @classmethod
    def restored(cls, remembered: Mapping[str, str]) -> Spec | None:
        """The definition, just as far as a stop needs it, from what was ``remembered``."""
        return None


class Asked(Driver):
    """A kind of which the machine itself says whether it is up; see ``is_up``.

    What was under way when the agent ended is undone, and done again if it is still wanted: both do no harm twice.
    """

    def adopt(self, inherited: Inherited) -> Life:
        life = inherited.life
        if life.state is not UnitState.RUNNING:
            loop = asyncio.get_running_loop()
            loop.call_soon(self.terminate)
            deadline = loop.time() + self._unit.stop_timeout
            return replace(life, state=UnitState.STOPPING, deadline=deadline, again=False)
        return replace(life, state=UnitState.RUNNING if self._is_still_up() else UnitState.STOPPED, deadline=None)

    def _is_still_up(self) -> bool:
        try:
            return self.is_up(self._unit, self._paths) is not False
        except EscadmError as error:
            log.warning("%s: taken to be up: %s", self._unit.name, error.message)
            return True
