"""``ha unset``: back to a standalone node."""

from __future__ import annotations

from escadm.actions.ha_change import HA_KEYS, HaSetResult, change
from escadm.config.load import text_if_any
from escadm.core.problem import HostFacts
from escadm.paths import Paths


def ha_unset(paths: Paths, facts: HostFacts, dry_run: bool = False) -> HaSetResult:
    """Remove from the configuration what ``ha set`` writes. A node that is standalone already stays as it is."""
    if text_if_any(paths.config) is None:
        return HaSetResult((), "", False, ())
    return change(paths, facts, dict.fromkeys(HA_KEYS), dry_run)
