"""systemd as it is on this machine: which units there are, and how one of them is started, stopped and asked.

Which units exist is read from systemd's folders: that needs neither systemctl nor a systemd that runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from escadm.paths import Paths
from escadm.system.run import Completed, run

BOOTED = Path("/run/systemd/system")
UNIT_FOLDERS = (
    "/etc/systemd/system",
    "/run/systemd/system",
    "/run/systemd/generator",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
)
ASK_TIMEOUT = 10.0
PROPERTIES = ("LoadState", "ActiveState", "SubState", "Result", "MainPID", "ExecMainCode", "ExecMainStatus")


@dataclass(frozen=True, slots=True)
class State:
    """What systemd says of a unit, in its own words (``systemctl show``). ``main_pid`` 0: it has no such process.

    ``ended``: how its main process ended, as waitid(2) has it (1 exited, 2 killed, 3 dumped core; 0 it has not), and
    ``status``: its exit code, or the signal's number.
    """

    load: str = "not-found"
    active: str = "inactive"
    sub: str = "dead"
    result: str = "success"
    main_pid: int = 0
    ended: int = 0
    status: int = 0

    @property
    def is_active(self) -> bool:
        """Whether it is up. A unit that reloads is."""
        return self.active in ("active", "reloading")

    @property
    def is_down(self) -> bool:
        """Whether nothing of it is up, or on its way up or down."""
        return self.active in ("inactive", "failed")


def is_booted() -> bool:
    """Whether systemd is the init of this machine (as sd_booted(3) has it)."""
    return BOOTED.is_dir()


def unit_exists(unit: str, paths: Paths) -> bool:
    """Whether there is a unit file of this name, or the template that it is an instance of (systemd.unit(5))."""
    names = [unit]
    if "@" in unit:
        prefix, _, rest = unit.partition("@")
        names.append(f"{prefix}@.{rest.rpartition('.')[2]}")
    return any(paths.below(f"{folder}/{name}").exists() for folder in UNIT_FOLDERS for name in names)


def start(unit: str, timeout: float) -> None:
    """Start the unit and wait until it is up. Raises Failed with systemctl's reason, or after the time limit.

    systemd's count of starts in a row is set back first: who asks has a pace of his own.
    """
    systemctl("reset-failed", unit, timeout=ASK_TIMEOUT, any_code=True)
    systemctl("start", unit, timeout=timeout)


def stop(unit: str, timeout: float) -> None:
    """Stop the unit and wait until it is down; one that is down already, or unknown, is none the worse for it."""
    systemctl("stop", unit, timeout=timeout, any_code=state(unit).load == "not-found")


def state(unit: str) -> State:
    """What systemd says of the unit now. Raises Failed where systemd does not answer."""
    said = systemctl("show", f"--property={','.join(PROPERTIES)}", unit, timeout=ASK_TIMEOUT).stdout
    found = dict(line.partition("=")[::2] for line in said.splitlines())
    return State(
        load=found["LoadState"],
        active=found["ActiveState"],
        sub=found["SubState"],
        result=found.get("Result", "success"),
        main_pid=int(found.get("MainPID", 0)),
        ended=int(found.get("ExecMainCode", 0)),
        status=int(found.get("ExecMainStatus", 0)),
    )


def systemctl(*words: str, timeout: float, any_code: bool = False) -> Completed:
    """Run systemctl, which asks nobody for a password. ``any_code``: its failures do not matter."""
    argv = ["systemctl", "--no-ask-password", *words]
    return run(argv, timeout=timeout, ok=range(256) if any_code else (0,))
