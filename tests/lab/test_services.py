"""Services on a real pair: order, restarts, giving the role up, stopping what does not want to stop."""

from __future__ import annotations

import threading
from contextlib import suppress
from functools import partial

import psutil

from escadm.core.lifecycle import LONGEST_DELAY
from escadm.lab import Lab
from escadm.lab.node import Node
from tests.lab.conftest import NewLab
from tests.lab.pair import PATIENCE, events, resource, state_of, wait_healthy, wait_resource, wait_text

CHAIN = """\
resources:
  base:
    command: [sleep, "1000"]
    depend_on: filesystem
  middle:
    command: [sleep, "1000"]
    depend_on: base
  top:
    command: [sleep, "1000"]
    depend_on: middle
  beside:
    command: [sleep, "1000"]
    depend_on: filesystem
"""

FRAGILE = """\
resources:
  fragile:
    command: [sh, -c, "test ! -e /opt/cisco/broken || exit 3; exec sleep 1000"]
    depend_on: filesystem
  other:
    command: [sleep, "1000"]
    depend_on: filesystem
"""

STUBBORN = """\
resources:
  stubborn:
    command:
    - sh
    - -c
    - |
      trap '' TERM
      stay() { while :; do sleep 1; done; }
      setsid sh -c "trap '' TERM; while :; do sleep 1; done" &
      stay &
      stay
    stop_timeout: 1
    depend_on: filesystem
"""

SLOW = """\
resources:
  slow:
    command: [sleep, "1000"]
    ready: {exec: [test, -e, /opt/cisco/go]}
    depend_on: filesystem
  after:
    command: [sleep, "1000"]
    depend_on: slow
"""


def marked(node: Node, name: str) -> list[int]:
    """Pids on the node of everything that carries the service's mark."""
    found = []
    for process in node.processes():
        with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            if process.environ().get("ESCADM_UNIT", "").endswith(f":{name}"):
                found.append(process.pid)
    return found


def test_a_killed_service_and_all_above_it_come_back_in_order(new_lab: NewLab) -> None:
    lab = new_lab(config=CHAIN)
    primary, _ = wait_healthy(lab)
    before = {name: resource(primary, name)["pgid"] for name in ("base", "middle", "top", "beside")}
    lab.fault("service-kill", primary.name, "base")
    lab.wait_for(lambda: resource(primary, "top")["pgid"] not in (0, before["top"]), PATIENCE, "top runs again")
    after, _ = wait_healthy(lab)
    assert after is primary
    assert resource(primary, "beside")["pgid"] == before["beside"]
    assert resource(primary, "base")["restarts"] == 1
    names = ("base: ", "middle: ", "top: ")
    lines = [" ".join(line.split()[:2]).rstrip(":") for line in events(primary, *names)]
    start = ["base: starting", "base: running", "middle: starting", "middle: running", "top: starting", "top: running"]
    assert lines[:6] == start
    tail = lines[lines.index("base: killing") :]
    stops = [line for line in tail if line.endswith("stopping")]
    assert stops == ["top: stopping", "middle: stopping"]
    assert [line for line in tail if line.startswith("base")][1:] == ["base: backoff", "base: stopped", *start[:2]]
    assert tail[-6:] == start


def test_the_peer_takes_over_from_a_service_that_cannot_stay_up(new_lab: NewLab) -> None:
    lab = new_lab(config=FRAGILE)
    primary, standby = wait_healthy(lab)
    primary.write("/opt/cisco/broken", "")
    lab.fault("service-kill", primary.name, "fragile")
    lab.wait_for(lambda: standby.role == "MASTER", PATIENCE, "the standby takes over")
    text = wait_text(lab, primary, lambda text: text.startswith("ESC Fault Failed: fragile exited with code 3"), "told")
    assert "(4 times in" in text
    wait_text(lab, standby, lambda text: text.startswith("ESC Master Degraded: peer"), "primary alone")
    # repaired: it is a standby again, and stays one
    primary.path("/opt/cisco/broken").unlink()
    assert primary.escadm("start").code == 0
    assert wait_healthy(lab) == (standby, primary)


def test_a_service_that_fails_on_both_nodes_does_not_move_the_role_to_and_fro(new_lab: NewLab) -> None:
    lab = new_lab(config=FRAGILE)
    primary, standby = wait_healthy(lab)
    for node in lab.nodes:
        node.write("/opt/cisco/broken", "")
    lab.fault("service-kill", primary.name, "fragile")
    lab.wait_for(lambda: standby.role == "MASTER", PATIENCE, "the standby takes over")
    wait_text(lab, standby, lambda text: text.startswith("ESC Master Failed: fragile exited with code 3"), "failed too")
    wait_resource(lab, standby, "other", "running")
    # the second one keeps the role and keeps trying; five attempts later nothing has moved
    tries = int(resource(standby, "fragile")["restarts"])
    lab.wait_for(lambda: resource(standby, "fragile")["restarts"] >= tries + 2, 60.0, "further attempts")
    assert standby.role == "MASTER"
    assert len(events(standby, "-> MASTER began")) == 1
    assert len(events(primary, "-> MASTER began")) == 1
    # and when it is mended there, all is well without anybody's help, at its next attempt
    standby.path("/opt/cisco/broken").unlink()
    lab.wait_for(lambda: resource(standby, "fragile")["state"] == "running", LONGEST_DELAY + PATIENCE, "fragile runs")


def test_a_lonely_primary_keeps_trying(new_lab: NewLab) -> None:
    lab = new_lab(config=FRAGILE)
    primary, standby = wait_healthy(lab)
    lab.fault("power-cut", standby.name)
    wait_text(lab, primary, lambda text: "is not connected" in text, "alone")
    primary.write("/opt/cisco/broken", "")
    lab.fault("service-kill", primary.name, "fragile")
    wait_text(lab, primary, lambda text: text.startswith("ESC Master Failed: fragile exited with code 3"), "failed")
    assert primary.role == "MASTER"
    primary.path("/opt/cisco/broken").unlink()
    wait_resource(lab, primary, "fragile", "running")


def test_a_faulty_node_takes_the_role_back_when_its_peer_dies(new_lab: NewLab) -> None:
    lab = new_lab(config=FRAGILE)
    primary, standby = wait_healthy(lab)
    primary.write("/opt/cisco/broken", "")
    lab.fault("service-kill", primary.name, "fragile")
    lab.wait_for(lambda: (primary.role, standby.role) == ("FAULT", "MASTER"), PATIENCE, "the standby takes over")
    lab.fault("power-cut", standby.name)
    lab.wait_for(lambda: primary.role == "MASTER", PATIENCE, "rather a failing primary than none")
    wait_resource(lab, primary, "other", "running")


def test_what_ignores_term_and_forks_is_gone_within_the_time_limit(new_lab: NewLab) -> None:
    lab = new_lab(config=STUBBORN)
    primary, _ = wait_healthy(lab)
    lab.wait_for(lambda: len(marked(primary, "stubborn")) >= 3, PATIENCE, "the whole family")
    done = primary.escadm("stop", "stubborn")
    assert done.stdout.splitlines() == [
        "stubborn: stopping",
        "stubborn: killing",
        "stubborn: stopped",
        "stopped: stubborn",
    ]
    assert marked(primary, "stubborn") == []
    killing = events(primary, "stubborn: killing after")
    assert 1.0 <= float(killing[-1].split()[-2]) < 2.0


def test_stop_while_starting(new_lab: NewLab) -> None:
    lab = new_lab(config=SLOW, standalone=True)
    node = lab.nodes[0]
    wait_resource(lab, node, "slow", "starting")
    outcome = []
    starter = threading.Thread(target=lambda: outcome.append(node.escadm("start", check=False)))
    starter.start()
    lab.wait_for(lambda: events(node, "asked to start"), PATIENCE, "start has arrived")
    assert node.escadm("stop").stdout.splitlines()[-1] == "stopped"
    starter.join()
    assert outcome[0].code == 1
    assert "overtaken by a later stop" in outcome[0].stderr
    assert state_of(node) == "ESC Stopped"
    assert not marked(node, "slow")
    assert not events(node, "after: starting")


def test_the_verbs_are_idempotent_and_know_their_resources(new_lab: NewLab) -> None:
    lab = new_lab(config=CHAIN, standalone=True)
    node = lab.nodes[0]
    wait_text(lab, node, lambda text: text == "ESC Standalone Healthy", "healthy")
    assert node.escadm("start").stdout.splitlines() == ["started; this node is STANDALONE"]
    assert node.escadm("stop", "middle").stdout.splitlines()[-1] == "stopped: middle"
    assert [resource(node, name)["state"] for name in ("base", "middle", "top")] == ["running", "stopped", "stopped"]
    assert state_of(node) == "ESC Standalone Degraded: middle is stopped by hand"
    assert node.escadm("stop", "middle").stdout.splitlines() == ["stopped: middle"]
    assert node.escadm("start", "top").stdout.splitlines()[-1] == "started: top"
    wait_text(lab, node, lambda text: text == "ESC Standalone Healthy", "healthy again")
    before = {name: resource(node, name)["pgid"] for name in ("base", "middle", "top")}
    assert node.escadm("restart", "middle").stdout.splitlines()[-1] == "restarted: middle"
    after = {name: resource(node, name)["pgid"] for name in ("base", "middle", "top")}
    assert after["base"] == before["base"]
    assert not {after["middle"], after["top"]} & {before["middle"], before["top"]}
    unknown = node.escadm("restart", "midle", check=False)
    assert (unknown.code, unknown.stderr) == (2, "escadm: there is no resource midle\n  did you mean middle?\n")
    assert node.escadm("stop").stdout.splitlines()[-1] == "stopped"
    assert node.escadm("stop").stdout.splitlines() == ["stopped"]
    assert node.escadm("start", "base", check=False).code == 1


def test_the_start_reports_the_first_failure(new_lab: NewLab) -> None:
    lab = new_lab(config=FRAGILE, standalone=True)
    node = lab.nodes[0]
    wait_text(lab, node, lambda text: text == "ESC Standalone Healthy", "healthy")
    node.escadm("stop")
    node.write("/opt/cisco/broken", "")
    failed = node.escadm("start", check=False)
    assert failed.code == 1
    assert failed.stderr.startswith("escadm: fragile exited with code 3")
    assert "/var/log/esc/fragile.log" in failed.stderr
    assert resource(node, "other")["state"] == "running"


def adoptions(node: Node) -> int:
    return len(events(node, "keepalived: adopted"))


def has_adopted_again(node: Node, before: int) -> bool:
    return adoptions(node) > before


def test_services_survive_two_agents_killed_in_a_row(lab: Lab) -> None:
    primary, _ = wait_healthy(lab)
    before = {each["name"]: each["pgid"] for each in primary.status()["resources"]}
    for _ in range(2):
        again = partial(has_adopted_again, primary, adoptions(primary))
        lab.fault("agent-kill", primary.name)
        lab.wait_for(again, PATIENCE, "adoption")
    wait_healthy(lab)
    assert {each["name"]: each["pgid"] for each in primary.status()["resources"]} == before


def test_a_group_by_name_means_all_of_it(lab: Lab) -> None:
    primary, standby = wait_healthy(lab)
    before = {each["name"]: each["pgid"] for each in primary.status()["resources"]}
    primary.escadm("restart", "esc_service")
    after = {each["name"]: each["pgid"] for each in primary.status()["resources"]}
    assert {name for name in before if before[name] != after[name]} == {
        "confd",
        "escmanager",
        "mona",
        "pgsql",
        "vimmanager",
    }
    primary.escadm("stop", "esc_service")
    assert {each["state"] for each in primary.status()["resources"] if each["name"] in ("mona", "escmanager")} == {
        "stopped"
    }
    primary.escadm("start", "esc_service")
    assert wait_healthy(lab) == (primary, standby)


def test_what_is_switched_off_stays_so(lab: Lab) -> None:
    primary, standby = wait_healthy(lab)
    primary.escadm("start", "snmp")
    assert resource(primary, "snmp")["state"] == "running"
    primary.escadm("stop", "snmp")
    assert resource(primary, "snmp")["state"] == "disabled"
    primary.escadm("start")
    assert resource(primary, "snmp")["state"] == "disabled"
    assert wait_healthy(lab) == (primary, standby)
