"""reload on a running pair: what is taken up, what is refused, what stays untouched."""

from __future__ import annotations

import hashlib

from escadm.lab import Lab
from escadm.lab.node import Node
from tests.lab.conftest import NewLab
from tests.lab.pair import PATIENCE, events, has_vip, resource, wait_healthy, wait_text

CONFIG = "/opt/cisco/esc/esc-config/esc-config.yaml"
KEEPALIVED = "/etc/keepalived/keepalived.conf"
PAIR = """\
resources:
  one:
    command: [sleep, "1000"]
    depend_on: filesystem
  two:
    command: [sleep, "1000"]
    depend_on: one
"""


def edit(node: Node, old: str, new: str) -> None:
    text = node.read(CONFIG) or ""
    assert old in text
    node.write(CONFIG, text.replace(old, new))


def pgids(node: Node) -> dict[str, int]:
    return {each["name"]: each["pgid"] for each in node.status()["resources"]}


def test_an_unchanged_reload_changes_nothing(lab: Lab) -> None:
    primary, standby = wait_healthy(lab)
    before = pgids(primary), hashlib.sha256((primary.read(KEEPALIVED) or "").encode()).hexdigest()
    spoken = len(events(primary, "keepalived says")), len(events(standby, "keepalived says"))
    for _ in range(2):
        assert primary.escadm("reload").stdout.splitlines()[-1] == "reloaded: nothing has changed"
    assert (pgids(primary), hashlib.sha256((primary.read(KEEPALIVED) or "").encode()).hexdigest()) == before
    assert (len(events(primary, "keepalived says")), len(events(standby, "keepalived says"))) == spoken


def test_a_changed_service_is_restarted_and_no_other(new_lab: NewLab) -> None:
    lab = new_lab(config=PAIR)
    primary, standby = wait_healthy(lab)
    before = pgids(primary)
    edit(primary, 'command: [sleep, "1000"]\n    depend_on: one', 'command: [sleep, "2000"]\n    depend_on: one')
    told = primary.escadm("reload").stdout
    assert "two: command: sleep 1000 -> sleep 2000 (local)" in told
    after = pgids(primary)
    assert {name for name in before if before[name] != after[name]} == {"two"}
    assert wait_healthy(lab) == (primary, standby)


def test_a_new_and_a_removed_service(new_lab: NewLab) -> None:
    lab = new_lab(config=PAIR)
    primary, standby = wait_healthy(lab)
    edit(primary, "  two:\n", "  three:\n")
    primary.escadm("reload")
    assert resource(primary, "three")["state"] == "running"
    assert "two" not in pgids(primary)
    assert len(events(primary, "two: stopped")) == 1
    assert wait_healthy(lab) == (primary, standby)


def test_the_advert_priority_is_local(new_lab: NewLab) -> None:
    lab = new_lab(config=PAIR)
    primary, standby = wait_healthy(lab)
    before = pgids(primary)
    edit(primary, "  keepalived:\n", "  keepalived:\n    priority: 200\n")
    told = primary.escadm("reload").stdout
    assert "keepalived.priority: 250 -> 200 (local)" in told
    assert "priority 200" in (primary.read(KEEPALIVED) or "")
    assert pgids(primary) == before
    assert wait_healthy(lab) == (primary, standby)


def test_what_both_nodes_must_share_is_refused_on_one(new_lab: NewLab) -> None:
    lab = new_lab(config=PAIR)
    primary, standby = wait_healthy(lab)
    before = primary.read(KEEPALIVED)
    for node in lab.nodes:
        edit(node, "  keepalived:\n", "  keepalived:\n    virtual_router_id: 77\n")
    refused = primary.escadm("reload", check=False)
    assert refused.code == 1
    assert "nothing was changed: keepalived.virtual_router_id is a matter of both nodes" in refused.stderr
    assert primary.read(KEEPALIVED) == before
    # the steps that it names
    standby.escadm("stop")
    primary.escadm("reload", "--force")
    assert "virtual_router_id 77" in (primary.read(KEEPALIVED) or "")
    standby.escadm("reload")
    standby.escadm("start")
    assert wait_healthy(lab) == (primary, standby)
    assert (has_vip(lab, primary), has_vip(lab, standby)) == (True, False)


def test_nodes_that_are_configured_differently_say_so(new_lab: NewLab) -> None:
    lab = new_lab(config=PAIR)
    primary, standby = wait_healthy(lab)
    edit(standby, "  keepalived:\n", "  keepalived:\n    virtual_router_id: 77\n")
    standby.escadm("stop")
    standby.escadm("reload")
    standby.escadm("start", check=False)
    wait_text(lab, primary, lambda text: "is primary as well" in text or "configured differently" in text, "told")
    edit(standby, "    virtual_router_id: 77\n", "")
    standby.escadm("reload", "--force")
    wait_healthy(lab)


def test_a_bad_configuration_changes_nothing(lab: Lab) -> None:
    primary, standby = wait_healthy(lab)
    good = primary.read(CONFIG) or ""
    before = pgids(primary)
    primary.write(CONFIG, good + "  mona:\n    comand: x\n")
    try:
        refused = primary.escadm("reload", check=False)
        assert refused.code == 6
        assert f"{CONFIG}:" in refused.stderr
        assert "Traceback" not in refused.stderr
        assert primary.escadm("restart", check=False).code == 6
        assert pgids(primary) == before
    finally:
        primary.write(CONFIG, good)
    assert wait_healthy(lab) == (primary, standby)


def test_the_manuals_three_lines(new_lab: NewLab) -> None:
    """Two standalone nodes become a pair by ``ha set``, ``reload`` and ``restart``."""
    lab = new_lab(config=PAIR, standalone=True)
    for node in lab.nodes:
        wait_text(lab, node, lambda text: text == "ESC Standalone Healthy", "standalone")
        assert node.role == "STANDALONE"
    first, second = lab.nodes
    for node, peer in ((first, second), (second, first)):
        words = ["--kad_vip=", str(lab.network.vip), "--kad_vif=", "eth0", f"--kad_unicast_src_ip={node.address}"]
        node.escadm("ha", "set", *words, f"--kad_unicast_peer={peer.address}")
        told = node.escadm("reload").stdout
        assert "takes effect with: escadm restart" in told
        assert node.role == "STANDALONE"
        shown = (node.read(KEEPALIVED) or "").split("virtual_ipaddress {\n")[1].splitlines()[0]
        assert shown.strip() == str(lab.network.vip)
    assert first.escadm("restart").stdout.splitlines()[-1] == "restarted; this node is MASTER"
    assert second.escadm("restart").stdout.splitlines()[-1] == "restarted; this node is BACKUP"
    assert wait_healthy(lab) == (first, second)
    # and back
    for node in (second, first):
        node.escadm("ha", "unset")
        node.escadm("reload")
        assert node.escadm("restart").stdout.splitlines()[-1] == "restarted; this node is STANDALONE"
    lab.wait_for(lambda: [node.role for node in lab.nodes] == ["STANDALONE"] * 2, PATIENCE, "standalone again")
    assert not has_vip(lab, first)
    assert not has_vip(lab, second)


def test_a_keepalived_that_cannot_start_is_quoted_and_health_knows_before(new_lab: NewLab) -> None:
    lab = new_lab(config=PAIR)
    _, standby = wait_healthy(lab)
    good = standby.read(KEEPALIVED) or ""
    standby.write(KEEPALIVED, good.replace("virtual_router_id 51", "virtual_router_id 333"))
    told = standby.escadm("health", check=False).stdout
    assert "keepalived: ok: process" in told
    assert "keepalived configuration: FAILED: keepalived does not accept the configuration made for it: " in told
    assert "outside range [1, 255]" in told
    keepalived = standby.keepalived()
    assert keepalived is not None
    keepalived.kill()
    words = "keepalived exited with code 2: (ESC) the virtual router id must be set"
    wait_text(lab, standby, lambda text: words in text, words)
    standby.escadm("reload", check=False)
    standby.escadm("start", check=False)  # at once, without the rest of the back-off
    wait_healthy(lab)
    assert standby.read(KEEPALIVED) == good
    told = standby.escadm("health", check=False).stdout
    assert f"keepalived configuration: ok: keepalived accepts {KEEPALIVED}\n" in told
