"""Runs all measurements and prints them as plain tables. Asserts nothing about times."""

from __future__ import annotations

import argparse

from tests.benchmarks import failover, status


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests/bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    quick = parser.parse_args().quick
    failover.run(repetitions=2 if quick else 5)
    print()
    status.run(repetitions=5 if quick else 20)


if __name__ == "__main__":
    main()
