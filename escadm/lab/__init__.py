"""Two nodes on one machine, out of namespaces, with the real keepalived in each."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from escadm.lab.lab import Lab

__all__ = ["Lab"]


def __getattr__(name: str) -> object:
    """``escadm.lab.Lab``, loaded when it is asked for: each PID 1 and stand-in of a lab imports this package too."""
    if name == "Lab":
        from escadm.lab.lab import Lab  # noqa: PLC0415

        return Lab
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
