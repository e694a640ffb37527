from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest

from escadm.actions import drbd_resolve as action
from escadm.actions.drbd_init import Teller
from escadm.actions.drbd_resolve import discard_local, keep_local, must_be_declared, why_not_discard, why_not_keep
from escadm.core.drbd.state import Replica
from escadm.core.problem import HostFacts
from escadm.errors import Failed, NotPermitted
from escadm.paths import Paths
from escadm.system import disk
from escadm.system.drbd import commands, installation

FACTS = HostFacts({"eth0": (ip_address("172.16.0.0"),)}, strict=False)
PAIR = """\
resources:
  keepalived: {vip: 172.16.2.0, interface: eth0}
  drbd: {nodes: [172.16.0.0, 172.16.1.0], disk: /dev/vdb}
"""
WAITS = Replica("Secondary", "Connecting", "Unknown", "UpToDate", "DUnknown", "Off", 36864, 1 << 27)
SPLIT = replace(WAITS, connection="StandAlone")
CONNECTED = replace(WAITS, connection="Connected", peer_disk="UpToDate", replication="Established")
NOTHING = "the nodes are connected: there is nothing to decide"


class Node:
    """A volume whose state is the test's; what is done to it is noted."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.paths = Paths(tmp_path)
        self.paths.config.parent.mkdir(parents=True)
        self.paths.config.write_text(PAIR)
        self.replicas: list[Replica | None] = [SPLIT]
        self.done: list[str] = []
        self.said: list[str] = []
        self.log = ""
        self.room = True
        for module, name in (
            (commands, "connect_discarding"),
            (commands, "bring_up"),
            (installation, "declare_good"),
        ):
            monkeypatch.setattr(module, name, self.note(name))
        monkeypatch.setattr(commands, "read_replica", self.read)
        monkeypatch.setattr(commands, "read_kernel_log", self.kernel_log)
        monkeypatch.setattr(disk, "copy_used", self.copy)
        monkeypatch.setattr(action, "POLL", 0.0)
        monkeypatch.setattr(action, "ANSWERS_WITHIN", 0.05)

    def note(self, name: str) -> Callable[[], None]:
        return lambda: self.done.append(name)

    def read(self) -> Replica | None:
        return self.replicas.pop(0) if len(self.replicas) > 1 else self.replicas[0]

    def kernel_log(self) -> str:
        if not self.log:
            raise NotPermitted("cannot read the kernel's log")
        return self.log

    def copy(self, name: str, size: int, target: Path, progress: disk.Progress) -> int:
        if not self.room:
            raise disk.NoRoom("cannot keep a copy: there is no room for it")
        self.done.append(f"copy {name} {size} {target}")
        return 5 << 20

    def discard(self, *, copy: bool = True) -> str:
        teller = Teller(self.said.append, lambda what: lambda done, whole: None)
        return discard_local(self.paths, FACTS, teller, copy=copy)


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Node:
    return Node(tmp_path, monkeypatch)


# --- this node's changes go ---

NOT_DISCARDED = {
    None: "the volume is not up here",
    CONNECTED: NOTHING,
    replace(CONNECTED, role="Primary"): NOTHING,
    replace(SPLIT, disk="Diskless"): "this node has no disk (Diskless): nothing here can be given up",
    replace(SPLIT, role="Primary"): (
        "this node is Primary: it is the one in use. Stop it first (escadm stop), or resolve on the other node"
    ),
}


@pytest.mark.parametrize("replica", NOT_DISCARDED)
def test_what_is_not_given_up(node: Node, replica: Replica | None) -> None:
    node.replicas = [replica]
    assert why_not_discard(replica) == NOT_DISCARDED[replica]
    with pytest.raises(Failed) as caught:
        node.discard()
    assert caught.value.message == f"cannot resolve: {NOT_DISCARDED[replica]}"
    assert node.done == node.said == []


@pytest.mark.parametrize("replica", [SPLIT, WAITS, replace(SPLIT, disk="Inconsistent")])
def test_a_copy_is_kept_of_what_goes(node: Node, replica: Replica) -> None:
    node.replicas = [replica]
    assert node.discard() == (
        "this node takes the peer's data as soon as that connects: "
        "on the other node, whose data stays: escadm drbd resolve --keep-local"
    )
    copied, *rest = node.done
    assert rest == ["connect_discarding"]
    image = str(node.paths.copies / r"discarded-\d{8}T\d{6}Z.img").replace(".img", r"\.img")
    assert re.fullmatch(rf"copy /dev/vdb {1 << 27} {image}", copied)
    target = copied.split()[-1]
    assert node.said == [
        f"what this node had is kept in {target} (5.0 MiB)",
        f"to look into it: mount -o loop {target} /mnt",
    ]


def test_without_room_for_a_copy_nothing_goes(node: Node) -> None:
    node.room = False
    with pytest.raises(Failed) as caught:
        node.discard()
    assert str(caught.value) == (
        "cannot keep a copy: there is no room for it\n  make room there, or go on without a copy: --no-copy"
    )
    assert node.done == []
    node.discard(copy=False)
    assert node.done == ["connect_discarding"]


def test_a_node_that_became_primary_during_the_copy_keeps_its_data(node: Node) -> None:
    node.replicas = [SPLIT, replace(SPLIT, role="Primary")]
    with pytest.raises(Failed, match=r"^cannot resolve: this node is Primary"):
        node.discard()
    assert [each.split()[0] for each in node.done] == ["copy"]


def test_a_configuration_without_a_disk(node: Node) -> None:
    node.paths.config.write_text("resources: {}\n")
    with pytest.raises(Failed, match=r"^cannot keep a copy: esc-config.yaml names no disk"):
        node.discard()
    assert node.done == []


# --- this node's data stay ---

NOT_KEPT = {
    None: "the volume is not up here",
    replace(SPLIT, disk="Diskless"): "this node has no disk (Diskless)",
    replace(SPLIT, disk="Inconsistent"): action.HALF_A_COPY,
    replace(WAITS, disk="Inconsistent"): action.HALF_A_COPY,
}


@pytest.mark.parametrize("replica", NOT_KEPT)
def test_what_is_not_kept(node: Node, replica: Replica | None) -> None:
    node.replicas = [replica]
    assert why_not_keep(replica) == NOT_KEPT[replica]
    with pytest.raises(Failed) as caught:
        keep_local()
    assert caught.value.message == f"cannot resolve: {NOT_KEPT[replica]}"
    assert node.done == []


@pytest.mark.parametrize(
    ("replica", "told"),
    [
        (CONNECTED, f"already done: {NOTHING}"),
        (replace(CONNECTED, disk="Inconsistent", replication="SyncTarget"), f"already done: {NOTHING}"),
        (WAITS, "already done: this node's data is UpToDate, and it waits for the peer"),
    ],
)
def test_nothing_is_to_be_decided(node: Node, replica: Replica, told: str) -> None:
    node.replicas = [replica]
    assert (keep_local(), node.done) == (told, [])
    assert not must_be_declared(replica)


@pytest.mark.parametrize("state", ["Consistent", "Outdated"])
def test_data_of_which_nobody_knows_are_declared(node: Node, state: str) -> None:
    node.replicas = [replace(WAITS, disk=state)]
    assert must_be_declared(node.replicas[0])
    assert "UpToDate from now on" in keep_local()
    assert node.done == ["declare_good"]


@pytest.mark.parametrize("state", ["UpToDate", "Consistent", "Outdated"])
def test_the_survivor_of_a_split_only_connects(node: Node, state: str) -> None:
    alone = replace(SPLIT, disk=state)
    assert not must_be_declared(alone)
    node.replicas = [alone, replace(WAITS, disk=state), CONNECTED]
    assert keep_local() == "the nodes are connected: the peer takes this node's data"
    assert node.done == ["bring_up"]


def test_a_peer_that_is_not_there(node: Node) -> None:
    node.replicas = [SPLIT, WAITS]
    assert keep_local().startswith("waiting for the peer; after a split brain it needs, there: escadm drbd resolve")


@pytest.mark.parametrize(
    ("log", "why"),
    [
        ("", ""),
        ("block drbd1: Split-Brain detected but unresolved, dropping connection!", ": split brain: both nodes"),
        ("block drbd1: The peer's disk size is too small! (1 < 2 sectors)", ": the peer's disk is smaller"),
    ],
)
def test_a_peer_that_has_given_nothing_up(node: Node, log: str, why: str) -> None:
    node.replicas, node.log = [SPLIT, WAITS, SPLIT], log
    with pytest.raises(Failed) as caught:
        keep_local()
    assert caught.value.message.startswith(f"cannot connect: DRBD has stopped the replication again{why}")
    assert "escadm drbd resolve --discard-local" in caught.value.hint
