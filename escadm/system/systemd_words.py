"""What systemd says of a unit that is not up, in words for people."""

from __future__ import annotations

import os

from escadm.system.process import outcome
from escadm.system.systemd import State

RESULTS = {
    "timeout": "took longer than its unit file allows",
    "watchdog": "missed the watchdog of its unit file",
    "oom-kill": "was killed for want of memory",
    "protocol": "did not do what the Type= of its unit file asks for",
    "resources": "lacks resources, says systemd",
}
LOADS = {
    "not-found": "is not installed: systemd knows no unit {}",
    "masked": "is masked: `systemctl unmask {}` lifts that",
}


def why_not_up(unit: str, state: State, otherwise: str) -> str:
    """Why it is not up, for people; ``otherwise`` where systemd does not know of any failure."""
    if state.load in LOADS:
        return LOADS[state.load].format(unit)
    if not state.is_active and state.result in RESULTS:
        return RESULTS[state.result]
    if not state.is_active and (state.result != "success" or state.is_crash):
        code = state.status if state.ended == os.CLD_EXITED else -state.status
        return outcome(code) if state.ended else "could not be started: a command of its unit file failed"
    return otherwise
