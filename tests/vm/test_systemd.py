"""The agent's unit on a pair: an agent that hangs, and stops that leave nothing, also where the agent is dead."""

from __future__ import annotations

import time
from functools import partial

from tests.vm.answers import Answers
from tests.vm.conftest import Measured
from tests.vm.machine import Machine
from tests.vm.pair import Pair
from tests.vm.replicated import PATH, Scene, wait_healthy
from tests.vm.test_package import assert_nothing_runs, processes

WATCHDOG = 20.0
HEALED_WITHIN = 90.0
"""The watchdog's seconds, and what systemd and a new Python take on a slow machine."""


def main_pid(machine: Machine) -> int:
    return int(machine.sh("systemctl show --value --property=MainPID esc_service"))


def has_failed(machine: Machine) -> bool:
    return machine.sh("systemctl show --value --property=ActiveState esc_service") == "failed\n"


def test_an_agent_that_hangs_is_started_anew_and_no_service_notices(ready: Pair, measured: Measured) -> None:
    with Scene(ready) as scene, Answers(ready) as answers:
        primary = scene.primary
        services, hung, begin = processes(primary), main_pid(primary), time.monotonic()
        primary.sh("systemctl kill --signal=STOP --kill-whom=main esc_service")

        def healed() -> bool:
            told = primary.escadm("status", check=False).stdout
            return "Master Healthy" in told and main_pid(primary) not in (0, hung)

        ready.wait_for(healed, HEALED_WITHIN, "another agent")
        measured("agent stopped by a signal, until another one is healthy", time.monotonic() - begin)
        assert "Watchdog timeout" in primary.sh("journalctl --boot --unit=esc_service --output=cat")
        scene.healthy(primary=primary)
        assert processes(primary) == services
        assert answers.lost() == 0


def test_a_stop_leaves_nothing_whatever_has_become_of_the_agent(ready: Pair) -> None:
    """It works; it is dead and about to be started; it has failed, with a configuration that is no longer one."""
    with Scene(ready) as scene:
        for case in ("", "kill", "fail"):
            old, new = scene.primary, scene.standby
            good = old.read(PATH) or ""
            if case == "fail":
                old.write(PATH, "resources: [")
            if case:
                old.sh("systemctl kill --signal=KILL --kill-whom=main esc_service")
            if case == "fail":
                ready.wait_for(partial(has_failed, old), 60, "an agent that has failed")
                assert processes(old)
            old.sh("systemctl stop esc_service", timeout=150)
            assert_nothing_runs(old)
            scene.writes_on(new)
            old.write(PATH, good)
            old.escadm("start")
            scene.primary, scene.standby = wait_healthy(ready)
            assert scene.primary is new
        scene.healthy(primary=new)
