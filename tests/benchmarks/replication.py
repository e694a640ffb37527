"""Failover with replication by power cut of one of two machines: escadm, and Pacemaker beside it."""

from __future__ import annotations

import itertools
import queue
import random
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from escadm.errors import Failed
from tests.benchmarks import pacemaker, timeline
from tests.benchmarks.table import print_table, spread
from tests.vm.build import say
from tests.vm.machine import Machine
from tests.vm.pair import Pair
from tests.vm.replicated import Writer, make_crossed_pair, wait_healthy

ROWS = 20
"""Rows that are acknowledged before the cut, and looked for after it."""
EVERY = 0.1
LIMIT = 180.0
PHASES = {
    "noticed": "the dead peer is noticed",
    "VIP": "VIP: on the other machine",
    "promoted": "DRBD: Primary",
    "mounted": "file system: mounted",
    "PostgreSQL": "PostgreSQL: recovered, ready",
    "services": "services: all are known to run",
    "commit": "client: first commit through the VIP",
    "takeover": "from noticing to the first commit",
}
WORK = {"processor": "processor busy until then", "processes": "processes started until then"}

Figures = dict[str, list[float]]


@dataclass(frozen=True)
class Side:
    """Who runs the pair: how it is made, once; who is primary and standby when all is well; what it says itself."""

    name: str
    make: Callable[[Pair], None]
    wait: Callable[[Pair], tuple[Machine, Machine]]
    events: dict[str, timeline.Event]


SIDES = (
    Side(
        "escadm",
        make_crossed_pair,
        wait_healthy,
        {
            "noticed": ("Keepalived_vrrp", r"Entering MASTER STATE"),
            "services": ("escadm", r"role change \d+: \w+ -> MASTER ended"),
        },
    ),
    Side("Pacemaker", pacemaker.make_cluster, pacemaker.wait_settled, pacemaker.EVENTS),
)


def run(repetitions: int) -> None:
    """Measure and print."""
    columns: list[Figures] = [defaultdict(list) for _ in SIDES]
    for number in range(repetitions):
        for side, figures in zip(SIDES, columns, strict=True):  # in turns: this machine's other work meets both
            for name, value in takeover(side).items():
                figures[name].append(value)
            say(f"{side.name}, {number + 1} of {repetitions}: {figures['commit'][-1]:.1f} s to the first commit")
    print(f"failover with replication by power cut, seconds from the cut: median of {repetitions} (least-most)")
    rows = [["", *(side.name for side in SIDES)]]
    rows += [[text, *(spread(figures[name]) for figures in columns)] for name, text in PHASES.items()]
    rows += [[text, *(spread(figures[name], digits=0) for figures in columns)] for name, text in WORK.items()]
    print_table(rows)
    print(
        "Two machines of User-Mode Linux, one processor each, on one host: user code runs at its native speed, system"
    )
    print("calls take several times what they would. Adverts every 1 s; corosync's default token of 3 s.")


def takeover(side: Side) -> dict[str, float]:
    """One power cut, of a pair that has been booted from the same disks: what it took."""
    with Pair(ready=side.make, extras=("pacemaker",)) as pair:
        primary, standby = side.wait(pair)
        writer = Writer(pair)
        for statement in ("alter system set log_destination = 'syslog'", "select pg_reload_conf()"):
            pair.wait_for(partial(does, writer, statement), 30, "PostgreSQL")
        write(pair, writer)
        timeline.watch_addresses(standby)
        clock, before = timeline.Clock(standby), timeline.work(standby)
        time.sleep(random.uniform(0, 1))  # noqa: S311 - the cut comes at any moment between two adverts
        cut = time.monotonic()
        primary.power_cut()
        commit = first_commit(writer, cut)
        after = timeline.work(standby)
        events = {**timeline.EVENTS, **side.events}
        found = pair.wait_for(
            lambda: timeline.phases(standby, clock.there(cut), events), 60, f"all of {', '.join(events)} in the journal"
        )
        writer.check()
    work = {name: after[name] - before[name] for name in WORK}
    return {**found, **work, "commit": commit, "takeover": commit - found["noticed"]}


def does(writer: Writer, statement: str) -> bool:
    """Whether PostgreSQL has done so."""
    return writer.sql(statement) is not None


def write(pair: Pair, writer: Writer) -> None:
    """Acknowledged rows."""
    for number in range(ROWS):
        pair.wait_for(partial(writer.insert, number), 30, "a commit")


def first_commit(writer: Writer, cut: float) -> float:
    """Seconds until a row is acknowledged again. An attempt begins every so often; none waits for another."""
    done: queue.SimpleQueue[float] = queue.SimpleQueue()

    def attempt(number: int) -> None:
        if writer.insert(number):
            done.put(time.monotonic())

    with ThreadPoolExecutor(max_workers=32) as pool:
        for number in itertools.count(ROWS):
            pool.submit(attempt, number)
            try:
                return done.get(timeout=EVERY) - cut
            except queue.Empty:
                if time.monotonic() > cut + LIMIT:
                    raise Failed(f"no commit in {LIMIT:g} s after the power cut\n{writer.pair.logs()}") from None
    raise AssertionError
