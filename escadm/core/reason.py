"""Why something is as it is: a code that programs may go by, and a sentence for people."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reason:
    """``code`` is stable and is what is compared; ``subject`` is what it is about: an address, an interface, a unit."""

    code: str
    subject: str
    sentence: str
