"""The one door to short outside commands: no shell, a time limit, the whole group ended when it is over."""

from __future__ import annotations

import os
import pwd
import select
import shlex
import signal
import subprocess
import threading
from collections.abc import Container, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from escadm.core.specs import masked
from escadm.errors import EscadmError, Failed, NotInstalled, NotPermitted

GRACE = 1.0
"""Seconds between TERM and KILL, and seconds that a killed child is waited for before it counts as unkillable."""

LAST_LINES = 5

ANY_CODE = range(256)
"""For ``ok``: whatever the command ends with on its own; its caller looks at the code."""

PACKAGES = {
    "keepalived": "keepalived",
    "drbdadm": "drbd-utils",
    "drbdsetup": "drbd-utils",
    "drbdmeta": "drbd-utils",
    "drbdadm-84": "drbd-utils",
    "ip": "iproute2",
    "mount": "mount",
    "umount": "mount",
    "ping": "iputils-ping",
    "systemctl": "systemd",
    "systemd-run": "systemd",
}
"""Program -> the Debian package that brings it."""

_unkillable: list[subprocess.Popen[bytes]] = []
"""Children that not even KILL has ended yet (state D), kept to be reaped when they do end."""

OURS_ALONE = ("LANGUAGE", "NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC")
SBIN = ("/usr/local/sbin", "/usr/sbin", "/sbin")


@dataclass(frozen=True, slots=True)
class Completed:
    """A command that ended on its own, with an exit code that the caller accepts."""

    argv: tuple[str, ...]
    code: int
    stdout: str
    stderr: str


class Run(Protocol):
    """The shape of :func:`run`, for those who take it as a port."""

    def __call__(
        self,
        argv: Sequence[str],
        *,
        timeout: float,
        input: str | None = None,  # noqa: A002
        env: Mapping[str, str] | None = None,
        ok: Container[int] = (0,),
        cwd: str | None = None,
    ) -> Completed: ...


def run(
    argv: Sequence[str],
    *,
    timeout: float,
    input: str | None = None,  # noqa: A002
    env: Mapping[str, str] | None = None,
    ok: Container[int] = (0,),
    user: str | None = None,
    cwd: str | None = None,
) -> Completed:
    """Run ``argv`` in a session of its own and return what it said.

    ``env`` is added to this process's environment; the locale is C.UTF-8. ``user`` runs it as that user with all of
    the user's groups. After ``timeout`` seconds the whole group gets TERM, then KILL; a child that not even KILL ends
    is left behind. A background process that the command leaves in its group is not waited for. Raises NotInstalled,
    NotPermitted or Failed.
    """
    _reap()
    words = tuple(argv)
    with ExitStack() as stack:
        files = [stack.enter_context(_memory(name)) for name in ("stdin", "stdout", "stderr")]
        stdin, stdout, stderr = files
        stdin.write((input or "").encode())
        stdin.seek(0)
        process = _spawn(words, files, environment(env), _identity(user), cwd)
        finished = _wait(process, timeout)
        said, complaint = _text(stdout), _text(stderr)
    if not finished:
        raise Failed(_report(words, f"no end after {timeout:g} s", complaint), _hint(words))
    if process.returncode not in ok:
        raise Failed(_report(words, _ending(process.returncode), complaint or said), _hint(words))
    return Completed(words, process.returncode, said, complaint)


def listen(argv: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start a command that goes on, in a session of its own, for its stdout, a pipe. Raises as :func:`run` does."""
    words = tuple(argv)
    try:
        return subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment(),
            start_new_session=True,
        )
    except OSError as error:
        raise _cannot_start(words, error, None) from error


def dismiss(process: subprocess.Popen[bytes]) -> None:
    """End what :func:`listen` has started. It may be held in the kernel: nobody waits for that."""
    process.kill()
    threading.Thread(target=process.wait, name="dismissed", daemon=True).start()


def _memory(name: str) -> IO[bytes]:
    """A file in memory. Unlike a pipe it has no end to wait for when a grandchild keeps it open."""
    return os.fdopen(os.memfd_create(name), "w+b")


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """What every command gets: this process's own, in English, with the folders of the administrator's programs.

    Not what systemd has given to the agent alone: systemctl would talk to its socket.
    """
    ours = {name: value for name, value in os.environ.items() if name not in OURS_ALONE}
    result = {**ours, **(extra or {}), "LC_ALL": "C.UTF-8"}
    path = result.get("PATH", "/usr/bin:/bin").split(":")
    result["PATH"] = ":".join(path + [folder for folder in SBIN if folder not in path])
    return result


def _identity(user: str | None) -> pwd.struct_passwd | None:
    """The account to change to, None where this process already is that user."""
    if user is None:
        return None
    try:
        account = pwd.getpwnam(user)
    except KeyError:
        raise Failed(f"cannot run a command as {user}: there is no such user") from None
    return None if account.pw_uid == os.geteuid() else account


def _spawn(
    argv: tuple[str, ...],
    files: Sequence[IO[bytes]],
    env: Mapping[str, str],
    account: pwd.struct_passwd | None,
    cwd: str | None,
) -> subprocess.Popen[bytes]:
    groups: Iterable[int] | None = None
    if account is not None:
        groups = os.getgrouplist(account.pw_name, account.pw_gid)
    try:
        return subprocess.Popen(
            argv,
            stdin=files[0],
            stdout=files[1],
            stderr=files[2],
            env=env,
            cwd=cwd,
            start_new_session=True,
            user=account.pw_uid if account else None,
            group=account.pw_gid if account else None,
            extra_groups=groups,
        )
    except OSError as error:
        raise _cannot_start(argv, error, cwd) from error


def _cannot_start(argv: tuple[str, ...], error: OSError, cwd: str | None) -> EscadmError:
    name = Path(argv[0]).name
    if isinstance(error, FileNotFoundError) and cwd is not None and not Path(cwd).is_dir():
        return Failed(f"cannot run {name}: there is no directory {cwd}")
    if isinstance(error, FileNotFoundError):
        package = PACKAGES.get(name)
        return NotInstalled(f"{argv[0]} is not installed", f"install it: apt-get install {package}" if package else "")
    if isinstance(error, PermissionError):
        return NotPermitted(f"cannot run {argv[0]}: {error.strerror}", "run it as root")
    return Failed(f"cannot run {argv[0]}: {error.strerror}", _hint(argv))


def _wait(process: subprocess.Popen[bytes], timeout: float) -> bool:
    """Whether the leader ended in time. Otherwise its group has been killed when this returns."""
    pidfd = os.pidfd_open(process.pid)
    try:
        if _ended(pidfd, timeout):
            process.wait()
            return True
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, number)
            # The leader is not reaped between the two signals: its pid, and so the group's, cannot be somebody else's.
            gone = _ended(pidfd, GRACE)
        if gone:
            process.wait()
        else:
            _unkillable.append(process)
        return False
    finally:
        os.close(pidfd)


def _reap() -> None:
    for process in tuple(_unkillable):
        if process.poll() is not None:
            with suppress(ValueError):  # another thread was faster
                _unkillable.remove(process)


def _ended(pidfd: int, timeout: float) -> bool:
    poller = select.poll()
    poller.register(pidfd, select.POLLIN)
    return bool(poller.poll(max(0.0, timeout) * 1000))


def _ending(code: int) -> str:
    return f"exited with code {code}" if code >= 0 else f"ended by {signal.Signals(-code).name}"


def _report(argv: tuple[str, ...], ending: str, output: str) -> str:
    tail = [line for line in masked(output).splitlines() if line.strip()][-LAST_LINES:]
    return f"{Path(argv[0]).name}: {ending}" + (": " + "\n  ".join(tail) if tail else "")


def _hint(argv: tuple[str, ...]) -> str:
    return f"the command was: {masked(shlex.join(argv))}"
