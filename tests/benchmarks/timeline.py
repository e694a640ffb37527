"""What a machine tells of a takeover: the moments by its journal, and the work by the kernel's counters.

Where it can be, the source is the same whoever manages the pair: the kernel tells of DRBD and of the mount, ``ip
monitor`` of the address, PostgreSQL of itself. All of it is read on the monotonic clock of the machine that takes over.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Mapping

from tests.vm.machine import Machine
from tests.vm.pair import VIP

Event = tuple[str, str]
"""Who tells of it in the journal, and in which words (a regular expression)."""
WATCH = "address-watch"
EVENTS: Mapping[str, Event] = {
    "VIP": (WATCH, rf"^\d+: eth0 +inet {re.escape(VIP)}/"),
    "promoted": ("kernel", r"drbd.* role\( Secondary -> Primary \)"),
    "mounted": ("kernel", r"^EXT4-fs \(drbd1\): mounted filesystem"),
    "PostgreSQL": ("postgres", r"database system is ready to accept connections"),
}
LOOKS = 5
TICKS = os.sysconf("SC_CLK_TCK")


class Clock:
    """Where a machine's monotonic clock stands against ours, by the quickest of a few looks."""

    def __init__(self, machine: Machine) -> None:
        looks = []
        for _ in range(LOOKS):
            begin = time.monotonic()
            uptime = float((machine.read("/proc/uptime") or "").split()[0])
            end = time.monotonic()
            looks.append((end - begin, uptime - (begin + end) / 2))
        self._offset = min(looks)[1]

    def there(self, here: float) -> float:
        """A moment of our monotonic clock as the machine's."""
        return here + self._offset


def watch_addresses(machine: Machine) -> None:
    """Have the journal tell of each address that eth0 gets, until the next boot."""
    argv = ["systemd-run", "--quiet", f"--unit={WATCH}", f"--property=SyslogIdentifier={WATCH}"]
    machine.exec([*argv, "ip", "-oneline", "monitor", "address", "dev", "eth0"])


def phases(machine: Machine, cut: float, events: Mapping[str, Event]) -> dict[str, float] | None:
    """Seconds from ``cut`` (on the machine's clock) to the first word of each event; None until all are told."""
    found: dict[str, float] = {}
    fields = "MESSAGE,SYSLOG_IDENTIFIER,_SOURCE_MONOTONIC_TIMESTAMP"
    command = ["journalctl", "--quiet", "--boot", "--lines=1000", "--output=json", f"--output-fields={fields}"]
    for line in machine.exec(command).stdout.splitlines():
        entry = json.loads(line)
        told = float(entry.get("_SOURCE_MONOTONIC_TIMESTAMP", entry["__MONOTONIC_TIMESTAMP"])) / 1e6
        for name, (source, words) in events.items():
            is_meant = told > cut and entry.get("SYSLOG_IDENTIFIER") == source and name not in found
            if is_meant and re.search(words, str(entry["MESSAGE"])):
                found[name] = told - cut
    return found if found.keys() == events.keys() else None


def work(machine: Machine) -> dict[str, float]:
    """What the machine has done since its boot: ``processes`` that were started, ``processor`` seconds."""
    counters = {line.split()[0]: line.split()[1:] for line in (machine.read("/proc/stat") or "").splitlines()}
    user, nice, system, _idle, _iowait, irq, softirq = (int(word) for word in counters["cpu"][:7])
    return {
        "processes": float(counters["processes"][0]),
        "processor": (user + nice + system + irq + softirq) / TICKS,
    }
