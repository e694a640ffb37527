"""The journal of role changes, with a clock of the test's own."""

from escadm.agent.outputs.journal import KEPT, Journal, iso
from escadm.core.status import RoleChange


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def journal_of(changes: list[RoleChange] | None = None) -> tuple[Journal, Clock, Clock]:
    clock, wall = Clock(), Clock()
    wall.now = 1_700_000_000.25
    return Journal(clock, wall, [] if changes is None else changes), clock, wall


def test_change_from_its_beginning_to_its_end() -> None:
    journal, clock, _ = journal_of()
    assert (journal.target, journal.changes) == (None, [])
    journal.begin("BACKUP", "MASTER", "keepalived says MASTER")
    assert (journal.target, journal.changes) == ("MASTER", [])
    clock.now += 0.5
    journal.mark("role")
    clock.now += 1.0
    journal.mark("role")
    journal.end()
    assert journal.target is None
    assert journal.changes == [
        RoleChange(
            "BACKUP", "MASTER", "keepalived says MASTER", "2023-11-14T22:13:20.250Z", {"role": 0.5, "total": 1.5}
        )
    ]


def test_newer_change_overtakes() -> None:
    journal, clock, _ = journal_of()
    journal.begin("BACKUP", "MASTER", "one")
    clock.now += 1
    journal.begin("BACKUP", "BACKUP", "two")
    journal.end()
    assert [(change.cause, dict(change.phases)) for change in journal.changes] == [("one", {}), ("two", {"total": 0.0})]


def test_without_a_change_nothing_is_marked_or_ended() -> None:
    journal, _, _ = journal_of()
    journal.mark("role")
    journal.end()
    assert journal.changes == []


def test_history_is_bounded_and_keeps_the_newest() -> None:
    journal, _, _ = journal_of()
    for number in range(KEPT + 5):
        journal.begin("BACKUP", "MASTER", str(number))
        journal.end()
    assert [change.cause for change in journal.changes] == [str(number) for number in range(5, KEPT + 5)]


def test_wall_clock_may_jump_without_a_phase_noticing() -> None:
    journal, clock, wall = journal_of()
    journal.begin("BACKUP", "MASTER", "x")
    wall.now -= 86_400
    clock.now += 2
    journal.end()
    assert journal.changes[0].phases == {"total": 2.0}


def test_iso_is_utc_with_milliseconds() -> None:
    assert iso(0) == "1970-01-01T00:00:00.000Z"
