"""What goes outward: the role's word, keepalived's fitness, the status, what the next agent has to know, as files; and
what becomes of units and roles, as lines of the log and entries of the journal."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from escadm.agent.drivers.keepalived import write_fitness
from escadm.agent.drivers.stage import Stage
from escadm.agent.outputs.journal import Journal, iso
from escadm.agent.outputs.memory import Memory, Notes
from escadm.agent.outputs.status_file import Board, picture, take_back
from escadm.core.decide import Decision
from escadm.core.lifecycle import Life
from escadm.core.reconcile import DOWN
from escadm.core.situation import Kept, Wish
from escadm.core.states import Role, UnitState
from escadm.core.status import RoleChange
from escadm.log import get
from escadm.paths import Paths
from escadm.system import role_file
from escadm.system.process import ProcessId

WRITE_ROLE, TELL_KEEPALIVED, REMEMBER = "write the role", "tell keepalived", "remember"
OTHERS_GO_BY = (WRITE_ROLE, TELL_KEEPALIVED, REMEMBER)
"""Attempts that write files for others; what cannot be written is told."""
PASSING = (UnitState.STARTING, UnitState.STOPPING, UnitState.KILLING)

log = get(__name__)

Make = Callable[[str, Callable[[], object]], bool]


class Outputs:
    """``make(name, work)`` makes each attempt on its own. ``since``: since when each unit is as it is, ISO 8601.

    ``journal``: the changes of role, after those of ``history``. ``told_fit``: the fitness that is on disk, as far as
    this agent wrote it. ``misleads``: an old status stands that could be neither replaced nor removed.
    """

    def __init__(self, paths: Paths, stage: Stage, history: Sequence[RoleChange], make: Make) -> None:
        self._paths = paths
        self._stage = stage
        self._make = make
        self._board = Board(paths)
        self._notes = Notes(paths)
        self.journal = Journal(time.monotonic, time.time, list(history))
        self.since: dict[str, str] = {}
        self.told_fit: bool | None = None
        self.misleads = False

    def write(self, decision: Decision, wish: Wish) -> None:
        """Everything of a turn. ``wish``: what the next agent goes by."""
        if decision.facts.plan.units:  # without a configuration nobody knows what role that is
            self._make(WRITE_ROLE, lambda: role_file.write(decision.role, self._paths))
        self._make(TELL_KEEPALIVED, lambda: self._tell_keepalived(fit=decision.fit))
        published = self._make("publish the status", lambda: self._publish(decision))
        self.misleads = not published and not take_back(self._paths)
        self._make(REMEMBER, lambda: self.remember(decision.kept, wish))

    def note(self, name: str, before: Life, after: Life) -> None:
        """The life of a unit has changed."""
        if after.state is before.state:
            return
        self.since[name] = iso(time.time())
        took = f" after {after.since - before.since:.3f} s" if before.state in PASSING else ""
        told = after.reason and (after.again or after.state in DOWN)
        reason = f": {after.reason}" if told else ""
        log.info("%s: %s%s%s", name, after.state, took, reason)
        kind = self._stage.units[name].kind
        if after.state is UnitState.RUNNING and kind.takes_the_role:
            self.journal.mark(kind.value)

    def end(self, *, pair: bool) -> None:
        """The last words of an agent that ends in good order: there is nothing to remember."""
        if pair:
            self._make(WRITE_ROLE, lambda: role_file.write(Role.FAULT, self._paths))
        self._make("forget", lambda: self._paths.state.unlink(missing_ok=True))
        self._make("publish the end", lambda: self._board.end(tuple(self.journal.changes)))

    def remember(self, kept: Kept, wish: Wish) -> None:
        """Write down what the next agent has to know."""
        stage = self._stage
        units = {
            name: self._notes.unit(stage.units[name], life, self._leader(name), stale=name in stage.stale)
            for name, life in stage.lives.items()
        }
        down, up = tuple(sorted(wish.down)), tuple(sorted(wish.up))
        history = tuple(self.journal.changes)
        said = kept.abandoned, kept.behind, kept.cut_off, kept.declared
        self._notes.save(Memory(wish.active, down, up, kept.role, kept.role_since, units, history, *said))

    def _tell_keepalived(self, *, fit: bool | None) -> None:
        """Whether this node may have the role, if that is news."""
        if fit is not None and fit is not self.told_fit:
            write_fitness(self._paths, fit=fit)
            self.told_fit = fit

    def _publish(self, decision: Decision) -> None:
        shown = picture(
            decision.facts,
            decision.verdict,
            pgids=self._pgids(),
            since=self.since,
            role_since=decision.kept.role_since,
            history=tuple(self.journal.changes),
        )
        self._board.publish(shown)

    def _pgids(self) -> Mapping[str, int]:
        stage = self._stage
        return {
            name: driver.leader.pid
            for name, driver in stage.drivers.items()
            if driver.leader and name in stage.lives and stage.lives[name].state not in DOWN
        }

    def _leader(self, name: str) -> ProcessId | None:
        driver = self._stage.drivers.get(name)
        return driver.leader if driver else None
