"""The role flips dozens of times, several times a second: what counts is the last word, and nothing ever overlaps."""

from __future__ import annotations

import re
import time
from functools import partial

from escadm.lab import Lab
from escadm.lab.node import Node
from tests.lab.conftest import NewLab
from tests.lab.pair import PATIENCE, events, resource, wait_healthy, wait_resource, wait_text

CONFIG = """\
resources:
  quick:
    command: [sleep, "1000"]
    depend_on: filesystem
  slow:
    command: [sh, -c, "trap 'sleep 0.3; exit' TERM; while :; do sleep 0.05; done"]
    depend_on: quick
"""
CHANGE = re.compile(r"role change (\d+): \S+ -> (\S+) (began|ended|overtaken)")
STEP = re.compile(r"(quick|slow): (\w+)")


def flip(node: Node, states: list[str], pause: float = 0.0) -> None:
    """Write the states to keepalived's FIFO with pauses between them, or without any all at once: the agent cannot tell
    them from keepalived's."""
    script = "import sys, time\nwords = [f'INSTANCE \"ESC\" {state} 250\\n' for state in sys.argv[2:]]\n"
    script += "pause = float(sys.argv[1])\nfor text in words if pause else [''.join(words)]:\n"
    script += " open('/run/escadm/vrrp.fifo', 'w').write(text)\n time.sleep(pause)\n"
    node.exec(["python3", "-c", script, str(pause), *states])


def has_role(node: Node, role: str) -> bool:
    return node.role == role


def check_log(node: Node) -> int:
    """No two changes of role overlap, and no unit starts before its last stop has ended; the number of changes."""
    under_way = None
    count = 0
    for line in events(node, "role change"):
        match = CHANGE.match(line)
        assert match, line
        number, _, what = match.groups()
        if what == "began":
            assert under_way is None, f"{line} while {under_way} is under way"
            under_way = number
            count += 1
        else:
            assert under_way == number, line
            under_way = None
    states = {"quick": "stopped", "slow": "stopped"}
    for line in events(node, "quick: ", "slow: "):
        match = STEP.match(line)
        assert match, line
        name, state = match.groups()
        if state == "starting":
            assert states[name] == "stopped", line
        if name == "quick" and state == "stopping":
            assert states["slow"] == "stopped", f"{line} while slow is {states['slow']}"
        states[name] = state
    return count


def test_fifty_flips_end_as_the_last_one_says(new_lab: NewLab) -> None:
    lab = new_lab(config=CONFIG, advert=2.0)  # words that are not true must stand for a while
    primary, _ = wait_healthy(lab)
    for last in ("BACKUP", "MASTER"):
        first = "MASTER" if last == "BACKUP" else "BACKUP"
        flip(primary, [first, last] * 25, 0.1)
        lab.wait_for(partial(has_role, primary, last), PATIENCE, f"the last word, {last}")
        wait_resource(lab, primary, "slow", "running" if last == "MASTER" else "stopped")
        wait_resource(lab, primary, "quick", "running" if last == "MASTER" else "stopped")
    assert check_log(primary) >= 20  # on a busy machine some are over before they are noticed


def test_a_burst_of_doubled_and_reversed_words(new_lab: NewLab) -> None:
    lab = new_lab(config=CONFIG)
    primary, _ = wait_healthy(lab)
    before = resource(primary, "slow")["pgid"]
    flip(primary, ["BACKUP", "MASTER", "MASTER", "BACKUP", "BACKUP", "MASTER"])
    flip(primary, ["MASTER"], 0.3)
    assert resource(primary, "slow")["pgid"] == before  # over before it had settled: nobody noticed
    assert primary.role == "MASTER"


def test_a_flapping_link_with_the_real_keepalived(new_lab: NewLab) -> None:
    lab: Lab = new_lab(config=CONFIG, advert=0.05)
    primary, standby = wait_healthy(lab)
    lab.fault("power-cut", standby.name)
    wait_text(lab, primary, lambda text: "is not connected" in text, "alone")
    end = time.monotonic() + 4 * PATIENCE
    while len(events(primary, "keepalived says")) < 30 or check_log(primary) < 10:
        assert time.monotonic() < end, primary.read("/var/log/esc/escadm.log")
        for _ in range(10):
            for kind in ("link-down", "link-up"):
                lab.fault(kind, primary.name)
    lab.wait_for(lambda: primary.role == "MASTER", PATIENCE, "primary in the end")
    wait_resource(lab, primary, "slow", "running")
    lab.fault("power-on", standby.name)
    wait_healthy(lab)  # whichever is which: on a busy machine adverts of 50 ms are late now and then
    check_log(primary)
