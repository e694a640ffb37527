"""Namespaces as machines: made with unshare(1), entered with nsenter(1), ended by the death of their PID 1."""

from __future__ import annotations

import os
import select
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Container, Sequence
from dataclasses import dataclass
from pathlib import Path

from escadm.errors import Failed, NotInstalled
from escadm.paths import ROOT_VARIABLE
from escadm.system.run import Completed, run

START_TIMEOUT = 15.0
PROGRAMS = {
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "mount": "mount",
    "ip": "iproute2",
    "keepalived": "keepalived",
}
KINDS = ["--net", "--mount", "--uts", "--ipc", "--pid"]
UNSHARE = ["--fork", "--kill-child=KILL", "--mount-proc", "--propagation", "private", "--"]
CREDENTIALS = struct.Struct("iII")


@dataclass(frozen=True, slots=True)
class Machine:
    """A PID 1 as this side sees it: its pid here and its start time, so that a pid used again is not taken for it."""

    pid: int
    started: int

    @classmethod
    def of(cls, pid: int) -> Machine:
        """The machine whose PID 1 has ``pid`` here."""
        return cls(pid, start_time(pid) or 0)

    @property
    def alive(self) -> bool:
        """Whether its PID 1 runs."""
        return start_time(self.pid) == self.started

    def send(self, number: signal.Signals) -> bool:
        """Signal PID 1; False when it is gone already."""
        try:
            pidfd = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return False
        try:
            if not self.alive:
                return False
            signal.pidfd_send_signal(pidfd, number)
        except ProcessLookupError:
            return False
        finally:
            os.close(pidfd)
        return True

    def end(self, number: signal.Signals = signal.SIGKILL, timeout: float = 10.0) -> None:
        """Signal PID 1 and wait until it and with it every process of the machine is gone."""
        try:
            pidfd = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        try:
            if self.send(number) and not select.select([pidfd], [], [], timeout)[0]:
                raise Failed(f"cannot end process {self.pid}: it still runs {timeout:g} s after {number.name}")
        finally:
            os.close(pidfd)

    def enter(self, argv: Sequence[str], *, network_only: bool = False) -> list[str]:
        """``argv`` as a command line that runs inside; ``network_only`` keeps this side's pids and files."""
        user = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
        kinds = ["--net"] if network_only else KINDS
        return ["nsenter", "--target", str(self.pid), *user, *kinds, "--", *argv]


def start_time(pid: int) -> int | None:
    """Clock ticks from boot to the start of ``pid``; None when there is no such process or it is a zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])


def environment() -> dict[str, str]:
    """What a process inside inherits: no other root, and this installation's programs first on PATH."""
    path = [str(Path(sys.executable).parent), os.environ.get("PATH", ""), "/usr/sbin:/usr/bin:/sbin:/bin"]
    kept = {name: os.environ[name] for name in ("TERM", "LANG", "HOME", "COLUMNS", "NO_COLOR") if name in os.environ}
    return {"LANG": "C.UTF-8", **kept, ROOT_VARIABLE: "", "PATH": ":".join(filter(None, path))}


def require_programs() -> None:
    """Raise NotInstalled naming the Debian packages of the programs that the lab needs and does not find."""
    path = environment()["PATH"]
    missing = sorted({package for program, package in PROGRAMS.items() if shutil.which(program, path=path) is None})
    if missing:
        raise NotInstalled(f"cannot make a lab: {', '.join(missing)} not installed", f"apt install {' '.join(missing)}")


def start(
    outer: Machine | None, setup: Sequence[Sequence[str]], log: Path, hostname: str
) -> tuple[Machine, socket.socket]:
    """Start a machine: new namespaces, inside ``outer`` if there is one; ``setup`` runs before its PID 1 does.

    The machine ends when the returned socket is closed before :func:`let_go`.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    script = "\n".join([*(shlex.join(line) for line in setup), 'exec "$@"'])
    init = [sys.executable, "-m", "escadm.lab.init", "--control", str(theirs.fileno()), "--hostname", hostname]
    user = ["--user", "--map-root-user"] if outer is None and os.geteuid() else []
    argv = ["unshare", *user, *KINDS, *UNSHARE, "sh", "-euc", script, "sh", *init]
    with theirs, log.open("ab") as output:
        # setsid --fork: the new machine becomes a child of outer's PID 1, not of this process
        argv = ["setsid", "--fork", *argv]
        starter = subprocess.run(
            outer.enter(argv) if outer else argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=[theirs.fileno()],
            env=environment(),
            cwd="/",
            timeout=START_TIMEOUT,
        )
    try:
        return Machine.of(wait_ready(ours, starter.returncode)), ours
    except (OSError, ValueError) as error:
        ours.close()
        raise Failed(
            f"cannot make the namespaces of {hostname}: {last_line(log) or error}",
            "run it as root, or where the kernel lets ordinary users make user namespaces",
        ) from None


def wait_ready(control: socket.socket, code: int) -> int:
    """The pid, as this side counts, of the PID 1 that sends ``ready``; the kernel translates it."""
    control.settimeout(START_TIMEOUT)
    word, ancillary, _, _ = control.recvmsg(64, socket.CMSG_SPACE(CREDENTIALS.size))
    if word != b"ready":
        raise ValueError(f"it ended before it was ready (code {code})")
    return int(CREDENTIALS.unpack(ancillary[0][2][: CREDENTIALS.size])[0])


def let_go(control: socket.socket) -> None:
    """Let the machine go on without us."""
    with control:
        control.send(b"stay")


def last_line(log: Path) -> str:
    """The last line of a log, for an error message."""
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""


def call(
    argv: Sequence[str], text: str = "", *, timeout: float = START_TIMEOUT, ok: Container[int] = (0,)
) -> Completed:
    """Run a command in the lab's environment with ``text`` on its input."""
    return run(argv, timeout=timeout, input=text, env=environment(), ok=ok)
