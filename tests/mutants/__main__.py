"""``python -m tests.mutants FILE... [--tests PATH...]``: make each small mistake in the files, see which test fails.

Prints each mutant that survives. The exit code is 1 where tests/mutants/known.py does not list it, or lists one that a
test kills.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import pytest

from tests.mutants.known import KNOWN
from tests.mutants.mutate import mutants
from tests.mutants.trial import NOBODY, OPTIONS, Court

ROOT = Path(__file__).parents[2]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--tests", nargs="+", default=["tests/unit/core"])
    parser.add_argument("--all", action="store_true", help="print those that are killed as well, each with its test")
    arguments = parser.parse_args()
    os.chdir(ROOT)
    files = [file.resolve() for file in arguments.files]
    out, news = os.fdopen(os.dup(1), "w", buffering=1), list[str]()

    def judge(court: Court) -> None:
        for file in files:
            news.extend(judged(court, file, out, tells_all=arguments.all))

    court = Court([str(file) for file in files], judge)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    if ended := pytest.main([*OPTIONS, *arguments.tests], plugins=[court]):
        news.append(f"pytest ends with {ended} without a mutant: {court.failed}")
    out.writelines(f"NEW: {each}\n" for each in news)
    return 1 if news else 0


def judged(court: Court, file: Path, out: TextIO, *, tells_all: bool) -> Iterator[str]:
    """What is new of the mutants of a file; all that is found is printed."""
    name, killed, survived, began = str(file.relative_to(ROOT)), 0, set[tuple[str, str]](), seconds()
    known = {(function, said): why for function, each in KNOWN.get(name, {}).items() for said, why in each.items()}
    for mutant in mutants(file.read_text(), str(file)):
        killer, key = court.try_out(str(file), mutant), (mutant.function, mutant.said)
        where = f"{name}:{mutant.line}: {mutant.function or 'module'}: {mutant.said}"
        if killer != NOBODY:
            killed += 1
        else:
            survived.add(key)
            out.write(f"survives: {where}{f': {known[key]}' if key in known else ''}\n")
            if key not in known:
                yield where
        if killer != NOBODY and tells_all:
            out.write(f"killed:   {where}: {killer}\n")
    yield from (f"is killed: {name}: {key[0]}: {key[1]}" for key in known.keys() - survived)
    total = killed + len(survived)
    out.write(f"{name}: {total} mutants, {killed} killed ({killed / total:.1%}), {seconds() - began:.0f} s of CPU\n")


def seconds() -> float:
    """CPU that this process and its children have taken."""
    times = os.times()
    return time.process_time() + times.children_user + times.children_system


if __name__ == "__main__":
    sys.exit(main())
