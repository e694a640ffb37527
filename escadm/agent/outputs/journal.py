"""The changes of role that this node went through: their causes, and how long each phase took."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from escadm.core.decide import Decision
from escadm.core.role import meant_by
from escadm.core.situation import Kept
from escadm.core.states import Role, Vrrp
from escadm.core.status import RoleChange
from escadm.log import get

KEPT = 20

log = get(__name__)


def iso(when: float) -> str:
    """A wall clock reading (seconds since 1970) as ISO 8601 in UTC, milliseconds included."""
    return datetime.fromtimestamp(when, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Journal:
    """One role change at a time: begun, marked with phases, ended; a newer one ends it early."""

    def __init__(self, clock: Callable[[], float], wall: Callable[[], float], changes: list[RoleChange]) -> None:
        self._clock = clock
        self._wall = wall
        self.changes = changes
        self._began = 0.0
        self._open: RoleChange | None = None
        self._number = 0

    @property
    def target(self) -> str | None:
        """The role that the change under way leads to, None when there is none."""
        return self._open.after if self._open else None

    def hear(self, role: Role | None, vrrp: Vrrp) -> None:
        """keepalived has another word: a change to the role that it means begins."""
        self._begin_to(role, meant_by(vrrp), f"keepalived says {vrrp}")

    def tell(self, before: Kept, decision: Decision) -> None:
        """What is new about the role since ``before``; to be called before any step of the decision is taken."""
        kept = decision.kept
        if kept.hold != before.hold:
            log.warning("held back: %s", kept.hold.reason) if kept.hold else log.info("no longer held back")
        if (kept.waits_since is None) is not (before.waits_since is None):
            begins = kept.waits_since is not None
            log.info("waits until the peer has left the role") if begins else log.info("the peer has left the role")
        if kept.release and not before.release and before.role is Role.MASTER:
            self._begin_to(before.role, Role.FAULT, kept.release.sentence)
        if kept.role is not before.role:
            log.info("role: %s", kept.role)

    def follow(self, vrrp: Vrrp, decision: Decision) -> None:
        """Mark the phases that the decision has seen, and the end."""
        if vrrp is not Vrrp.MASTER and decision.is_drained:
            self.mark("stopped")
        if self.target != decision.role:
            return
        self.mark("role")
        if decision.is_settled:
            if decision.role is Role.MASTER:
                self.mark("services")
            self.end()

    def _begin_to(self, role: Role | None, target: Role, cause: str) -> None:
        if target.value != (self.target or role):
            self.begin(role or "-", target, cause)

    def begin(self, before: str, after: str, cause: str) -> None:
        """A change of role begins; one that is still under way ends here, overtaken."""
        if self._open is not None:
            self._close("overtaken")
        self._number += 1
        self._began = self._clock()
        self._open = RoleChange(before, after, cause, iso(self._wall()), {})
        log.info("role change %d: %s -> %s began: %s", self._number, before, after, cause)

    def mark(self, phase: str) -> None:
        """``phase`` has been reached: seconds since the change began. Later marks of the same phase are ignored."""
        if self._open is not None and phase not in self._open.phases:
            phases = {**self._open.phases, phase: round(self._clock() - self._began, 3)}
            change = self._open
            self._open = RoleChange(change.before, change.after, change.cause, change.at, phases)

    def end(self) -> None:
        """The change is complete."""
        if self._open is not None:
            self.mark("total")
            self._close("ended")

    def _close(self, how: str) -> None:
        change = self._open
        if change is None:
            return
        phases = ", ".join(f"{name} {seconds:.3f} s" for name, seconds in change.phases.items())
        log.info("role change %d: %s -> %s %s: %s", self._number, change.before, change.after, how, phases or "-")
        self.changes.append(change)
        del self.changes[:-KEPT]
        self._open = None
