"""The replicated pair on two machines: first installation, takeover, switchover, and what it does with the data."""

from __future__ import annotations

import os
import statistics
import time
from functools import partial

import pytest

from tests.vm.conftest import Measured
from tests.vm.pair import Pair
from tests.vm.replicated import Scene, make_pair, wait_healthy

ROUNDS = int(os.environ.get("ROUNDS", "20"))
"""Of some twenty seconds each."""


def test_the_three_lines_make_a_replicated_pair(pair: Pair) -> None:
    make_pair(pair)
    primary, standby = wait_healthy(pair)
    shown = primary.escadm("status", "-v", check=False).stdout
    assert "drbd (pgid 0) is master" in shown
    assert "pgsql (pgid" in shown
    assert "drbd (pgid 0) is backup" in standby.escadm("status", "-v", check=False).stdout


@pytest.mark.long
def test_no_acknowledged_row_is_lost(ready: Pair, measured: Measured) -> None:
    """The primary loses its power, ROUNDS times, the roles alternating."""
    with Scene(ready) as scene:
        primary, standby = scene.primary, scene.standby
        seconds = []
        for _ in range(ROUNDS):
            primary.power_cut()
            cut = time.monotonic()
            seconds.append(ready.wait_for(partial(scene.client.first_after, cut), 90, "a commit on the other node"))
            scene.start(primary)
            assert wait_healthy(ready) == (standby, primary)
            primary, standby = standby, primary
        scene.healthy()
    measured(f"power cut to the first commit, fastest of {ROUNDS}", min(seconds))
    measured("… median", statistics.median(seconds))
    measured("… slowest", max(seconds))


def test_switchover_under_load(ready: Pair, measured: Measured) -> None:
    with Scene(ready) as scene:
        primary, standby = scene.primary, scene.standby
        begin = time.monotonic()
        primary.escadm("switchover")
        end = time.monotonic()
        ready.wait_for(lambda: scene.client.first_after(end), 30, "a commit after the switchover")
        measured("switchover, as long as the command takes", end - begin)
        measured("… longest time without a commit", scene.client.longest_gap(begin))
        scene.healthy(primary=standby)


def test_a_switchover_that_would_lose_something_is_refused(ready: Pair) -> None:
    """The peer is stopped, in fault, or half a copy; that it is disconnected is in test_faults.py."""
    with Scene(ready) as scene:
        standby = scene.standby
        standby.escadm("stop")
        scene.refuses_switchover("it is stopped")
        standby.escadm("start")
        wait_healthy(ready)
        ready.cut("eth0", standby)
        scene.reads(standby, "the interface eth0 has no carrier")
        scene.refuses_switchover("is not fit")
        ready.heal()
        wait_healthy(ready)
        scene.begin_resync()
        scene.refuses_switchover("Inconsistent")
        scene.healthy(primary=scene.primary)
