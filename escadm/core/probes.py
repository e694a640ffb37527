"""How a unit is known to be up, and still well. Durations are seconds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Alive:
    """Up when the process has lived for ``seconds``."""

    seconds: float = 0.1


@dataclass(frozen=True, slots=True)
class Tcp:
    """Up when a TCP connection to ``host``:``port`` is accepted."""

    port: int
    host: str = "127.0.0.1"
    timeout: float = 2.0


@dataclass(frozen=True, slots=True)
class Http:
    """Up when a GET of ``url`` is answered with a status below 400."""

    url: str
    timeout: float = 2.0


@dataclass(frozen=True, slots=True)
class Exec:
    """Up when ``argv`` (run as the service's user, in its environment) exits with 0."""

    argv: tuple[str, ...]
    timeout: float = 10.0


@dataclass(frozen=True, slots=True)
class Notify:
    """Up when the service sends ``READY=1`` to ``NOTIFY_SOCKET`` (sd_notify(3))."""


ALIVE = Alive()
"""For a unit of which nothing else is said."""
Probe = Alive | Tcp | Http | Exec | Notify


@dataclass(frozen=True, slots=True)
class Check:
    """A probe that is repeated while the unit runs: ``failures`` bad answers in a row = the unit failed."""

    probe: Tcp | Http | Exec
    interval: float = 5.0
    failures: int = 3
