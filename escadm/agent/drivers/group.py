"""A group as a unit: nothing of its own, reached as soon as all of its members are."""

from __future__ import annotations

from escadm.agent.drivers.driver import Driver
from escadm.core.lifecycle import Event
from escadm.core.plan import Unit


class Mark(Driver):
    """See Driver for the contract."""

    def start(self) -> None:
        self._post(Event.READY, "")

    def terminate(self) -> None:
        self._post(Event.GONE, "")

    kill = terminate

    @classmethod
    def is_ground(cls, unit: Unit) -> bool:
        return True
