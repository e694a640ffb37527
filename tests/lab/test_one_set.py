"""Services of the primary run on one node at a time, seen from outside: by the kernel's processes, not by any word."""

from __future__ import annotations

import os
import threading
from contextlib import suppress

import psutil

from escadm.lab import Lab
from tests.lab.conftest import NewLab
from tests.lab.pair import resource, wait_healthy, wait_resource

MARK = "one-set-of-services"
LEAVES_IN = 3.0
CONFIG = f"""\
resources:
  slow:
    command: [sh, -c, "trap 'sleep {LEAVES_IN:g}; exit' TERM; while :; do sleep 0.05; done", {MARK}]
    depend_on: filesystem
"""
LOOKS_EVERY = 0.02


class Watch(threading.Thread):
    """Looks at all processes, and keeps the most namespaces that were seen to run the service at one time."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.most = 0
        self.looks = 0
        self._over = threading.Event()

    def __enter__(self) -> Watch:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()

    def run(self) -> None:
        while not self._over.wait(LOOKS_EVERY):
            self.most = max(self.most, len(namespaces()))
            self.looks += 1


def namespaces() -> set[str]:
    """The pid namespaces in which the service runs, each a node."""
    found = set()
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.cmdline()[-1:] == [MARK]:
                found.add(os.readlink(f"/proc/{process.pid}/ns/pid"))  # noqa: PTH115 - it leads to no file
    return found


def check(lab: Lab, fault: str) -> None:
    """The primary has the fault; the other node takes over, and runs the service once the first one has stopped it."""
    primary, standby = wait_healthy(lab)
    wait_resource(lab, primary, "slow", "running")
    with Watch() as watch:
        lab.fault(fault, primary.name)
        wait_resource(lab, standby, "slow", "running")
        wait_healthy(lab)
    assert watch.looks > LEAVES_IN / LOOKS_EVERY / 20
    assert watch.most == 1
    assert resource(primary, "slow")["state"] == "stopped"


def test_keepalived_killed_on_a_primary_that_takes_long_to_stop(new_lab: NewLab) -> None:
    check(new_lab(config=CONFIG), "keepalived-kill")
