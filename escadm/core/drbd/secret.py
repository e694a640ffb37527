"""The secret that follows from the keys of both nodes, by which their DRBDs prove to each other who they are.

Only fingerprints of it here: by them two nodes see that they have the same one, and they say nothing about it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import blake2b

from escadm.core.specs import Secret

BYTES = 16
PERSON = b"escadm secret 1"


@dataclass(frozen=True, slots=True)
class PairSecret:
    """A node's part in it, in fingerprints, each empty where there is none.

    ``own``: of the one that follows from its own key and the peer's. ``written``: of the one in esc.res. ``used``: of
    the one that its DRBD goes by, None while the volume is down or nobody has looked.
    """

    own: str = ""
    written: str = ""
    used: str | None = None


def fingerprint(secret: Secret | None) -> str:
    """Of a secret; empty where there is none."""
    return blake2b(secret.reveal().encode(), digest_size=BYTES, person=PERSON).hexdigest() if secret else ""


def encode(secret: PairSecret) -> dict[str, object]:
    """Ready for ``json.dumps``."""
    return asdict(secret)


def decode(data: object) -> PairSecret | None:
    """What came from the network; None where that is nothing of the kind, as from a version that knows of no secret."""
    if not isinstance(data, Mapping):
        return None
    used = data.get("used")
    return PairSecret(_text(data.get("own")), _text(data.get("written")), None if used is None else _text(used))


def _text(value: object) -> str:
    return value[: 2 * BYTES] if isinstance(value, str) else ""
