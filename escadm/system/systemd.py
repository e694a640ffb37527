"""systemd as it is on this machine: how a unit is started, stopped and asked, and what its folders say of units.

Reading the folders needs neither systemctl nor a systemd that runs.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from escadm.paths import Paths
from escadm.system.run import ANY_CODE, Completed, run

SYSTEMCTL = "systemctl"
BOOTED = Path("/run/systemd/system")
UNIT_FOLDERS = (
    "/etc/systemd/system",
    "/run/systemd/system",
    "/run/systemd/generator",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
    "/run/systemd/generator.late",
)
ENABLING_FOLDERS = ("/etc/systemd/system", "/run/systemd/generator", "/run/systemd/generator.late")
"""Where it stands which units begin with the machine (generator.late: those of System V scripts)."""

ASK_TIMEOUT = 10.0
PROPERTIES = (
    *("LoadState", "ActiveState", "Result", "Job"),
    *("MainPID", "ExecMainCode", "ExecMainStatus", "NRestarts"),
)


@dataclass(frozen=True, slots=True)
class State:
    """What systemd says of a unit, in its own words (``systemctl show``). ``main_pid`` 0: it has no such process.

    ``job``: one is queued or under way for it. ``ended``: how its main process ended, as waitid(2) has it (1 exited,
    2 killed, 3 dumped core; 0 it has not), and ``status``: its exit code, or the signal's number. ``restarts``: how
    often systemd has restarted it by itself.
    """

    load: str = "loaded"
    active: str = "inactive"
    result: str = "success"
    job: bool = False
    main_pid: int = 0
    ended: int = 0
    status: int = 0
    restarts: int = 0

    @property
    def is_active(self) -> bool:
        """Whether it is up. A unit that reloads is."""
        return self.active in ("active", "reloading")

    @property
    def is_down(self) -> bool:
        """Whether nothing of it is up, or on its way up or down."""
        return self.active in ("inactive", "failed") and not self.job

    @property
    def is_crash(self) -> bool:
        """Whether its main process has ended otherwise than one does that was asked to: systemd judges later."""
        return self.active == "deactivating" and self.ended != 0 and self.status not in (0, signal.SIGTERM)


def is_booted(paths: Paths) -> bool:
    """Whether systemd is the init here (as sd_booted(3) has it): of this machine, never of a tree beside it."""
    return paths.is_host and BOOTED.is_dir()


def start(unit: str, timeout: float) -> None:
    """Start the unit and wait until it is up. Raises Failed with systemctl's reason, or after the time limit.

    systemd's count of starts in a row is set back first: who asks has a pace of his own.
    """
    systemctl("reset-failed", unit, timeout=ASK_TIMEOUT, any_code=True)
    systemctl("start", unit, timeout=timeout)


def stop(unit: str, timeout: float) -> None:
    """Stop the unit and wait until it is down; one that is down already, or unknown, is none the worse for it.

    While the machine goes down a job of systemd's own waits for the agent, which waits here: so the order is ignored.
    """
    now = state(unit)
    if not now.is_down:
        mode = "ignore-dependencies" if now.job else "replace"
        systemctl(f"--job-mode={mode}", "stop", unit, timeout=timeout)


def kill(unit: str) -> None:
    """SIGKILL to every process of the unit; nothing happens where there is none."""
    systemctl("kill", "--kill-whom=all", "--signal=SIGKILL", unit, timeout=ASK_TIMEOUT, any_code=True)


def state(unit: str) -> State:
    """What systemd says of the unit now. Raises Failed where systemd does not answer."""
    said = systemctl("show", f"--property={','.join(PROPERTIES)}", unit, timeout=ASK_TIMEOUT).stdout
    found = dict(line.partition("=")[::2] for line in said.splitlines())

    def number(name: str) -> int:
        return int(found.get(name) or 0)

    return State(
        load=found["LoadState"],
        active=found["ActiveState"],
        result=found.get("Result", "success"),
        job=number("Job") > 0,
        main_pid=number("MainPID"),
        ended=number("ExecMainCode"),
        status=number("ExecMainStatus"),
        restarts=number("NRestarts"),
    )


def systemctl(*words: str, timeout: float, any_code: bool = False) -> Completed:
    """Run systemctl, which asks nobody for a password. ``any_code``: its failures do not matter."""
    return run([SYSTEMCTL, "--no-ask-password", *words], timeout=timeout, ok=ANY_CODE if any_code else (0,))


# --- what the folders say ---------------------------------------------------------------------------------------


def unit_exists(unit: str, paths: Paths) -> bool:
    """Whether there is a unit file of this name, or the template that it is an instance of (systemd.unit(5))."""
    names = [unit]
    if "@" in unit:
        prefix, _, rest = unit.partition("@")
        names.append(f"{prefix}@.{rest.rpartition('.')[2]}")
    return any(paths.below(f"{folder}/{name}").exists() for folder in UNIT_FOLDERS for name in names)


def masked_units(paths: Paths) -> frozenset[str]:
    """The units that an administrator has forbidden: links to /dev/null."""
    folder = paths.below(UNIT_FOLDERS[0])
    links = [Path(entry) for entry in _entries(folder) if entry.is_symlink()]
    return frozenset(link.name for link in links if link.readlink() == Path(os.devnull))


def enabled_units(paths: Paths) -> dict[str, str]:
    """The units that systemd starts when the machine begins, each with the one to disable so that it does not.

    That is another one where, say, a generator has hung postgresql@15-main.service on postgresql.service.
    """
    wants: dict[str, set[str]] = {}
    for folder in ENABLING_FOLDERS:
        for entry in _entries(paths.below(folder)):
            wanting, _, kind = entry.name.rpartition(".")
            if kind in ("wants", "requires"):
                for wanted in _entries(Path(entry)):
                    wants.setdefault(wanted.name, set()).add(wanting)
    found: dict[str, str] = {unit: unit for unit, by in wants.items() if any(map(_begins, by))}
    grown = True
    while grown:
        more = {
            unit: found[each] for unit, by in wants.items() if unit not in found for each in sorted(by & set(found))
        }
        found |= more
        grown = bool(more)
    return found


def _begins(unit: str) -> bool:
    return unit.endswith(".target")


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            yield from sorted(entries, key=lambda each: each.name)
    except OSError:
        return
