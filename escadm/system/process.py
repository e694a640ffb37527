"""Services as processes: started in sessions of their own, found again, signalled, ended.

A service outlives the agent that started it. It is known by its leader's identity (pid, start time and boot id:
a pid alone is reused), and by the mark ``ESCADM_UNIT`` in the environment of all that belongs to it; see processes.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import signal
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from escadm.core.specs import ProcessSpec
from escadm.errors import Failed
from escadm.system.alive import boot_id
from escadm.system.scope import Identity, Scope, for_the_loader

MARK = "ESCADM_UNIT"
PROC = Path("/proc")
PLAIN_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
"""What every service sees, whoever started the agent."""
START_DIRECTORY = "/"


@dataclass(frozen=True, slots=True)
class ProcessId:
    """A process beyond doubt: ``start`` is field 22 of /proc/PID/stat (clock ticks since boot)."""

    pid: int
    start: int
    boot: str


@dataclass(frozen=True, slots=True)
class Stat:
    """What /proc/PID/stat says of a process."""

    pid: int
    state: str
    parent: int
    group: int
    session: int
    flags: int
    start: int

    @property
    def is_living(self) -> bool:
        """Whether it has not ended: a zombie only waits to be heard of."""
        return self.state not in "ZX"


def parse_stat(pid: int, data: bytes) -> Stat:
    """The contents of /proc/PID/stat. The process's name may be any bytes, parentheses and newlines included."""
    fields = data[data.rindex(b")") + 2 :].split()
    state = fields[0].decode("ascii")
    return Stat(pid, state, int(fields[1]), int(fields[2]), int(fields[3]), int(fields[6]), int(fields[19]))


def _stat(pid: int) -> Stat | None:
    try:
        return parse_stat(pid, (PROC / str(pid) / "stat").read_bytes())
    except OSError:
        return None


def identify(pid: int) -> ProcessId | None:
    """The identity of a living process, None when there is none (a zombie is not living)."""
    found = _stat(pid)
    return ProcessId(pid, found.start, boot_id()) if found and found.is_living else None


def is_alive(process: ProcessId) -> bool:
    """Whether this very process still lives."""
    return identify(process.pid) == process


def parent_of(pid: int) -> int:
    """The parent's pid; 0 when there is none, or the process is gone."""
    found = _stat(pid)
    return found.parent if found else 0


def command_name(pid: int) -> str:
    """The kernel's name of the process (/proc/PID/comm), empty when it is gone."""
    try:
        return (PROC / str(pid) / "comm").read_text(errors="replace").strip()
    except OSError:
        return ""


def pids_of(command: str) -> list[int]:
    """The processes with this command name in our network namespace: a container's are its own affair."""
    pids = sorted(int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit())
    return [pid for pid in pids if command_name(pid) == command and _network(pid) == _network(os.getpid())]


def _network(pid: int) -> str | None:
    try:
        return str((PROC / str(pid) / "ns/net").readlink())
    except OSError:
        return None


def open_pidfd(process: ProcessId) -> int | None:
    """A descriptor that becomes readable when the process ends; None when it has ended already."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except OSError:  # gone, or its number now is that of somebody's thread
        if is_alive(process):
            raise
        return None
    if is_alive(process):
        return descriptor
    os.close(descriptor)
    return None


def service_environment(spec: ProcessSpec, mark: str, extra: Mapping[str, str]) -> dict[str, str]:
    """What a service sees: a plain base, its user's names, its own settings, and the mark that finds it again."""
    base = dict(PLAIN_ENVIRONMENT)
    if spec.user:
        with contextlib.suppress(KeyError):
            account = pwd.getpwnam(spec.user)
            base |= {"USER": account.pw_name, "LOGNAME": account.pw_name, "HOME": account.pw_dir}
    return {**base, **dict(spec.environment), **extra, MARK: mark}


def spawn(
    spec: ProcessSpec, *, mark: str, log: Path, environment: Mapping[str, str], scope: Scope | None = None
) -> tuple[subprocess.Popen[bytes], ProcessId]:
    """Start the command as leader of a new session, its output appended to ``log``.

    Raises Failed, in one sentence, when it cannot be started: no such program, user or folder, no permission. With a
    ``scope`` the process is what puts itself into the scope first (see is_launching), and learns of most of this later.
    """
    argv: Sequence[str] = spec.argv
    identity = _identity(spec.user)
    seen = service_environment(spec, mark, environment)
    if scope is not None:
        hidden = for_the_loader(seen)
        argv = scope.around(argv, identity, hidden)
        seen, identity = {name: seen[name] for name in seen.keys() - hidden.keys()}, None
    user, group, groups = identity or (None, None, None)
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640), "ab") as output:
            child = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=seen,
                cwd=spec.working_directory or START_DIRECTORY,
                start_new_session=True,
                user=user,
                group=group,
                extra_groups=groups,
            )
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise Failed(f"cannot start {spec.argv[0]}: {_plainly(error)}") from error
    stat = _stat(child.pid)
    return child, ProcessId(child.pid, stat.start if stat else 0, boot_id())


def _identity(user: str | None) -> Identity | None:
    """Whom to become, None for whoever this process is."""
    if user is None:
        return None
    try:
        account = pwd.getpwnam(user)
    except KeyError:
        raise Failed(f"cannot start as user {user}: there is no such user") from None
    if account.pw_uid == os.geteuid():
        return None
    return account.pw_uid, account.pw_gid, os.getgrouplist(account.pw_name, account.pw_gid)


def _plainly(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)


def _is_not_reused(leader: ProcessId) -> bool:
    stat = _stat(leader.pid)
    return leader.boot == boot_id() and (stat is None or stat.start == leader.start)


def signal_group(leader: ProcessId, name: str) -> None:
    """Send the signal (``SIGTERM`` …) to the leader's whole process group; nothing happens when it is gone."""
    if _is_not_reused(leader):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(leader.pid, signal.Signals[name])


def send(process: ProcessId, name: str) -> None:
    """Send the signal to this very process; nothing happens when it is gone."""
    descriptor = open_pidfd(process)
    if descriptor is not None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(descriptor, signal.Signals[name])
        os.close(descriptor)


def kill(processes: Iterable[ProcessId]) -> None:
    """SIGKILL each of them that is still the same process."""
    for process in processes:
        send(process, "SIGKILL")


def outcome(code: int | None) -> str:
    """How a process ended, for people: ``exited with code 3``, ``was killed by SIGKILL``."""
    if code is None:
        return "exited (its code is not known: it was started by an earlier agent)"
    if code < 0:
        try:
            return f"was killed by {signal.Signals(-code).name}"
        except ValueError:
            return f"was killed by signal {-code}"
    return f"exited with code {code}"
