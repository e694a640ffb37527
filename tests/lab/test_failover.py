"""The pair under faults: who is primary in the end, what the client sees, what status says."""

from __future__ import annotations

import pytest

from escadm.lab import Lab
from escadm.lab.watch import first_answer
from tests.lab.pair import PATIENCE, events, has_vip, resource, state_of, wait_healthy, wait_text


def test_a_pair_agrees_on_who_is_primary(lab: Lab) -> None:
    primary, standby = wait_healthy(lab)
    assert (primary.role, standby.role) == ("MASTER", "BACKUP")
    assert (has_vip(lab, primary), has_vip(lab, standby)) == (True, False)
    assert resource(primary, "escmanager")["state"] == "running"
    assert resource(standby, "escmanager")["state"] == "stopped"
    assert resource(standby, "keepalived")["state"] == "running"


def test_services_start_along_the_graph(lab: Lab) -> None:
    primary, _ = wait_healthy(lab)
    lines = events(primary, "escmanager: starting", "pgsql: running", "mona: running", "vimmanager: running")
    start = max(index for index, line in enumerate(lines) if line.startswith("escmanager: starting"))
    assert {line.split(":")[0] for line in lines[:start]} >= {"pgsql", "mona", "vimmanager"}


def test_power_cut(lab: Lab) -> None:
    primary, standby = wait_healthy(lab)
    with lab.client(f"http://{lab.network.vip}:{lab.ports['escmanager']}/") as watch:
        lab.wait_for(lambda: any(answer.served for answer in watch.answers()), PATIENCE, "an answer to the client")
        lab.fault("power-cut", primary.name)
        text = wait_text(lab, standby, lambda text: "Master Degraded" in text, "primary without a peer")
        lab.wait_for(
            lambda: first_answer(watch.answers(), standby.hostname), PATIENCE, "an answer from the new primary"
        )
    assert text == f"ESC Master Degraded: peer {primary.address} is not connected"
    assert standby.role == "MASTER"
    lab.fault("power-on", primary.name)
    assert wait_healthy(lab) == (standby, primary)  # the repaired node stays standby


@pytest.mark.parametrize("how", ["link", "silent partition"])
def test_network(lab: Lab, how: str) -> None:
    primary, standby = wait_healthy(lab)
    if how == "link":
        lab.fault("link-down", primary.name)
        wait_text(lab, primary, lambda text: text.startswith("ESC Fault"), "in fault")
        assert primary.role == "FAULT"
        assert not has_vip(lab, primary)
        lab.wait_for(lambda: standby.role == "MASTER", PATIENCE, "the standby takes over")
        lab.fault("link-up", primary.name)
        assert wait_healthy(lab) == (standby, primary)
    else:
        for node in lab.nodes:
            lab.fault("partition", node.name)
        lab.wait_for(lambda: standby.role == "MASTER", PATIENCE, "a second primary, as nothing can tell them apart")
        for node in lab.nodes:
            lab.fault("heal", node.name)
        wait_healthy(lab)


def test_keepalived_killed(lab: Lab) -> None:
    primary, standby = wait_healthy(lab)
    lab.fault("keepalived-kill", primary.name)
    lab.wait_for(lambda: standby.role == "MASTER", PATIENCE, "the standby takes over")
    assert wait_healthy(lab) == (standby, primary)
    assert not has_vip(lab, primary)


def test_vip_taken_away(lab: Lab) -> None:
    wait_healthy(lab)
    primary, _ = wait_healthy(lab)
    before = {each["name"]: each["pgid"] for each in primary.status()["resources"]}
    lab.fault("vip-remove", primary.name)
    after, _ = wait_healthy(lab)
    assert has_vip(lab, after)
    if after is primary:  # keepalived put it back: nothing was restarted for that
        assert {each["name"]: each["pgid"] for each in primary.status()["resources"]} == before


def test_switchover_there_and_back(lab: Lab) -> None:
    primary, standby = wait_healthy(lab)
    there = primary.escadm("switchover")
    assert f"the primary is now {standby.address}" in there.stdout
    assert wait_healthy(lab) == (standby, primary)
    back = standby.escadm("switchover")
    assert f"the primary is now {primary.address}" in back.stdout
    assert wait_healthy(lab) == (primary, standby)


def test_switchover_is_refused_with_the_reason(lab: Lab) -> None:
    primary, standby = wait_healthy(lab)
    wrong = standby.escadm("switchover", check=False)
    assert wrong.code == 1
    assert "this node is BACKUP, not the primary" in wrong.stderr
    standby.escadm("stop")
    wait_text(lab, primary, lambda text: "is not fit" in text, "knows that the standby is stopped")
    refused = primary.escadm("switchover", check=False)
    assert refused.code == 1
    assert f"the peer {standby.address} is not fit: it is stopped" in refused.stderr
    assert primary.role == "MASTER"
    standby.escadm("start")
    wait_healthy(lab)


def test_agent_killed_on_the_primary(lab: Lab) -> None:
    primary, standby = wait_healthy(lab)
    before = {each["name"]: each["pgid"] for each in primary.status()["resources"]}
    changes = len(events(standby, "role change"))
    lab.fault("agent-kill", primary.name)
    assert wait_healthy(lab) == (primary, standby)
    lab.wait_for(lambda: events(primary, "keepalived runs already; this node is MASTER"), PATIENCE, "adoption")
    assert {each["name"]: each["pgid"] for each in primary.status()["resources"]} == before
    assert has_vip(lab, primary)
    assert len(events(standby, "role change")) == changes


def test_agent_killed_and_its_memory_lost(lab: Lab) -> None:
    """What runs is found by its marks, and the rest by looking: nothing is started anew."""
    primary, standby = wait_healthy(lab)
    before = {each["name"]: each["pgid"] for each in primary.status()["resources"]}
    count = len(events(primary, "keepalived runs already; this node is MASTER"))
    changes = len(events(standby, "role change"))
    lab.fault("agent-hang", primary.name)
    primary.exec(["rm", "/run/escadm/state.json"])
    lab.fault("agent-kill", primary.name)
    lab.wait_for(
        lambda: len(events(primary, "keepalived runs already; this node is MASTER")) > count, PATIENCE, "adoption"
    )
    assert wait_healthy(lab) == (primary, standby)
    assert {each["name"]: each["pgid"] for each in primary.status()["resources"]} == before
    assert len(events(standby, "role change")) == changes


def test_agent_hangs(lab: Lab) -> None:
    primary, _ = wait_healthy(lab)
    lab.fault("agent-hang", primary.name)
    try:
        text = wait_text(lab, primary, lambda text: "does not respond" in text, "says that the agent hangs")
        assert text.startswith("ESC Unknown: the agent (pid")
        assert primary.status()["severity"] == 3
    finally:
        lab.fault("agent-resume", primary.name)
    wait_healthy(lab)


def test_agent_ends_in_good_order(lab: Lab) -> None:
    primary, standby = wait_healthy(lab)
    lab.fault("agent-stop", primary.name)
    wait_text(lab, primary, lambda text: text == "ESC Stopped", "stopped")
    assert primary.role == "FAULT"
    lab.wait_for(lambda: standby.role == "MASTER", PATIENCE, "the standby takes over")
    assert not has_vip(lab, primary)
    lab.fault("agent-start", primary.name)
    assert wait_healthy(lab) == (standby, primary)
    assert state_of(primary) == "ESC Backup Healthy"
