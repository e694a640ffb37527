"""The first installation, step by step, over a disk and a DRBD that are the test's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest

from escadm.actions import drbd_init as action
from escadm.actions.drbd_init import drbd_init
from escadm.core.replication import Replica
from escadm.core.types import HostFacts
from escadm.errors import EscadmError, Failed, Usage
from escadm.paths import Paths
from escadm.system import replication, volume
from escadm.system.host import Host

FACTS = HostFacts({"eth0": (ip_address("172.16.0.0"),)}, strict=False)
PAIR = """\
resources:
  keepalived: {vip: 172.16.2.0, interface: eth0}
  drbd: {nodes: [172.16.0.0, 172.16.1.0], disk: /dev/vdb, device: /dev/drbd1}
  filesystem: {device: /dev/drbd1, mount_point: /srv/db, fstype: ext4}
"""
NEXT = "next: the same on the other node; then, on one of them: escadm drbd init --primary"
THEN = "next, on both nodes: escadm restart (the copy goes on meanwhile: escadm status -v)"
DONE = "already done: the data is UpToDate; go on with: escadm restart"
NEW = Replica("Secondary", "Connected", "Secondary", "Inconsistent", "Inconsistent", "Established", 1 << 27, 1 << 27)
SYNCED = replace(NEW, disk="UpToDate", peer_disk="UpToDate", out_of_sync=0)


class Disk:
    """A disk and what is on it; what is done is noted, and has its effect."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.patch = monkeypatch
        self.paths = Paths(tmp_path)
        self.write(PAIR)
        self.paths.drbd_res.parent.mkdir(parents=True)
        self.paths.drbd_res.touch()
        self.signatures = {"/dev/vdb": "", "/dev/drbd1": ""}
        self.user = ""
        self.meta_data = False
        self.replicas: list[Replica | None] = [None]
        self.fails = ""
        self.done: list[str] = []
        self.said: list[str] = []
        self.put(volume, "signature", lambda disk: self.signatures[disk])
        self.put(volume, "user_of", lambda disk: self.user)
        self.put(volume, "has_meta_data", lambda: self.meta_data)
        self.put(replication, "read_replica", self.read)
        self.put(action, "POLL", 0.0)
        for module, name in (
            (volume, "wipe"),
            (volume, "create_meta_data"),
            (volume, "make_primary_source"),
            (volume, "make_file_system"),
            (replication, "bring_up"),
            (replication, "promote"),
            (replication, "demote"),
        ):
            self.put(module, name, self.note(name))

    def put(self, module: object, name: str, value: object) -> None:
        self.patch.setattr(module, name, value)

    def note(self, name: str) -> Callable[..., None]:
        def act(*words: str) -> None:
            if name == self.fails:
                raise Failed(f"cannot {name}")
            self.done.append(" ".join((name, *words)))
            if name == "make_file_system":
                self.signatures[words[0]] = words[1]

        return act

    def read(self) -> Replica | None:
        return self.replicas.pop(0) if len(self.replicas) > 1 else self.replicas[0]

    def write(self, text: str) -> None:
        self.paths.config.parent.mkdir(parents=True, exist_ok=True)
        self.paths.config.write_text(text)

    def init(self, *, primary: bool = False, erase: str | None = None) -> str:
        return drbd_init(self.paths, FACTS, Host(), primary=primary, erase=erase, say=self.said.append)

    def refused(self, kind: type[EscadmError], *, primary: bool = False, erase: str | None = None) -> str:
        """What is said, and nothing is done."""
        with pytest.raises(kind) as caught:
            self.init(primary=primary, erase=erase)
        assert self.done == []
        return str(caught.value)


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(tmp_path, monkeypatch)


# --- on both nodes ---


def test_a_blank_disk(disk: Disk) -> None:
    assert disk.init() == NEXT
    assert disk.done == ["create_meta_data", "bring_up"]
    assert disk.said == ["/dev/vdb: meta-data written", "the volume is up"]


def test_a_volume_that_is_up_is_done(disk: Disk) -> None:
    disk.replicas = [NEW]
    assert disk.init() == "already done: the volume is up"
    assert disk.init(erase="/dev/vdb") == "already done: the volume is up"
    assert disk.done == disk.said == []


@pytest.mark.parametrize("found", ["", "drbd", "ext4"])
def test_meta_data_that_is_there_is_kept(disk: Disk, found: str) -> None:
    """As after a power cut, or between the two steps."""
    disk.meta_data, disk.signatures["/dev/vdb"] = True, found
    assert disk.init() == NEXT
    assert disk.done == ["bring_up"]
    assert disk.said == ["/dev/vdb: the disk has DRBD's meta-data already", "the volume is up"]


def test_somebodys_data_is_never_taken_but_by_its_name(disk: Disk) -> None:
    disk.signatures["/dev/vdb"] = "LVM2_member labelled old"
    assert disk.refused(Failed) == (
        "cannot use /dev/vdb: there is LVM2_member labelled old on it\n"
        "  if nobody needs what is on it: escadm drbd init --erase /dev/vdb"
    )
    assert disk.refused(Usage, erase="/dev/vdc") == (
        "--erase names /dev/vdc, but the disk of the volume is /dev/vdb\n  --erase /dev/vdb"
    )
    assert disk.init(erase="/dev/vdb") == NEXT
    assert disk.done == ["wipe /dev/vdb", "create_meta_data", "bring_up"]
    assert disk.said[0] == "/dev/vdb: LVM2_member labelled old removed"


def test_new_meta_data_over_old_by_name(disk: Disk) -> None:
    disk.meta_data = True
    assert disk.init(erase="/dev/vdb") == NEXT
    assert disk.done == ["create_meta_data", "bring_up"]


@pytest.mark.parametrize("erase", [None, "/dev/vdb"])
def test_a_disk_in_use_is_not_taken_even_by_name(disk: Disk, erase: str | None) -> None:
    disk.user, disk.signatures["/dev/vdb"] = "mounted at /srv", "ext4"
    assert disk.refused(Failed, erase=erase) == (
        "cannot use /dev/vdb: it is mounted at /srv\n  free it first; drbd init never takes a disk that is in use"
    )


def test_what_cannot_be_asked_is_no_leave_to_write(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> bool:
        raise Failed("cannot tell")

    monkeypatch.setattr(volume, "has_meta_data", fail)
    assert disk.refused(Failed) == disk.refused(Failed, erase="/dev/vdb") == "cannot tell"
    monkeypatch.setattr(replication, "read_replica", fail)
    assert disk.refused(Failed) == "cannot tell"


def test_an_end_in_the_midst_of_it_goes_on_from_there(disk: Disk) -> None:
    disk.fails = "bring_up"
    with pytest.raises(Failed, match=r"^cannot bring_up$"):
        disk.init()
    disk.fails, disk.meta_data = "", True
    assert disk.init() == NEXT
    assert disk.done == ["create_meta_data", "bring_up"]


def test_without_a_pair_or_its_file_there_is_nothing_to_do(disk: Disk) -> None:
    disk.paths.drbd_res.unlink()
    for primary in (False, True):
        assert disk.refused(Failed, primary=primary) == (
            f"cannot begin: there is no {disk.paths.drbd_res}\n  write it with: escadm reload"
        )
    disk.write("resources: {}\n")
    assert disk.refused(Usage).startswith("there is nothing to replicate: esc-config.yaml has no drbd.nodes\n")


# --- then on one ---


def test_the_source_of_the_first_copy(disk: Disk) -> None:
    disk.replicas = [NEW]
    assert disk.init(primary=True) == THEN
    assert disk.done == ["make_primary_source", "make_file_system /dev/drbd1 ext4", "demote"]
    assert disk.said == ["this node is the source; the first copy to the peer has begun", "/dev/drbd1: ext4 made"]


def test_the_peer_is_waited_for(disk: Disk) -> None:
    waiting = replace(NEW, connection="Connecting", peer_disk="DUnknown")
    disk.replicas = [waiting, waiting, NEW]
    assert disk.init(primary=True) == THEN
    assert disk.said[0] == "waiting for the peer to connect"
    assert disk.said.count("waiting for the peer to connect") == 1


def test_a_peer_that_does_not_come(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(action, "CONNECTS_WITHIN", 0.05)
    disk.replicas = [replace(NEW, connection="StandAlone")]
    assert disk.refused(Failed, primary=True) == (
        "cannot begin: the peer has not connected within 0.05 s (StandAlone)\n"
        "  run escadm drbd init there, and look at the network between the nodes"
    )


def test_first_things_first(disk: Disk) -> None:
    words = "cannot begin: the volume is not up here\n  begin with: escadm drbd init"
    assert disk.refused(Failed, primary=True) == words
    assert disk.refused(Usage, primary=True, erase="/dev/vdb") == "--erase goes with the first step, not with --primary"


@pytest.mark.parametrize(
    ("here", "there"), [("Inconsistent", "Diskless"), ("Outdated", "Inconsistent"), ("Diskless", "Inconsistent")]
)
def test_both_disks_must_be_new(disk: Disk, here: str, there: str) -> None:
    disk.replicas = [replace(NEW, disk=here, peer_disk=there)]
    assert disk.refused(Failed, primary=True) == (
        f"cannot begin the first copy: the disks are {here} here and {there} on the peer\n"
        "  both must be new (Inconsistent): run escadm drbd init on both first"
    )


@pytest.mark.parametrize("peer_disk", ["UpToDate", "Inconsistent"])
def test_a_file_system_that_an_earlier_run_did_not_come_to_is_made(disk: Disk, peer_disk: str) -> None:
    """The power was cut after the copy had begun."""
    disk.replicas = [replace(SYNCED, peer_disk=peer_disk)]
    assert disk.init(primary=True) == DONE
    assert disk.done == ["promote", "make_file_system /dev/drbd1 ext4", "demote"]
    disk.done.clear()
    assert disk.init(primary=True) == DONE
    assert disk.done == ["promote", "demote"]
    assert disk.said[-1] == "/dev/drbd1: keeps the ext4 that is on it"


def test_the_same_on_a_node_that_is_still_primary(disk: Disk) -> None:
    disk.fails = "make_file_system"
    disk.replicas = [NEW]
    with pytest.raises(Failed, match=r"^cannot make_file_system$"):
        disk.init(primary=True)
    disk.fails, disk.done, disk.replicas = "", [], [replace(SYNCED, role="Primary")]
    assert disk.init(primary=True) == DONE
    assert disk.done == ["make_file_system /dev/drbd1 ext4"]


@pytest.mark.parametrize(
    "replica", [replace(SYNCED, peer_role="Primary"), replace(NEW, peer_disk="UpToDate", replication="SyncTarget")]
)
def test_what_the_peer_has_done_is_done(disk: Disk, replica: Replica) -> None:
    disk.replicas = [replica]
    assert disk.init(primary=True) == DONE
    assert disk.done == disk.said == []


def test_a_file_system_that_is_somewhere_else_is_nobodys_concern(disk: Disk) -> None:
    disk.write(PAIR.replace("filesystem: {device: /dev/drbd1", "filesystem: {device: /dev/vdc"))
    disk.replicas = [NEW]
    assert disk.init(primary=True) == THEN
    assert disk.done == ["make_primary_source", "demote"]


def test_an_existing_database_on_the_volume_is_kept(disk: Disk) -> None:
    disk.signatures["/dev/drbd1"] = "ext4 labelled data"
    disk.replicas = [NEW]
    assert disk.init(primary=True) == THEN
    assert disk.done == ["make_primary_source", "demote"]
    assert disk.said[-1] == "/dev/drbd1: keeps the ext4 labelled data that is on it"
