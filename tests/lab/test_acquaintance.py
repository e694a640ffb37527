"""The two nodes know each other: what strangers send changes nothing, and a replaced peer is accepted by a command."""

from __future__ import annotations

import json
from base64 import b64encode

import pytest

from escadm.core.session import MAGIC, NO_KEY, OTHER_KEY, ROUTED, fingerprint
from escadm.lab import Lab, namespaces
from escadm.lab.node import PATHS, Node
from escadm.system.cipher import KeyPair
from escadm.system.keys import read_key
from tests.lab.conftest import NewLab
from tests.lab.pair import PATIENCE, events, state_of, wait_healthy, wait_text
from tests.lab.stranger import counted, forge, overhear

MAC = "02:65:73:63:09:01"

TAKEN_OVER = {"escadm": 1, "vrrp": "MASTER", "role": "MASTER", "fit": True, "settled": True}
UNFIT = {"escadm": 1, "vrrp": "FAULT", "role": "FAULT", "fit": False, "reasons": ["it is on fire"]}
FORGED = [json.dumps(each).encode() for each in (TAKEN_OVER, UNFIT)]


def speaks(node: Node, how: str) -> str:
    """The beginning of the sentence about a stranger who uses the address of ``node``."""
    return f"somebody else speaks with the peer's address {node.address}, {how}"


def public_key(node: Node) -> str:
    key = read_key(node.path(PATHS.node_pub))
    assert key is not None
    return fingerprint(key)


def known(node: Node) -> dict[str, str]:
    """What the node says of its peer."""
    found: dict[str, str] = node.status()["peer"]
    return found


def test_two_agents_pin_each_others_keys(lab: Lab) -> None:
    wait_healthy(lab)
    first, second = lab.nodes
    for one, other in ((first, second), (second, first)):
        assert (known(one)["node_key"], known(one)["peer_key"]) == (public_key(one), public_key(other))
        lines = one.escadm("status", "-v").stdout.splitlines()
        rule = "primary: keepalived says MASTER" if one.role == "MASTER" else "standby: keepalived says BACKUP"
        assert lines[-3:] == [
            f"peer {other.address} is connected: its key is {public_key(other)}",
            f"this node's key is {public_key(one)}",
            f"rule {rule}",
        ]
        shown = one.escadm("ha", "show").stdout
        assert f"node_key: {public_key(one)}\npeer_key: {public_key(other)}\n" in shown
        assert one.path(PATHS.node_key).stat().st_mode & 0o777 == 0o600
    assert all(data.startswith(MAGIC) for _, data in overhear(lab, first, 10)), "nothing is in plain text any more"


def test_plain_datagrams_of_a_stranger_change_nothing(lab: Lab) -> None:
    primary, standby = wait_healthy(lab)
    for target, source in ((primary, standby), (standby, primary)):
        before = events(target, "role change")
        forge(lab, source, target, FORGED * 20)
        text = wait_text(lab, target, lambda text: "somebody else" in text, "names the stranger")
        assert text.partition("Degraded: ")[2].startswith(speaks(source, NO_KEY))
        document = target.status()
        assert len(document["reasons"]) == 1, "not a word of what was forged is believed"
        assert document["peer"]["heard"]
        assert events(target, "role change") == before
        assert len(events(target, NO_KEY)) == 1
    assert (primary.role, standby.role) == ("MASTER", "BACKUP")


def test_a_replayed_peer_is_not_connected(new_lab: NewLab) -> None:
    lab = new_lab()
    primary, standby = wait_healthy(lab)
    recorded = [data for sender, data in overhear(lab, standby, 20) if sender == str(primary.address)]
    assert recorded
    lab.fault("agent-hang", primary.name)
    silent = f"peer {primary.address} is not connected"
    wait_text(lab, standby, lambda text: silent in text, "misses its peer")
    lab.fault("agent-kill", standby.name)
    wait_text(lab, standby, lambda text: silent in text, "begins anew without a peer")
    before = counted(standby, "InDatagrams")
    forge(lab, primary, standby, recorded)
    lab.wait_for(
        lambda: counted(standby, "InDatagrams") >= before + len(recorded), PATIENCE, "the replayed datagrams to arrive"
    )
    assert not events(standby, "connected (")[1:], "it was connected once, to the true peer"
    lab.fault("agent-resume", primary.name)
    wait_healthy(lab)


def second_cable(lab: Lab, node: Node, rp_filter: str) -> None:
    """Another network between the node and the client, by which the client sends what is for the node's address."""
    client, outer = lab.node("client"), lab.require().outer
    wire = f"link add eth9 netns {node.up.pid} address {MAC} type veth peer name eth9 netns {client.up.pid}\n"
    namespaces.call(outer.enter(["ip", "-batch", "-"], network_only=True), wire)
    for machine, address in ((node, "10.9.9.1"), (client, "10.9.9.2")):
        machine.exec(["ip", "address", "add", f"{address}/24", "dev", "eth9"])
        machine.exec(["ip", "link", "set", "eth9", "up"])
    client.exec(["ip", "route", "add", f"{node.address}/32", "dev", "eth9"])
    client.exec(["ip", "neighbour", "replace", str(node.address), "lladdr", MAC, "dev", "eth9"])
    for interface in ("all", "eth9"):
        node.exec(["sh", "-c", f"echo {rp_filter} >/proc/sys/net/ipv4/conf/{interface}/rp_filter"])


@pytest.mark.parametrize("rp_filter", ["0", "2"])
def test_a_machine_behind_another_interface_is_not_even_heard(new_lab: NewLab, rp_filter: str) -> None:
    lab = new_lab()
    primary, standby = wait_healthy(lab)
    second_cable(lab, standby, rp_filter)
    before = counted(standby, "NoPorts")
    forge(lab, primary, standby, FORGED * 5)
    lab.wait_for(lambda: counted(standby, "NoPorts") >= before + 10, PATIENCE, "the forged datagrams to arrive")
    assert state_of(standby) == "ESC Backup Healthy"
    assert not known(standby)["stranger"]


def test_what_a_router_has_passed_on_is_a_strangers(new_lab: NewLab) -> None:
    lab = new_lab()
    primary, standby = wait_healthy(lab)
    recorded = [data for sender, data in overhear(lab, standby, 4) if sender == str(primary.address)]
    forge(lab, primary, standby, recorded, ttl=254)
    wait_text(lab, standby, lambda text: speaks(primary, ROUTED) in text, "names the stranger")


def test_a_replaced_peer_is_a_stranger_until_a_command_accepts_it(new_lab: NewLab) -> None:
    lab = new_lab()
    primary, standby = wait_healthy(lab)
    old = public_key(standby)
    lab.fault("agent-stop", standby.name)
    lab.wait_for(lambda: standby.agent() is None, PATIENCE, "the standby's agent ends")
    for file in (PATHS.node_key, PATHS.node_pub, PATHS.peer_pub):
        standby.path(file).unlink()
    lab.fault("agent-start", standby.name)
    text = wait_text(lab, primary, lambda text: "escadm ha trust" in text, "says what to type")
    new = public_key(standby)
    assert text.endswith(f"{speaks(standby, OTHER_KEY)} {new}: if the peer was replaced: escadm ha trust")
    assert not known(primary)["heard"]
    wrong = primary.escadm("ha", "trust", f"SHA256:{'x' * 43}", check=False)
    assert wrong.code == 1
    assert new in wrong.stderr
    for words in ([f"{new}x"], [new, "--forget"]):
        assert primary.escadm("ha", "trust", *words, check=False).code == 2
    said = primary.escadm("ha", "trust").stdout
    assert said == f"the peer's key was {old}, and is {new} from now on\n"
    assert wait_healthy(lab) == (primary, standby)
    assert known(primary)["peer_key"] == new
    again = primary.escadm("ha", "trust", check=False)
    assert again.code == 1
    assert "nobody offers another key" in again.stderr


def test_a_forgotten_key_is_pinned_anew(new_lab: NewLab) -> None:
    lab = new_lab()
    primary, standby = wait_healthy(lab)
    assert public_key(standby) in primary.escadm("ha", "trust", "--forget").stdout
    wait_healthy(lab)
    lab.wait_for(lambda: known(primary)["peer_key"] == public_key(standby), PATIENCE, "the key is pinned again")
    primary.escadm("ha", "show")


def test_keys_that_were_brought_are_taken(new_lab: NewLab) -> None:
    """A node with another one's public key pinned from the beginning believes nobody but that one."""
    lab = new_lab(agent=False)
    first, second = lab.nodes
    pair = KeyPair(bytes(range(32)))
    second.write(PATHS.node_key, b64encode(bytes(range(32))).decode())
    first.write(PATHS.peer_pub, b64encode(pair.public).decode())
    for name in "ab":
        lab.fault("agent-start", name)
    wait_healthy(lab)
    assert public_key(second) == fingerprint(pair.public)
    assert second.path(PATHS.node_key).stat().st_mode & 0o777 == 0o600
    assert "could be read by others" in "".join(events(second, "node.key"))
    assert not events(first, "from now on")
