"""What a configuration is held against, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from escadm.core.specs import Address


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What a configuration is held against: the machine's interfaces, by name, with their addresses.

    ``strict`` False (a tree below ``--root``) turns what does not fit this machine from an error to a warning.
    ``drbd_major``: 8 or 9, the kernel's DRBD. ``enabled``: what systemd starts with the machine, each with the unit to
    disable against that. ``masked``: units that systemd must not start.
    """

    interfaces: Mapping[str, tuple[Address, ...]]
    strict: bool = True
    drbd_major: int = 9
    enabled: Mapping[str, str] = field(default_factory=dict)
    masked: frozenset[str] = frozenset()

    @property
    def addresses(self) -> frozenset[Address]:
        return frozenset(address for each in self.interfaces.values() for address in each)


@dataclass(frozen=True, slots=True, order=True)
class Where:
    """A place in a file, lines and columns from 1; line 0 = the file as a whole."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding: ``FILE:LINE:COLUMN: PATH: what is wrong: what to do``.

    ``of_machine``: the file is sound, it is this machine that does not have, or not yet, what the file names.
    """

    where: Where
    path: str
    message: str
    hint: str = ""
    warning: bool = False
    of_machine: bool = field(default=False, compare=False)

    def __str__(self) -> str:
        parts = [str(self.where), "warning" if self.warning else "", self.path, self.message, self.hint]
        return ": ".join(part for part in parts if part)
