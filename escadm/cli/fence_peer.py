"""``escadm-fence-peer``: what DRBD runs when it has lost its peer and has to know whether to go on (drbd.conf(5)).

The agent knows. DRBD's writes wait for the answer, so this loads next to nothing, and an agent that is just being
replaced is asked again.
"""

from __future__ import annotations

import sys
import time
from typing import NoReturn

from escadm.errors import EscadmError
from escadm.paths import Paths
from escadm.system.control import ask

EXIT_CODES = {"peer outdated": 4, "peer dead": 5, "peer active": 6}
"""The agent's answers (core.fencing.Answer) -> what DRBD wants to hear."""

NO_ANSWER = 1
"""None of DRBD's own codes: writes go on waiting, a promotion is refused."""

RETURNS_WITHIN = 30.0
PAUSE = 0.2


def main() -> NoReturn:
    """Ask the agent, and exit with DRBD's code for its answer."""
    paths, end = Paths.from_environment(), time.monotonic() + RETURNS_WITHIN
    while True:
        try:
            *_, last = ask(paths, {"do": "fence-peer"})
        except EscadmError as error:
            if time.monotonic() > end:
                print(f"escadm-fence-peer: {error.message}", file=sys.stderr)
                sys.exit(NO_ANSWER)
        else:
            sys.exit(EXIT_CODES.get(str(last["message"]), NO_ANSWER))
        time.sleep(PAUSE)
