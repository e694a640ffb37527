"""Either node goes down in good order, and comes back by itself: systemd, as an administrator's word or at boot."""

from __future__ import annotations

import time

from tests.vm.answers import Answers
from tests.vm.conftest import Measured
from tests.vm.machine import Machine
from tests.vm.pair import Pair
from tests.vm.replicated import Scene

GOODBYE = "Backup received priority 0 advertisement"
"""What keepalived says when the primary gave the role up, rather than fell silent."""


def test_the_primary_is_rebooted_then_switched_off(ready: Pair, measured: Measured) -> None:
    """Twice in a row, with both nodes as the primary: a goodbye, no silence; every acknowledged row is there."""
    with Scene(ready) as scene, Answers(ready) as answers:
        primary, standby = scene.primary, scene.standby
        hand_over(scene, answers, primary, standby, "reboot", measured=measured)
        scene.start(primary)
        scene.reads(standby, "ESC Master Healthy", 120)
        scene.reads(primary, "ESC Backup Healthy", 120)
        hand_over(scene, answers, standby, primary, "poweroff", measured=measured)
        scene.start(standby)
        scene.healthy(primary=primary)


def test_the_standby_is_rebooted(ready: Pair) -> None:
    """Nobody notices but the primary, which says so and is healthy again afterwards."""
    with Scene(ready) as scene, Answers(ready) as answers:
        scene.standby.shutdown("reboot")
        scene.reads(scene.primary, "is not connected")
        scene.start(scene.standby)
        scene.healthy(primary=scene.primary)
        assert answers.lost() == 0


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
