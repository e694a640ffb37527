"""The truth table of status: whose word counts, and what is said when nobody's does."""

from dataclasses import replace

import pytest

from escadm.actions.status import Signs, judge
from escadm.core.reason import Reason
from escadm.core.states import Role
from escadm.core.status import Health, ResourceStatus, Snapshot, Verdict

HEALTHY = Snapshot(
    Verdict(0, Health.HEALTHY, "ESC Master Healthy"),
    Role.MASTER,
    "2024-05-01T10:00:00Z",
    resources=(ResourceStatus("web", "running", 12), ResourceStatus("off", "disabled")),
)
STOPPED = Snapshot(Verdict(2, Health.UNHEALTHY, "ESC Stopped"))
ALIVE = Signs(holder=7, beat_age=0.5, snapshot=HEALTHY, author=7)


@pytest.mark.parametrize(
    "signs", [ALIVE, replace(ALIVE, author=None), replace(ALIVE, beat_age=4.9), replace(ALIVE, snapshot=STOPPED)]
)
def test_the_word_of_an_agent_that_lives_counts(signs: Signs) -> None:
    assert judge(signs) is signs.snapshot


def test_the_last_word_of_an_agent_that_ended_in_good_order_counts() -> None:
    assert judge(Signs(snapshot=STOPPED, author=7)) is STOPPED


@pytest.mark.parametrize(
    ("signs", "reason"),
    [
        (Signs(), "the agent is not running"),
        (Signs(snapshot=HEALTHY), "the agent is not running"),
        (Signs(snapshot=HEALTHY, beat_age=0.1), "the agent is not running"),
        (Signs(snapshot=STOPPED, this_boot=False), "the agent is not running"),
        (Signs(holder=7), "the agent (pid 7) has not reported yet"),
        (replace(ALIVE, author=6), "the agent (pid 7) has not reported yet"),
        (replace(ALIVE, beat_age=None), "the agent (pid 7) has not reported yet"),
        (replace(ALIVE, snapshot=None), "the agent (pid 7) has not reported yet"),
        (replace(ALIVE, beat_age=12.4), "the agent (pid 7) does not respond, last sign of life 12 s ago"),
        (replace(ALIVE, stopped=True), "the agent (pid 7) does not respond, last sign of life 0 s ago"),
        (
            replace(ALIVE, stopped=True, beat_age=None),
            "the agent (pid 7) does not respond, no sign of life yet",
        ),
        (replace(ALIVE, unreadable="cannot read it"), "cannot read it"),
    ],
)
def test_otherwise_nothing_is_known_and_the_reason_told(signs: Signs, reason: str) -> None:
    found = judge(signs)
    assert found.verdict == Verdict(3, Health.UNKNOWN, f"ESC Unknown: {reason}", (Reason("agent-silent", "", reason),))
    assert (found.role, found.role_since) == (None, None)


def test_what_is_no_longer_known_is_marked() -> None:
    assert judge(Signs(snapshot=HEALTHY)).resources == (
        ResourceStatus("web", "unknown", detail="last known state: running (pgid 12)"),
        ResourceStatus("off", "disabled"),
    )
