"""An agent with 500 services, as a process of its own: it gives its sign of life throughout.

On a busy machine a beat may be old because others had the processor. So its age is taken in the processor time of the
loop's own thread (tests/benchmarks/measured_agent.py): what the loop has worked from one beat to the next, and the
longest piece of work that it has done at a stretch. Whatever it reads and computes itself counts, however long that
took by the clock; what it only waits for does not.
"""

import pytest

from tests.benchmarks.many import foreign_processes, phases_of

SERVICES = 500
FOREIGN = 100
OLDEST_BEAT = 1.0
LONGEST_WORK = 0.25
"""Seconds, five times of what it may be on a machine that is idle: caches are shared with others."""


@pytest.mark.long
def test_the_beat_is_young_while_500_services_start_stop_and_restart() -> None:
    with foreign_processes(FOREIGN):
        phases = phases_of(SERVICES)
    assert [phase.name for phase in phases] == ["begin", "stop", "start", "restart", "end"]
    assert max(phase.age_cpu for phase in phases) < OLDEST_BEAT, phases
    assert max(phase.work_cpu for phase in phases) < LONGEST_WORK, phases
