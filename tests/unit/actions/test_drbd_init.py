"""The first installation, step by step, over a disk and a DRBD that are the test's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest

from escadm.actions import drbd_init as action
from escadm.actions import drbd_source
from escadm.actions.drbd_init import Leave, Teller, drbd_init
from escadm.config import read_plan
from escadm.core.drbd.state import Replica
from escadm.core.problem import HostFacts
from escadm.errors import EscadmError, Failed, Usage
from escadm.paths import Paths
from escadm.render.drbd import render_drbd
from escadm.system import disk as real_disk
from escadm.system.drbd import commands, installation
from escadm.system.host import Host

FACTS = HostFacts({"eth0": (ip_address("172.16.0.0"),)}, strict=False)
PAIR = """\
resources:
  keepalived: {vip: 172.16.2.0, interface: eth0}
  drbd: {nodes: [172.16.0.0, 172.16.1.0], disk: /dev/vdb, device: /dev/drbd1}
  filesystem: {device: /dev/drbd1, mount_point: /srv/db, fstype: ext4}
"""
NEXT = "next: the same on the other node; then, on one of them: escadm drbd init --primary"
RESTART = "next, on both nodes: escadm restart"
THEN = f"{RESTART} (the copy goes on meanwhile: escadm status -v)"
WAITING = (
    "next, on the other node once more: escadm drbd init, with which the copy begins. Then, on both: escadm restart"
)
FILLED = "next, on the other node: escadm drbd init; it is filled from here. Then, on both: escadm restart"
DONE = "already done: the data is UpToDate; go on with: escadm restart"
NEW = Replica("Secondary", "Connected", "Secondary", "Inconsistent", "Inconsistent", "Established", 1 << 27, 1 << 27)
ALONE = replace(NEW, connection="Connecting", peer_role="Unknown", peer_disk="DUnknown", replication="Off")
GREETS = replace(ALONE, connection="Connected")
WAYS_OUT = """
  if nobody needs what is on it: escadm drbd init --erase /dev/vdb
  if it is to become the pair's data: escadm drbd init --keep /dev/vdb"""
SYNCED = replace(NEW, disk="UpToDate", peer_disk="UpToDate", out_of_sync=0)


class Disk:
    """A disk and what is on it; what is done is noted, and has its effect."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.patch = monkeypatch
        self.paths = Paths(tmp_path)
        self.write(PAIR)
        self.reload()
        self.signatures = {"/dev/vdb": "", "/dev/drbd1": ""}
        self.blank = False
        self.content = ""
        self.ext_size = 1 << 20
        self.never_used = True
        self.marks = (False, False)
        self.metered: list[str] = []
        self.user = ""
        self.meta_data = False
        self.replicas: list[Replica | None] = [None]
        self.fails = ""
        self.done: list[str] = []
        self.said: list[str] = []
        self.put(real_disk, "signature", lambda disk: self.signatures[disk])
        self.put(real_disk, "user_of", lambda disk: self.user)
        self.put(real_disk, "content", lambda disk: self.content)
        self.put(real_disk, "size_of", lambda disk: 1 << 27)
        self.put(real_disk, "ext_size", lambda disk: self.ext_size)
        self.put(real_disk, "is_blank", lambda disk, progress: self.blank)
        self.put(installation, "was_never_used", lambda: self.never_used)
        self.put(installation, "blank_marks", lambda: self.marks)
        self.put(installation, "has_meta_data", lambda: self.meta_data)
        self.put(commands, "read_replica", self.read)
        self.put(action, "POLL", 0.0)
        self.put(drbd_source, "POLL", 0.0)
        self.put(drbd_source, "MARKS_WITHIN", 0.01)
        for module, name in (
            (real_disk, "wipe"),
            (installation, "create_meta_data"),
            (installation, "attach_alone"),
            (installation, "declare_good"),
            (installation, "mark_blank"),
            (installation, "skip_first_copy"),
            (installation, "make_primary_source"),
            (installation, "make_file_system"),
            (commands, "allow_syncs"),
            (commands, "bring_up"),
            (commands, "take_down"),
            (commands, "promote"),
            (commands, "demote"),
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

    def reload(self) -> None:
        drbd = read_plan(self.paths.config, FACTS).plan.drbd
        assert drbd is not None
        self.paths.drbd_res.parent.mkdir(parents=True, exist_ok=True)
        self.paths.drbd_res.write_text(render_drbd(drbd, self.paths).text)

    def meter(self, what: str) -> real_disk.Progress:
        self.metered.append(what)
        return lambda done, whole: None

    def init(
        self, *, primary: bool = False, erase: str | None = None, keep: str | None = None, wait: float | None = None
    ) -> str:
        teller = Teller(self.said.append, self.meter)
        return drbd_init(self.paths, FACTS, Host(), teller, primary=primary, leave=Leave(erase, keep), wait=wait)

    def refused(
        self,
        kind: type[EscadmError],
        *,
        primary: bool = False,
        erase: str | None = None,
        keep: str | None = None,
        wait: float | None = None,
    ) -> str:
        """What is said, and nothing is done."""
        with pytest.raises(kind) as caught:
            self.init(primary=primary, erase=erase, keep=keep, wait=wait)
        assert self.done == []
        return str(caught.value)


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(tmp_path, monkeypatch)


# --- on both nodes ---


def test_a_new_disk(disk: Disk) -> None:
    assert disk.init() == NEXT
    assert disk.done == ["create_meta_data", "bring_up"]
    assert disk.said == ["/dev/vdb: meta-data written", "the volume is up"]
    assert disk.metered == ["reading /dev/vdb"]


@pytest.mark.parametrize("replicas", [[None, NEW], [None, ALONE], [None, ALONE, GREETS, NEW]])
def test_a_blank_disk_is_marked(disk: Disk, replicas: list[Replica | None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(action, "SETTLES_WITHIN", 0.05)
    disk.blank, disk.replicas = True, replicas
    assert disk.init() == NEXT
    assert disk.done == ["create_meta_data", "bring_up", "mark_blank"]
    assert disk.said == ["/dev/vdb: blank; meta-data written", "the volume is up"]


@pytest.mark.parametrize(
    "replica",
    [replace(SYNCED, disk="Inconsistent", replication="SyncTarget"), SYNCED, replace(NEW, peer_disk="Consistent")],
)
def test_a_blank_disk_that_the_peer_fills_is_not(disk: Disk, replica: Replica) -> None:
    disk.blank, disk.replicas = True, [None, replica]
    assert disk.init() == NEXT
    assert disk.done == ["create_meta_data", "bring_up"]


def test_where_drbd_holds_back_syncs_itself_nobody_is_told(disk: Disk) -> None:
    disk.write(PAIR.replace("disk: /dev/vdb,", "disk: /dev/vdb, disk_options: {resync-after: minor-5},"))
    disk.reload()
    disk.blank, disk.replicas = True, [None, NEW]
    assert disk.init() == NEXT
    assert disk.done == ["create_meta_data", "bring_up"]


def test_a_volume_that_is_up_is_done(disk: Disk) -> None:
    disk.replicas = [NEW]
    assert disk.init() == "already done: the volume is up"
    assert disk.done == disk.said == []
    assert disk.refused(Failed, erase="/dev/vdb") == (
        "cannot erase /dev/vdb: the volume is up\n"
        "  if its data may go: escadm stop, drbdadm down esc, then the same again"
    )


def test_a_copy_that_waits_for_this_node_begins(disk: Disk) -> None:
    disk.replicas = [replace(NEW, peer_disk="UpToDate", replication="PausedSyncT")]
    assert disk.init() == "already done: the volume is up"
    assert disk.done == ["allow_syncs"]


def test_a_volume_without_a_disk_is_begun_anew(disk: Disk) -> None:
    """A start before there were meta-data has left it so, or the disk was lost and is a new one now."""
    disk.replicas = [replace(NEW, disk="Diskless"), None]
    assert disk.init() == NEXT
    assert disk.done == ["take_down", "create_meta_data", "bring_up"]
    disk.done.clear()
    disk.replicas = [replace(NEW, role="Primary", disk="Diskless")]
    assert disk.refused(Failed) == (
        "cannot use /dev/vdb: this node is Primary without a disk\n  move the role first: escadm switchover"
    )


@pytest.mark.parametrize("found", ["", "drbd", "ext4"])
def test_meta_data_that_is_there_is_kept(disk: Disk, found: str) -> None:
    """As after a power cut, or between the two steps."""
    disk.meta_data, disk.signatures["/dev/vdb"] = True, found
    disk.content, disk.never_used = "ext4", False
    assert disk.init() == NEXT
    assert disk.done == ["bring_up"]
    assert disk.said == ["/dev/vdb: the disk has DRBD's meta-data already", "the volume is up"]


def test_somebodys_data_is_never_taken_but_by_its_name(disk: Disk) -> None:
    disk.signatures["/dev/vdb"] = "LVM2_member labelled old"
    assert disk.refused(Failed) == (f"cannot use /dev/vdb: there is LVM2_member labelled old on it{WAYS_OUT}")
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

    monkeypatch.setattr(installation, "has_meta_data", fail)
    assert disk.refused(Failed) == disk.refused(Failed, erase="/dev/vdb") == "cannot tell"
    monkeypatch.setattr(commands, "read_replica", fail)
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
    disk.reload()
    disk.write(PAIR.replace("/dev/vdb", "/dev/vdc"))
    for primary in (False, True):
        assert disk.refused(Failed, primary=primary) == (
            f"cannot begin: {disk.paths.drbd_res} is not what esc-config.yaml asks for\n  escadm reload"
        )
    disk.write("resources: {}\n")
    assert disk.refused(Usage).startswith("there is nothing to replicate: esc-config.yaml has no drbd.nodes\n")


# --- then on one ---


def test_the_source_of_the_first_copy(disk: Disk) -> None:
    disk.replicas = [NEW]
    assert disk.init(primary=True) == THEN
    assert disk.done == ["make_primary_source", "allow_syncs", "make_file_system /dev/drbd1 ext4", "demote"]
    assert disk.said == ["this node is the source; the first copy to the peer has begun", "/dev/drbd1: ext4 made"]


def test_two_blank_disks_need_no_copy(disk: Disk) -> None:
    disk.replicas, disk.marks = [NEW], (True, True)
    assert disk.init(primary=True) == RESTART
    made = ["promote", "allow_syncs", "make_file_system /dev/drbd1 ext4", "demote"]
    assert disk.done == ["skip_first_copy", *made]
    assert disk.said == ["both disks are blank: there is nothing to copy", "/dev/drbd1: ext4 made"]


def test_a_peer_that_has_just_connected_may_still_say_that_its_disk_is_blank(disk: Disk) -> None:
    """It connects first, and says so then: on a busy machine the source sees the time between."""
    disk.replicas = [NEW]
    marks = iter([(True, False), (True, False), (True, True)])
    disk.put(installation, "blank_marks", lambda: next(marks))
    disk.put(drbd_source, "MARKS_WITHIN", 60.0)
    assert disk.init(primary=True) == RESTART
    assert disk.done[0] == "skip_first_copy"


@pytest.mark.parametrize(("marks", "told"), [((True, False), THEN), ((False, True), WAITING)])
def test_one_blank_disk_does(disk: Disk, marks: tuple[bool, bool], told: str) -> None:
    disk.replicas, disk.marks = [NEW], marks
    assert disk.init(primary=True) == told
    assert disk.done[:2] == ["make_primary_source", "allow_syncs"]


def test_the_peer_is_waited_for(disk: Disk) -> None:
    disk.replicas = [ALONE, ALONE, GREETS, NEW]
    assert disk.init(primary=True) == THEN
    assert disk.said[0] == "waiting for the peer to connect"
    assert disk.said.count("waiting for the peer to connect") == 1


def test_a_peer_that_does_not_come(disk: Disk) -> None:
    disk.replicas = [replace(NEW, connection="StandAlone")]
    assert disk.refused(Failed, primary=True, wait=0.05) == (
        "cannot begin: the peer has not connected within 0.05 s (StandAlone)\n"
        "  run escadm drbd init there, and look at the network between the nodes"
    )


SOURCE_FIRST = "waiting for the other node to become the source: escadm drbd init --primary"


@pytest.mark.parametrize(("source", "told"), [(SYNCED, RESTART), (replace(NEW, peer_disk="UpToDate"), THEN)])
def test_a_prepared_node_waits_for_the_source(disk: Disk, source: Replica, told: str) -> None:
    disk.replicas = [None, ALONE, NEW, source]
    assert disk.init(wait=5) == told
    assert disk.said[-1] == SOURCE_FIRST
    assert disk.said.count(SOURCE_FIRST) == 1
    assert disk.done[-1] == "allow_syncs"


def test_a_source_that_does_not_come(disk: Disk) -> None:
    disk.replicas = [None, NEW]
    with pytest.raises(Failed) as caught:
        disk.init(wait=0.05)
    assert str(caught.value) == (
        "the disk is prepared, and the other node has not become the source within 0.05 s\n"
        "  run escadm drbd init --primary there"
    )
    assert "allow_syncs" not in disk.done


def test_first_things_first(disk: Disk) -> None:
    words = "cannot begin: the volume is not up here\n  begin with: escadm drbd init"
    assert disk.refused(Failed, primary=True) == words
    assert disk.refused(Usage, primary=True, erase="/dev/vdb") == "--erase goes with the first step, not with --primary"
    assert disk.refused(Usage, primary=True, keep="/dev/vdb") == "--keep goes with the first step, not with --primary"
    disk.replicas = [replace(NEW, disk="Diskless")]
    assert disk.refused(Failed, primary=True) == words


@pytest.mark.parametrize(("here", "there"), [("Inconsistent", "Diskless"), ("Outdated", "Inconsistent")])
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
    assert disk.done == ["allow_syncs", "promote", "make_file_system /dev/drbd1 ext4", "demote"]
    disk.done.clear()
    assert disk.init(primary=True) == DONE
    assert disk.done == ["allow_syncs", "promote", "demote"]
    assert disk.said[-1] == "/dev/drbd1: keeps the ext4 that is on it"


def test_the_same_on_a_node_that_is_still_primary(disk: Disk) -> None:
    disk.fails = "make_file_system"
    disk.replicas = [NEW]
    with pytest.raises(Failed, match=r"^cannot make_file_system$"):
        disk.init(primary=True)
    disk.fails, disk.done, disk.replicas = "", [], [replace(SYNCED, role="Primary")]
    assert disk.init(primary=True) == DONE
    assert disk.done == ["allow_syncs", "make_file_system /dev/drbd1 ext4"]


@pytest.mark.parametrize(
    "replica", [replace(SYNCED, peer_role="Primary"), replace(NEW, peer_disk="UpToDate", replication="SyncTarget")]
)
def test_what_the_peer_has_done_is_done(disk: Disk, replica: Replica) -> None:
    disk.replicas = [replica]
    assert disk.init(primary=True) == DONE
    assert (disk.done, disk.said) == (["allow_syncs"], [])


def test_a_file_system_that_is_somewhere_else_is_nobodys_concern(disk: Disk) -> None:
    disk.write(PAIR.replace("filesystem: {device: /dev/drbd1", "filesystem: {device: /dev/vdc"))
    disk.replicas = [NEW]
    assert disk.init(primary=True) == THEN
    assert disk.done == ["make_primary_source", "allow_syncs", "demote"]


def test_an_existing_database_on_the_volume_is_kept(disk: Disk) -> None:
    disk.signatures["/dev/drbd1"] = "ext4 labelled data"
    disk.replicas = [NEW]
    assert disk.init(primary=True) == THEN
    assert disk.done == ["make_primary_source", "allow_syncs", "demote"]
    assert disk.said[-1] == "/dev/drbd1: keeps the ext4 labelled data that is on it"


# --- a file system that is there ---


@pytest.fixture
def used(disk: Disk) -> Disk:
    disk.signatures["/dev/vdb"] = disk.content = "ext4"
    return disk


DECLARED = ["attach_alone", "declare_good", "bring_up"]


def test_what_is_there_becomes_the_pairs_data(used: Disk) -> None:
    assert used.init(keep="/dev/vdb") == FILLED
    assert used.done == ["create_meta_data", *DECLARED]
    assert used.said == [
        "/dev/vdb: meta-data written after the ext4",
        "/dev/vdb: what is on it is the pair's data from now on",
        "the volume is up",
    ]


@pytest.mark.parametrize("cut", ["create_meta_data", "attach_alone", "declare_good", "bring_up"])
def test_keeping_can_be_cut_off_anywhere(used: Disk, cut: str) -> None:
    """Typed again without --keep it says what to do, and with it it goes on; nothing is written twice."""
    used.fails = cut
    with pytest.raises(Failed, match=rf"^cannot {cut}$"):
        used.init(keep="/dev/vdb")
    used.fails, used.meta_data = "", "create_meta_data" in used.done
    used.never_used = "declare_good" not in used.done
    used.signatures["/dev/vdb"] = "drbd" if used.meta_data else "ext4"
    if used.never_used:
        before, used.done = used.done, []
        assert "escadm drbd init --keep /dev/vdb" in used.refused(Failed)
        used.done = before
        assert used.init(keep="/dev/vdb") == FILLED
    else:
        assert used.init(keep="/dev/vdb") == NEXT
    assert [each for each in dict.fromkeys(used.done) if each != cut] == [
        each for each in ("create_meta_data", *DECLARED) if each != cut
    ]
    assert used.done.count("create_meta_data") == used.done.count("declare_good") == 1


def test_new_meta_data_beside_data_are_a_question(used: Disk) -> None:
    used.meta_data, used.signatures["/dev/vdb"] = True, "drbd"
    words = "cannot use /dev/vdb: there is ext4 on it, and new meta-data of DRBD"
    assert used.refused(Failed) == f"{words}{WAYS_OUT}"


def test_a_volume_that_came_up_undeclared_is_declared(used: Disk) -> None:
    """Interrupted between the two, and typed again."""
    used.replicas = [replace(ALONE, connection="StandAlone")]
    assert used.init(keep="/dev/vdb") == FILLED
    assert used.done == ["declare_good", "bring_up"]
    used.done.clear()
    for replica, never_used in ((ALONE, True), (NEW, True), (replace(ALONE, connection="StandAlone"), False)):
        used.replicas, used.never_used = [replica], never_used
        words = "cannot keep what is on /dev/vdb: the volume is up, and its data is Inconsistent"
        assert used.refused(Failed, keep="/dev/vdb") == words
    used.replicas = [SYNCED]
    assert used.init(keep="/dev/vdb") == "already done: the volume is up"


def test_the_meta_data_need_room(used: Disk) -> None:
    used.ext_size = 1 << 27
    assert used.refused(Failed, keep="/dev/vdb") == (
        "cannot keep what is on /dev/vdb: its ext4 leaves no room for DRBD's meta-data at the end of the disk\n"
        "  make it smaller, unmounted: e2fsck -f /dev/vdb, then resize2fs /dev/vdb 127M; then the same again"
    )


@pytest.mark.parametrize(("content", "why"), [("", "it is empty"), ("xfs", "xfs is not ext2, ext3 or ext4")])
def test_only_what_can_be_made_smaller_is_kept(used: Disk, content: str, why: str) -> None:
    used.content = content
    assert used.refused(Failed, keep="/dev/vdb").startswith(f"cannot keep what is on /dev/vdb: {why}\n")


def test_to_keep_and_to_erase_exclude_each_other(used: Disk) -> None:
    assert used.refused(Usage, keep="/dev/vdb", erase="/dev/vdb").startswith("--erase and --keep exclude each other")
    assert used.refused(Usage, keep="/dev/vdc") == (
        "--keep names /dev/vdc, but the disk of the volume is /dev/vdb\n  --keep /dev/vdb"
    )
    used.user = "mounted at /srv"
    assert used.refused(Failed, keep="/dev/vdb").startswith("cannot use /dev/vdb: it is mounted at /srv")
