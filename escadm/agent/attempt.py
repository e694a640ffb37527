"""Work that may fail without taking anything else along: told once, tried again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from escadm.errors import EscadmError
from escadm.log import get

RETRY = 1.0

log = get(__name__)


class Attempts:
    """Runs work by name. An error is told when it is new, and ``again`` is called a second later, until all is well."""

    def __init__(self, again: Callable[[], None]) -> None:
        self._again = again
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._troubles: dict[str, tuple[str, str]] = {}

    def make(self, what: str, work: Callable[[], object]) -> bool:
        """Do ``work``; whether it came to its end."""
        try:
            work()
        except Exception as error:
            self._tell(what, error)
            if self._timer is None:
                self._timer = self._loop.call_later(RETRY, self._time_is_up)
            return False
        if self._troubles.pop(what, None) is not None:
            log.info("%s: well again", what)
        return True

    def troubles(self, *names: str) -> tuple[str, ...]:
        """What the work of these names met last, a sentence each; nothing of what is well."""
        return tuple(self._troubles[name][1] for name in names if name in self._troubles)

    def _tell(self, what: str, error: Exception) -> None:
        told = (repr(error), error.message if isinstance(error, EscadmError) else str(error))
        if self._troubles.get(what) == told:
            return
        self._troubles[what] = told
        if isinstance(error, EscadmError):
            log.error("%s: %s", what, error.message)
        else:
            log.error("%s: a defect of ours", what, exc_info=error)

    def _time_is_up(self) -> None:
        self._timer = None
        self._again()
