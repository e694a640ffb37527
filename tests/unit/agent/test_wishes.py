"""What administrators ask, and what of it the next agent goes by."""

from dataclasses import replace

import pytest

from escadm.agent.outputs.memory import Memory
from escadm.agent.wishes import Wishes
from escadm.core.situation import Wish

ASKED = Memory(down=("mona",), up=("snmp",))


def test_the_agent_goes_on_with_what_was_asked_of_the_one_before() -> None:
    wishes = Wishes(ASKED)
    assert wishes.now == wishes.lasting == Wish(down=frozenset({"mona"}), up=frozenset({"snmp"}))
    assert not Wishes(replace(ASKED, active=False)).now.active


def test_a_switchover_is_nothing_that_the_next_agent_goes_on_with() -> None:
    wishes = Wishes(ASKED)
    wishes.switchover = "on purpose"
    assert (wishes.now.switchover, wishes.lasting.switchover) == ("on purpose", "")


@pytest.mark.parametrize("active", [True, False])
def test_an_end_is_no_stop_for_the_next_agent(active: bool) -> None:
    """Whatever is asked for meanwhile."""
    wishes = Wishes(replace(ASKED, active=active))
    wishes.end()
    assert wishes.ending
    assert not wishes.now.active
    wishes.active = False
    assert wishes.lasting.active is active
