"""The words for what something is in: a node, keepalived, a unit."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """The role that a node has *reached*, in the words of ``keepalived_state``."""

    MASTER = "MASTER"
    BACKUP = "BACKUP"
    FAULT = "FAULT"
    STANDALONE = "STANDALONE"


class Vrrp(StrEnum):
    """The last word of keepalived about this node: a proposal, not a role that was reached."""

    UNKNOWN = "UNKNOWN"
    MASTER = "MASTER"
    BACKUP = "BACKUP"
    FAULT = "FAULT"
    STOP = "STOP"


class UnitState(StrEnum):
    """Where a unit stands in its life; see core/lifecycle.py for the table."""

    STOPPED = "stopped"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    KILLING = "killing"
    BACKOFF = "backoff"
    FAILED = "failed"
