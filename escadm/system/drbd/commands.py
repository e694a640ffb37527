"""DRBD's commands for the one resource: read its state, bring it up, promote, demote, take it down.

The same for DRBD 8.4 and 9: ``drbdadm`` and ``drbdsetup`` hand over to their 8.4 selves where the kernel's module is
that. Every call has a time limit, and its refusals are told in plain words.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from escadm.core.drbd.state import (
    NO_MODULE,
    Replica,
    explain_refusal,
    last_words,
    parse_events2,
    parse_generation,
)
from escadm.core.specs import Secret
from escadm.errors import EscadmError, Failed
from escadm.system.run import ANY_CODE, Completed, Run, listen, run

RESOURCE = "esc"
PROC = Path("/proc/drbd")
READ_LIMIT = 5.0
BESIDE = ("systemd-run", "--quiet", "--collect", "--wait", "--pipe", "--no-ask-password")
CHANGE_LIMIT = 20.0
PROCESSES = Path("/proc")
QUESTION_LIMIT = 5.0
DETACH_LIMIT = 5.0
POLL = 0.02
DISKLESS = "Diskless"
ASKERS = frozenset({b"drbd_async_h", b"escadm-fence-pe"})
"""The kernel's thread that asks what has become of the peer, and the handler that it asks; names end after 15 bytes."""
SHOWN_SECRET = re.compile(r'shared-secret\s+"?([^";\s]+)"?;')
NO_RESOURCE = (
    "unknown resource",
    "no such resource",
    "(158)",
    "resource not known",
    "minor not allocated",
    "no such device",
)
NO_META_DATA = ("No valid meta data", "No valid meta-data", "(119)")


class Refused(Failed):
    """DRBD said no. ``again``: it may say yes within seconds."""

    def __init__(self, message: str, *, again: bool) -> None:
        super().__init__(message)
        self.again = again


def read_replica(run: Run = run) -> Replica | None:
    """The volume as the kernel sees it now; None where it is not up. Failed where DRBD cannot be asked."""
    told = run(["drbdsetup", "events2", "--now", "--statistics", RESOURCE], timeout=READ_LIMIT, ok=ANY_CODE)
    if told.code != 0 and not _is_unknown(told):
        meaning = _meaning(told)
        hint = "load it, or learn why it cannot be, with: modprobe drbd" if meaning == NO_MODULE else ""
        raise Failed(f"cannot ask DRBD for the state of {RESOURCE}: {meaning}", hint)
    return parse_events2(told.stdout)


def read_generation(run: Run = run) -> str:
    """The data's current generation; empty where DRBD does not tell it."""
    told = run(["drbdadm", "get-gi", RESOURCE], timeout=READ_LIMIT, ok=ANY_CODE)
    return parse_generation(told.stdout)


def read_kernel_log(run: Run = run) -> str:
    """What the kernel has written since the boot; NotPermitted or Failed where it is not for us to read.

    The agent and its services may not (CAP_SYSLOG); systemd has it read by a unit of its own.
    """
    try:
        return run(["dmesg"], timeout=READ_LIMIT).stdout
    except EscadmError:
        if os.geteuid() != 0:
            raise
        return run([*BESIDE, "dmesg"], timeout=READ_LIMIT).stdout


def open_events() -> subprocess.Popen[bytes]:
    """A process that writes a line to its stdout (a non-blocking pipe is up to the caller) with each change."""
    return listen(["drbdsetup", "events2", RESOURCE])


def bring_up(run: Run = run) -> None:
    """Attach the disk and begin to connect; never waits for the peer. Nothing happens where it is up already."""
    run(["modprobe", "drbd"], timeout=CHANGE_LIMIT, ok=ANY_CODE)
    told = run(["drbdadm", "adjust", RESOURCE], timeout=CHANGE_LIMIT, ok=ANY_CODE)
    if told.code != 0:
        raise Failed(f"cannot bring the volume up: {_why_not_up(told)}")
    allow_syncs(run)


def allow_syncs(run: Run = run) -> None:
    """Syncs may begin: a first installation may have left them held up (escadm.system.drbd.installation.mark_blank)."""
    run(["drbdadm", "resume-sync", RESOURCE], timeout=CHANGE_LIMIT, ok=ANY_CODE)


def take_down(run: Run = run) -> None:
    """Disconnect and detach. Nothing happens where it is down already.

    Failed while DRBD waits for an answer about the peer: the kernel of 8.4 panics when that comes after the volume has
    gone. Only a Primary that loses its connection asks, so once this node is Secondary and disconnected no question is
    new.
    """
    what = "take the volume down"
    _change(run, what, "secondary", or_down=True)
    run(["drbdadm", "disconnect", RESOURCE], timeout=CHANGE_LIMIT, ok=ANY_CODE)
    end = time.monotonic() + QUESTION_LIMIT
    while is_asking():
        if time.monotonic() >= end:
            raise Failed(f"cannot {what}: DRBD waits for what it asked about a peer, of this volume or of another")
        time.sleep(POLL)
    _change(run, what, "down", or_down=True)


def is_asking() -> bool:
    """Whether the kernel waits for an answer of its ``fence-peer`` handler, or has not done with it."""
    for entry in PROCESSES.iterdir():
        with suppress(OSError):  # it may have ended meanwhile
            if entry.name.isdigit() and (entry / "comm").read_bytes().rstrip(b"\n") in ASKERS:
                return True
    return False


def promote(run: Run = run) -> None:
    """Become Primary, without force. Refused with the reason."""
    told = run(["drbdadm", "primary", RESOURCE], timeout=CHANGE_LIMIT, ok=ANY_CODE)
    if told.code != 0:
        meaning, again = explain_refusal(told.stdout + told.stderr)
        raise Refused(f"cannot become Primary: {meaning}", again=again)


def demote(run: Run = run) -> None:
    """Become Secondary; nothing happens where it is that, or down. Failed while something holds the device."""
    _change(run, "become Secondary", "secondary", or_down=True)


def outdate(run: Run = run) -> None:
    """Declare this node's data outdated: the peer has, or will have, newer data. Refused while connected."""
    _change(run, "declare the data outdated", "outdate")


def abandon(run: Run = run) -> None:
    """Let the writes that wait for the peer fail: whoever wrote them gets an error, and the device can be freed.

    The disk is let go first, so that none of them reaches it, and comes back with the next :func:`bring_up`. It goes
    after the command has ended, and until it is gone DRBD 8.4 would give it a new generation of the data with
    ``resume-io``: a split brain, once the peer has one too.
    """
    what = "give up the writes that wait"
    replica = read_replica(run)
    if replica is None or replica.disk != DISKLESS:
        _change(run, what, "detach", "--force")
    end = time.monotonic() + DETACH_LIMIT
    while (replica := read_replica(run)) is not None and replica.disk != DISKLESS:
        if time.monotonic() >= end:
            raise Failed(f"cannot {what}: the disk is not let go yet ({replica.disk})")
        time.sleep(POLL)
    _change(run, what, "resume-io")


def read_secret(run: Run = run) -> Secret | None:
    """The secret that the kernel asks the peer for; None where it asks for none, and where the volume is down."""
    told = run(["drbdsetup", "show", RESOURCE], timeout=READ_LIMIT, ok=ANY_CODE)
    if told.code != 0 and not _is_unknown(told):
        raise Failed(f"cannot ask DRBD how {RESOURCE} is set up: {_meaning(told)}")
    found = SHOWN_SECRET.search(told.stdout)
    return Secret(found[1]) if found else None


def apply_net_options(run: Run = run) -> None:
    """Have the kernel go by what esc.res says of the connection, a secret included. It stays connected.

    Of all that ``drbdadm adjust`` would do this is one step: it neither attaches nor connects anything.
    """
    what = "change the options of the connection"
    told = run(["drbdadm", "--dry-run", "adjust", RESOURCE], timeout=READ_LIMIT, ok=ANY_CODE)
    if told.code != 0:
        raise Failed(f"cannot {what}: {_meaning(told)}")
    for line in told.stdout.splitlines():
        _, _, rest = line.partition(" ")
        if not rest.startswith("net-options "):
            continue
        try:
            words = shlex.split(rest)
        except ValueError:
            raise Failed(f"cannot {what}: drbdsetup would get words with an open quote") from None
        done = run(["drbdsetup", *words], timeout=CHANGE_LIMIT, ok=ANY_CODE)
        if done.code != 0:
            raise Failed(f"cannot {what}: {_meaning(done)}")


def connect(run: Run = run) -> None:
    """Try to connect, where DRBD has stopped to. The data is compared as ever: a split brain stays one."""
    _change(run, "connect", "connect")


def connect_discarding(run: Run = run) -> None:
    """Connect, and let the peer's data replace what was changed here since the split. Only on somebody's word."""
    run(["drbdadm", "disconnect", RESOURCE], timeout=CHANGE_LIMIT, ok=ANY_CODE)
    _change(run, "connect", "connect", "--discard-my-data")


def _change(run: Run, what: str, *words: str, or_down: bool = False) -> None:
    """drbdadm's ``words``; Failed says that one cannot do ``what``. ``or_down``: a volume that is down is fine."""
    told = run(["drbdadm", *words, RESOURCE], timeout=CHANGE_LIMIT, ok=ANY_CODE)
    if told.code != 0 and not (or_down and _is_down(told)):
        raise Failed(f"cannot {what}: {_meaning(told)}")


def _is_unknown(told: Completed) -> bool:
    return any(words in told.stderr.lower() for words in NO_RESOURCE)


def _is_down(told: Completed) -> bool:
    """Without the kernel's module nothing can be up."""
    return _is_unknown(told) or _meaning(told) == NO_MODULE


def _meaning(told: Completed) -> str:
    """Without its module, drbdadm takes itself for that of DRBD 9, which does not know where 8.4 has its words."""
    text = told.stdout + told.stderr
    if "Parse error" in text and not PROC.exists():
        return NO_MODULE
    return explain_refusal(text)[0]


def _why_not_up(told: Completed) -> str:
    text = told.stdout + told.stderr
    if any(words in text for words in NO_META_DATA):
        return "the disk has no DRBD meta-data: a first installation begins with escadm drbd init"
    if re.search(r"^open\(.*No such file or directory", text, re.MULTILINE):
        return f"the disk is not there: {last_words(text)}"
    return _meaning(told)
