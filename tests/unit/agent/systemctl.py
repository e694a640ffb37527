"""A systemd of one unit for tests: a systemctl that keeps what it says in a folder, and is told there what to do.

Files in the folder: ``unit`` holds what ``systemctl show`` prints, ``calls`` the verbs so far. ``start`` waits while
``hold`` exists, then does what ``script`` says: shell, with the functions of PROGRAM. ``mute``: systemd does not
answer; ``over``: the test has ended; ``stubborn``: the unit cannot be stopped; ``deaf``: ``start --wait`` ends at once;
``late``: it takes long to begin.
"""

from __future__ import annotations

import fcntl
import os
import signal
from pathlib import Path

PROGRAM = """#!/bin/sh
# One unit. $D: where all of it is kept.
D=__FOLDER__
say() { flock "$D/lock" sed -i "s/^$1=.*/$1=$2/" "$D/unit"; }
get() { sed -n "s/^$1=//p" "$D/unit"; }
up() { sleep 600 </dev/null >/dev/null 2>&1 & say MainPID $!; say ActiveState active; }
down() {
  pid=$(get MainPID); say MainPID 0; say ActiveState "${1:-inactive}"; [ "$pid" = 0 ] || kill -9 "$pid" 2>/dev/null
}
[ -e "$D/over" ] && exit 1
shift
case "$*" in --job-mode=*) echo "$1" >>"$D/calls"; shift;; esac
[ "$1" = show ] || echo "$1${2:+ $2}" | sed 's/ web.*//' >>"$D/calls"
[ "$1" = show ] && echo >>"$D/looks"
[ -e "$D/mute" ] && { echo "Failed to connect to bus" >&2; exit 1; }
case "$1 $2" in
  "start --wait")
    while [ -e "$D/late" ]; do sleep 0.01; done
    [ "$(get ActiveState)" = active ] || up
    echo watching >>"$D/calls"
    while [ "$(get ActiveState)" = active ] && [ ! -e "$D/deaf" ] && [ ! -e "$D/over" ]; do sleep 0.01; done;;
  start\\ *) while [ -e "$D/hold" ]; do sleep 0.01; done; . "$D/script";;
  stop\\ *) [ -e "$D/stubborn" ] && { sleep 0.2; echo "cannot be stopped" >&2; exit 1; }; down;;
  kill\\ *) rm -f "$D/stubborn"; down failed;;
  show\\ *) cat "$D/unit";;
esac
"""

UNIT = {
    "LoadState": "loaded",
    "ActiveState": "inactive",
    "SubState": "dead",
    "Result": "success",
    "Job": "",
    "MainPID": "0",
    "ExecMainCode": "0",
    "ExecMainStatus": "0",
    "NRestarts": "0",
}


class Systemd:
    """The program, and what a test does behind its back."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.program = folder / "systemctl"
        self.program.write_text(PROGRAM.replace("__FOLDER__", str(folder)))
        self.program.chmod(0o755)
        self.says(**UNIT)
        self.script("up")

    def script(self, text: str) -> None:
        """What a start does."""
        (self.folder / "script").write_text(text)

    def says(self, **properties: str) -> None:
        """Have the unit described like this from now on."""
        file = self.folder / "unit"
        with (self.folder / "lock").open("w") as lock:  # the program may be saying something just now
            fcntl.flock(lock, fcntl.LOCK_EX)
            known = dict(line.split("=", 1) for line in file.read_text().splitlines()) if file.exists() else {}
            new = file.with_suffix(".new")
            new.write_text("".join(f"{name}={value}\n" for name, value in {**known, **properties}.items()))
            new.rename(file)

    def has(self, name: str, *, wanted: bool = True) -> None:
        """Make or remove one of the files that change its ways."""
        file = self.folder / name
        if wanted:
            file.touch()
        else:
            file.unlink()

    def get(self, name: str) -> str:
        found = dict(line.split("=", 1) for line in (self.folder / "unit").read_text().splitlines())
        return found[name]

    @property
    def calls(self) -> list[str]:
        file = self.folder / "calls"
        return file.read_text().splitlines() if file.exists() else []

    @property
    def looks(self) -> int:
        """How often it has been asked what the unit is like."""
        file = self.folder / "looks"
        return len(file.read_text()) if file.exists() else 0

    def end(self) -> None:
        """Nothing that it has started is left, nor does a call that comes late start anything."""
        (self.folder / "over").touch()
        pid = int(self.get("MainPID"))
        if pid:
            os.kill(pid, signal.SIGKILL)
        self.says(ActiveState="inactive")
        for name in ("hold", "mute", "stubborn"):
            (self.folder / name).unlink(missing_ok=True)
