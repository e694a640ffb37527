"""Either node goes down in good order, and comes back by itself: systemd, as an administrator's word or at boot."""

from __future__ import annotations

import time

from tests.vm.answers import Answers
from tests.vm.conftest import Measured
from tests.vm.machine import Machine
from tests.vm.pair import Pair
from tests.vm.replicated import Scene, wait_healthy

GOODBYE = "Backup received priority 0 advertisement"
"""What keepalived says when the primary gave the role up, rather than fell silent."""


def test_either_node_goes_down_in_order(ready: Pair, measured: Measured) -> None:
    """The standby is rebooted: nobody notices. The primary is rebooted, then the other one switched off: a goodbye each
    time, no silence; every acknowledged row is there."""
    with Scene(ready) as scene, Answers(ready) as answers:
        primary, standby = scene.primary, scene.standby
        standby.shutdown("reboot")
        scene.reads(primary, "is not connected")
        scene.start(standby)
        assert wait_healthy(ready) == (primary, standby)
        assert answers.heard > 0
        assert answers.lost() == 0
        hand_over(scene, answers, primary, standby, "reboot", measured=measured)
        scene.start(primary)
        assert wait_healthy(ready) == (standby, primary)
        hand_over(scene, answers, standby, primary, "poweroff", measured=measured)
        scene.start(standby)
        scene.healthy(primary=primary)


def hand_over(scene: Scene, answers: Answers, old: Machine, new: Machine, how: str, *, measured: Measured) -> None:
    """The old primary goes down in order; the new one has the role before that one's power is off."""
    goodbyes = said(new)
    begin = time.monotonic()
    old.shutdown(how)
    off = time.monotonic()
    scene.writes_on(new)
    scene.pair.wait_for(lambda: answers.heard_after(off), 10, "an answer to a ping")
    assert said(new) == goodbyes + 1
    measured(f"{how} of the primary: longest time without an answer to a ping", answers.longest_gap(begin))
    measured("… without a commit", scene.client.longest_gap(begin))
    measured("… until its power is off", off - begin)


def said(machine: Machine) -> int:
    return (machine.read("/var/log/esc/keepalived.log") or "").count(GOODBYE)
