"""``escadm-fence-peer``: what DRBD runs when it has lost its peer and has to know whether to go on (drbd.conf(5)).

The agent knows. DRBD's writes wait for the answer, so this loads next to nothing, and an agent that is just being
replaced is asked again.
"""

from __future__ import annotations

import sys
import time
from typing import NoReturn

from escadm.errors import EscadmError, NotPermitted
from escadm.paths import Paths
from escadm.system.control import ask

EXIT_CODES = {"peer outdated": 4, "peer dead": 5, "peer active": 6}
"""The agent's answers (core.fencing.Answer) -> what DRBD wants to hear."""

NO_ANSWER = 1
"""None of DRBD's own codes: a promotion is refused. Writes would wait until the peer is back, whatever the agent learns
later, as DRBD asks once: while they wait, the question is not given up."""

RETURNS_WITHIN = 30.0
PAUSE = 0.2


def main() -> NoReturn:
    """Ask the agent, and exit with DRBD's code for its answer."""
    paths, end = Paths.from_environment(), time.monotonic() + RETURNS_WITHIN
    while True:
        try:
            *_, last = ask(paths, {"do": "fence-peer"})
            told, again = str(last["message"]), False
        except EscadmError as error:
            told, again = error.message, time.monotonic() < end and not isinstance(error, NotPermitted)
        if told in EXIT_CODES:
            sys.exit(EXIT_CODES[told])
        if not again and not _writes_wait():
            print(f"escadm-fence-peer: {told}", file=sys.stderr)
            sys.exit(NO_ANSWER)
        time.sleep(PAUSE)


def _writes_wait() -> bool:
    """Whether this node is a Primary whose writes wait for the answer, as far as DRBD can be asked."""
    from escadm.core.drbd.fencing import waits  # noqa: PLC0415 - most often there is an answer
    from escadm.system.drbd.commands import read_replica  # noqa: PLC0415

    try:
        replica = read_replica()
        return replica is not None and replica.is_primary and waits(replica)
    except EscadmError:
        return False
