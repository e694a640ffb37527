"""What administrators ask of this node: the verbs change it, each decision goes by it."""

from __future__ import annotations

from escadm.agent.outputs.memory import Memory
from escadm.core.situation import Wish


class Wishes:
    """``active``: whether anything should run. ``down``: units that were stopped by hand; ``up``: those that were
    started by hand though they are off at startup. ``switchover``: why the role is given up on purpose, empty if not.
    ``ending``: the agent stops all and ends.
    """

    def __init__(self, memory: Memory) -> None:
        self.active = memory.active
        self.down, self.up = frozenset(memory.down), frozenset(memory.up)
        self.switchover = ""
        self.ending = False
        self._active_before = self.active

    def end(self) -> None:
        """Everything is to go down for the agent's end, whatever else is asked for meanwhile."""
        self._active_before = self.active
        self.ending, self.active = True, False

    @property
    def now(self) -> Wish:
        """What a decision goes by."""
        return Wish(self.active, self.down, self.up, self.switchover)

    @property
    def lasting(self) -> Wish:
        """What the next agent goes by: an end that was asked for is this one's alone, and so is a switchover."""
        return Wish(self._active_before if self.ending else self.active, self.down, self.up)
