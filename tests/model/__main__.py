"""``python -m tests.model --states N [--setup NAME]``: search so many states of a pair; prints what was found.

The exit code is 1 where something was found that tests/model/known.py does not list.
"""

from __future__ import annotations

import argparse
import sys
import time

from tests.model.known import SETUPS, unknown
from tests.model.search import Found, Search
from tests.model.story import tell

EACH = 250_000


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.model", description=__doc__)
    parser.add_argument("--states", type=int, default=1_000_000)
    parser.add_argument("--setup", choices=SETUPS, default="full")
    arguments = parser.parse_args()
    search, began = Search(SETUPS[arguments.setup]), time.monotonic()
    while search.states < arguments.states and not search.is_complete:
        search.run(min(search.states + EACH, arguments.states))
        sys.stdout.write(f"{figures(search)}, {time.monotonic() - began:.0f} s by the clock\n")
        sys.stdout.flush()
    for found in [*search.broken.values(), *search.splits.values()]:
        sys.stdout.write(f"\n{story(found)}\n")
    new = unknown(search)
    sys.stdout.write("\n" + "".join(f"NOT KNOWN: {kind}\n" for kind in new))
    return 1 if new else 0


def figures(search: Search) -> str:
    """How far it has come."""
    all_of_it = ", that is all" if search.is_complete else ""
    return (
        f"{search.setup.name}: {search.states} states{all_of_it}, {search.rests} of them at rest, cost {search.cost}, "
        f"{search.agents.decided} situations decided, {search.seconds:.0f} s of CPU"
    )


def story(found: Found) -> str:
    """What was found and the first way there, in words."""
    lines = [f"{found.kind} ({found.count} ways in {found.setup.name})", *tell(found.setup, found.events)]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
