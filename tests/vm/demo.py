"""The replicated pair on two machines, from the package to a power cut: python -m tests.vm.demo [--make] [RELEASE].

With ``--make`` it only makes what is made once.

Prints what is typed and what the machines answer. Ends with an error unless every row that a client was told to be
stored is there on the other machine after the primary has lost its power.
"""

from __future__ import annotations

import argparse
import sys
import time
from functools import partial

from escadm.errors import EscadmError, Failed
from tests.releases import BOOKWORM, TRIXIE
from tests.vm import build
from tests.vm.image import image
from tests.vm.machine import Machine
from tests.vm.packages import THIS, packages
from tests.vm.pair import VIP, Pair
from tests.vm.replicated import CONFIG, INITDB, PATH, Writer, wait_healthy
from tests.vm.uml import NoKernel

ROWS = 20
"""That are stored before the power goes."""


def say(*lines: str) -> None:
    print("", *(f"# {line}" for line in lines), sep="\n", flush=True)


def on(machine: Machine, line: str) -> None:
    """A command on a machine as it would be typed there, and its answer."""
    print(f"\n{machine.hostname}# {line}", flush=True)
    done = machine.exec(["/bin/sh", "-c", line], check=False, timeout=120)
    print(done.stdout + done.stderr, end="", flush=True)


def installed(pair: Pair) -> None:
    """The package on both, and what is prepared once: the configuration, the volume, an empty database."""
    for machine in pair.machines:
        machine.install()
        print(f"\n{machine.hostname}# dpkg --install {THIS}")
        machine.write(PATH, CONFIG)
        nodes = " ".join(each.address for each in pair.machines)
        on(machine, f"escadm ha set --kad_vip= {VIP} --kad_vif= eth0 --ha_node_list= {nodes}")
        on(machine, "escadm reload")
    for machine in pair.machines:
        on(machine, "escadm drbd init")
    on(pair.a, "escadm drbd init --primary")
    pair.a.sh(INITDB, timeout=120)
    for machine in pair.machines:
        on(machine, "escadm restart")


def stored(pair: Pair, client: Writer, number: int) -> None:
    """Wait until that many rows have been acknowledged."""
    pair.wait_for(lambda: len(client.acknowledged) >= number, 60, f"{number} rows")


def power_cut(pair: Pair, client: Writer) -> str:
    """The primary dies under a client that writes; what became of the rows, in a line. Failed if one is missing."""
    primary, standby = wait_healthy(pair)
    say(f"A client stores rows through the virtual address. Then {primary.hostname}, the primary, loses its power.")
    stored(pair, client, ROWS)
    primary.power_cut()
    cut = time.monotonic()
    seconds = pair.wait_for(partial(client.first_after, cut), 60, "a row on the other machine")
    stored(pair, client, len(client.acknowledged) + ROWS)
    client.end()
    told = {row.number for row in client.acknowledged}
    missing = told - client.rows()
    found = f"{len(told)} rows acknowledged, {len(told - missing)} of them there, {len(missing)} lost"
    say(f"{standby.hostname} acknowledges the next row {seconds:.1f} s after the power cut. {found}.")
    if missing:
        raise Failed(f"lost the rows {sorted(missing)}")
    on(standby, "escadm status -v")
    say("The old primary comes back, gets what it has missed, and is the standby.")
    primary.power_on()
    primary.escadm("start", check=False)
    wait_healthy(pair)
    for machine in pair.machines:
        on(machine, "escadm status")
    return f"{seconds:.1f} s from the power cut to the next commit, {found}"


def show(release: str) -> None:
    """The whole of it, with the time that it has taken."""
    begin = time.monotonic()
    say(
        f"Two machines with Debian {release}: a kernel of their own each, systemd, keepalived, DRBD, PostgreSQL.",
        "They get the package, and are told the manual's three lines. DRBD's disk is prepared before the third.",
    )
    with Pair(release) as pair:
        installed(pair)
        for machine in wait_healthy(pair):
            on(machine, "escadm status -v")
        client = Writer(pair)
        pair.wait_for(lambda: client.sql("create table rows (number int)") is not None, 30, "the table")
        client.start()
        result = power_cut(pair, client)
    say(f"That was replication, in {time.monotonic() - begin:.0f} s: {result}.")


def main() -> None:
    """Make what is needed, and show it."""
    parser = argparse.ArgumentParser(prog="python -m tests.vm.demo", description=__doc__)
    parser.add_argument("--make", action="store_true", help="make what is made once, and end")
    parser.add_argument("release", nargs="?", default=build.release(), choices=(BOOKWORM, TRIXIE))
    wanted = parser.parse_args()
    try:
        image(wanted.release)
        packages(wanted.release)
        if not wanted.make:
            show(wanted.release)
    except NoKernel as error:
        if not wanted.make:
            say("The second half, with replication, is left out here.", *str(error).splitlines())
    except EscadmError as error:
        sys.exit(f"demo: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
