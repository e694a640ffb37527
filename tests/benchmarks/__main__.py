"""Runs all measurements, or those that are named, and prints them as plain tables. Asserts nothing about times."""

from __future__ import annotations

import argparse
import sys

from escadm.errors import EscadmError
from tests.benchmarks import failover, many, replication, status

PARTS = {
    "failover": (failover.run, 5, 2),
    "replication": (replication.run, 3, 1),
    "status": (status.run, 20, 5),
    "many": (many.run, 3, 1),
}
"""What measures, how often, and how often with --quick."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests/bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    parser.add_argument("part", nargs="*", help=f"{', '.join(PARTS)}; all without any")
    arguments = parser.parse_args()
    if unknown := [part for part in arguments.part if part not in PARTS]:
        parser.error(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    for number, part in enumerate(arguments.part or PARTS):
        if number:
            print()
        measure, thorough, quick = PARTS[part]
        try:
            measure(repetitions=quick if arguments.quick else thorough)
        except EscadmError as error:
            sys.exit(f"tests/bench: {error}")


if __name__ == "__main__":
    main()
