"""What the world sees: the snapshot in /run/escadm/status.json, and the role in keepalived_state."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress

from escadm.core.evidence import Replication
from escadm.core.health import Facts, describe_unit, is_of_concern, volume
from escadm.core.snapshot import encode
from escadm.core.types import Health, Kind, ResourceStatus, Role, RoleChange, Snapshot, Verdict
from escadm.errors import EscadmError
from escadm.paths import Paths
from escadm.system.alive import identity
from escadm.system.files import write_atomically

HIDDEN = (Kind.CONDITION, Kind.PROMOTION)


def picture(
    facts: Facts,
    verdict: Verdict,
    *,
    pgids: Mapping[str, int],
    since: Mapping[str, str],
    role_since: str | None,
    history: tuple[RoleChange, ...],
) -> Snapshot:
    """The snapshot of this moment; resources that nobody mentions and that are not installed are left out."""
    resources = []
    for name, unit in facts.plan.units.items():
        if unit.kind in HIDDEN or (name in facts.intent.absent and not is_of_concern(facts, unit)):
            continue
        state, detail = describe_unit(facts, unit)
        restarts = facts.life(name).restarts
        resources.append(ResourceStatus(name, state, pgids.get(name, 0), since.get(name), detail, restarts))
    return Snapshot(
        verdict,
        role=facts.role,
        role_since=role_since,
        resources=tuple(resources),
        history=history,
        replication=_replication(facts),
    )


def _replication(facts: Facts) -> Replication | None:
    replica = volume(facts)
    return Replication(replica, facts.peer.replica if facts.peer else None) if replica else None


def publish(snapshot: Snapshot, paths: Paths) -> None:
    """Let everybody read it."""
    try:
        write_atomically(paths.status, json.dumps(encode(snapshot) | identity(), indent=1) + "\n", 0o644)
    except (EscadmError, OSError):
        with suppress(OSError):
            paths.status.unlink()  # no word is better than one that is no longer true
        raise


def publish_end(paths: Paths, history: tuple[RoleChange, ...]) -> None:
    """The last word of an agent that ends in good order."""
    verdict = Verdict(2, Health.UNHEALTHY, "ESC Stopped", ("the agent has been stopped",))
    publish(Snapshot(verdict, history=history), paths)


def publish_role(role: Role, paths: Paths) -> None:
    """One word and a newline in keepalived_state, for scripts."""
    write_atomically(paths.role, f"{role.value}\n", 0o644)
