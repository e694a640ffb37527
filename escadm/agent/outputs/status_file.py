"""What the world sees: the snapshot in /run/escadm/status.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress

from escadm.core.drbd.evidence import Replication
from escadm.core.health import Facts, describe_unit, missed, volume
from escadm.core.reason import Reason
from escadm.core.snapshot import encode
from escadm.core.status import Health, ResourceStatus, RoleChange, Snapshot, Verdict
from escadm.paths import Paths
from escadm.system.alive import identity
from escadm.system.files import OwnFile


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
    unheeded = facts.intent.absent - missed(facts)
    for name, unit in facts.plan.units.items():
        if unit.kind.is_implied or name in unheeded:
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
        peer=facts.known,
        vrrp=facts.vrrp if facts.plan.is_pair else None,
        rule=facts.rule,
    )


def _replication(facts: Facts) -> Replication | None:
    replica = volume(facts)
    return Replication(replica, facts.peer.replica if facts.peer else None) if replica else None


def take_back(paths: Paths) -> bool:
    """Remove what was published: no word is better than one that is no longer true. Whether nothing can be read now."""
    with suppress(OSError):
        paths.status.unlink()
    return not paths.status.exists()


class Board:
    """The snapshot that everybody may read."""

    def __init__(self, paths: Paths) -> None:
        self._file = OwnFile(paths.status, 0o644)

    def publish(self, snapshot: Snapshot) -> None:
        """Let everybody read it."""
        self._file.put(snapshot, lambda: json.dumps(encode(snapshot) | identity()) + "\n")

    def end(self, history: tuple[RoleChange, ...]) -> None:
        """The last word of an agent that ends in good order."""
        verdict = Verdict(2, Health.UNHEALTHY, "ESC Stopped", (Reason("stopped", "", "the agent has been stopped"),))
        self.publish(Snapshot(verdict, history=history))
