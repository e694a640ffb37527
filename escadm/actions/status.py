"""What ``status`` tells: the snapshot that the agent published, if its word still counts."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

from escadm.core.reason import Reason
from escadm.core.snapshot import decode
from escadm.core.status import Health, ResourceStatus, Snapshot, Verdict
from escadm.paths import Paths
from escadm.system import alive

SILENCE = 5.0
STOPPED = "ESC Stopped"
UNKNOWN = "agent-silent"
_TIMELESS = ("disabled", "not installed")


@dataclass(frozen=True, slots=True)
class Signs:
    """What is known about the agent: who holds its lock, its last sign of life, and what it published."""

    holder: int | None = None
    stopped: bool = False
    beat_age: float | None = None
    snapshot: Snapshot | None = None
    author: int | None = None
    this_boot: bool = True
    unreadable: str = ""


def status(paths: Paths) -> Snapshot:
    """The truth about this node as far as it is known; severity 3 and the reason where it is not.

    Needs no rights but to read, and never fails.
    """
    return judge(_observe(paths))


def judge(signs: Signs) -> Snapshot:
    """The snapshot if it can be believed, and otherwise what is known of it under the verdict "unknown"."""
    reason = _doubt(signs)
    if not reason and signs.snapshot is not None:
        return signs.snapshot
    verdict = Verdict(3, Health.UNKNOWN, f"ESC Unknown: {reason}", (Reason(UNKNOWN, "", reason),))
    if signs.snapshot is None:
        return Snapshot(verdict)
    last_known = tuple(_last_known(resource) for resource in signs.snapshot.resources)
    return Snapshot(verdict, resources=last_known, history=signs.snapshot.history, mode=signs.snapshot.mode)


def _doubt(signs: Signs) -> str:
    """Why the snapshot is not the truth; empty when it is."""
    if signs.unreadable:
        return signs.unreadable
    if signs.holder is None:
        orderly = signs.snapshot is not None and signs.snapshot.verdict.text == STOPPED and signs.this_boot
        return "" if orderly else "the agent is not running"
    agent = f"the agent (pid {signs.holder})"
    if signs.stopped or (signs.beat_age is not None and signs.beat_age > SILENCE):
        last = "no sign of life yet" if signs.beat_age is None else f"last sign of life {signs.beat_age:.0f} s ago"
        return f"{agent} does not respond, {last}"
    if signs.snapshot is None or signs.beat_age is None or signs.author not in (None, signs.holder):
        return f"{agent} has not reported yet"
    return ""


def _last_known(resource: ResourceStatus) -> ResourceStatus:
    """The resource as somebody's who cannot know any more; what does not change by itself stays."""
    if resource.state in _TIMELESS:
        return resource
    group = f" (pgid {resource.pgid})" if resource.pgid else ""
    return ResourceStatus(resource.name, "unknown", detail=f"last known state: {resource.state}{group}")


def _observe(paths: Paths) -> Signs:
    try:
        holder = alive.holder(paths.lock)
        signs = Signs(
            holder=holder,
            stopped=holder is not None and alive.is_stopped(holder),
            beat_age=alive.beat_age(paths.beat),
        )
    except OSError as error:
        return Signs(unreadable=f"cannot read {error.filename}: {error.strerror}")
    try:
        document = json.loads(paths.status.read_bytes())
        snapshot = decode(document)
    except FileNotFoundError:
        return signs
    except OSError as error:
        return replace(signs, unreadable=f"cannot read {paths.status}: {error.strerror}")
    except (ValueError, RecursionError) as error:
        return replace(signs, unreadable=f"cannot make sense of {paths.status}: {error}")
    agent = document.get("agent")
    if not isinstance(agent, dict):
        return replace(signs, snapshot=snapshot)
    return replace(signs, snapshot=snapshot, author=agent.get("pid"), this_boot=agent.get("boot_id") == alive.boot_id())
