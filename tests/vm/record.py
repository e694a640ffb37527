"""Record what DRBD 8.4 says in every state that escadm must understand: python -m tests.vm.record.

Writes tests/unit/system/drbd/8.4: STATE.NODE.WHAT.txt with the plain output of a command on a machine in that state,
said.WHAT.txt with a command that mostly fails, its words and its exit code, and stream.NODE.txt: events2 from up to
the end.
"""

from __future__ import annotations

from pathlib import Path

from tests.vm import volume
from tests.vm.machine import Machine
from tests.vm.pair import Pair
from tests.vm.uml import DATA_DISK

TARGET = Path(__file__).parents[1] / "unit/system/drbd/8.4"
SETUP = "/lib/drbd/drbdsetup-84"
QUESTIONS = {
    "proc": "cat /proc/drbd",
    "events2": f"{SETUP} events2 all --now --statistics --timestamps",
    "status": "drbdadm status esc",
    "status-verbose": f"{SETUP} status esc --verbose --statistics",
    "states": "drbdadm role esc; drbdadm cstate esc; drbdadm dstate esc",
    "gi": "drbdadm show-gi esc",
}
DISK = "/dev/mapper/data"
BLOCKS = 163840
STREAM = "/root/stream"
MODULE = "/lib/modules/$(uname -r)/kernel/drivers/block/drbd/drbd.ko"


class Recorder:
    """Asks the machines, and writes down what they say."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair

    def state(self, name: str) -> None:
        """Every question, to both machines that have power."""
        for machine in self.pair.machines:
            if not machine.powered:
                continue
            for what, command in QUESTIONS.items():
                done = machine.exec(["/bin/sh", "-c", command], check=False)
                self.write(f"{name}.{machine.name}.{what}", done.stdout + done.stderr)

    def said(self, name: str, machine: Machine, command: str) -> None:
        """What a command says, most of them as they fail."""
        done = machine.exec(["/bin/bash", "-c", command], check=False)
        self.write(f"said.{name}", f"$ {command}\n{done.stdout}{done.stderr}exit code {done.code}\n")

    def write(self, name: str, text: str) -> None:
        (TARGET / f"{name}.txt").write_text(text)

    def until(self, machine: Machine, connection: str, disks: str | None = None) -> None:
        """Wait for a connection state, and for the disks' if they are named."""

        def reached() -> bool:
            return volume.connection(machine) == connection and disks in (None, volume.disks(machine))

        self.pair.wait_for(reached, 120, f"{connection} {disks or ''} on {machine.hostname}")


def without_module(record: Recorder, machine: Machine) -> None:
    """The module is not there at all."""
    machine.sh(f"rmmod drbd; mv {MODULE} /root; depmod")
    for verb in ("status", "role", "up", "create-md --force", "primary", "down"):
        record.said(f"no-module.{verb.split()[0]}", machine, f"drbdadm {verb} esc")
    record.said("no-module.proc", machine, "cat /proc/drbd")
    record.said("no-module.events2", machine, "drbdsetup events2 all --now")
    record.said("no-module.events2-84", machine, f"{SETUP} events2 all --now")
    machine.sh(f"mv /root/drbd.ko {MODULE}; depmod; modprobe drbd")


def first_installation(record: Recorder, pair: Pair) -> None:
    """From blank disks to two that are UpToDate."""
    a, b = pair.machines
    record.state("unconfigured")
    record.said("up.no-meta-data", a, "drbdadm up esc")
    a.sh("drbdadm down esc", check=False)
    a.sh(f"mke2fs -q -F {DISK}")
    record.said("create-md.file-system", a, "drbdadm create-md esc </dev/null")
    a.sh(f"wipefs -qa {DISK}; mke2fs -q -F {DISK} 64M")
    record.said("create-md.small-file-system", a, "drbdadm create-md esc </dev/null")
    for machine in pair.machines:
        machine.sh(f"wipefs -qa {DISK}; drbdadm create-md --force esc")
    record.said("create-md.meta-data", a, "drbdadm create-md esc </dev/null")
    a.sh("drbdadm up esc")
    record.until(a, "WFConnection")
    record.state("alone-inconsistent")
    record.said("primary.inconsistent-alone", a, "drbdadm primary esc")
    for machine in pair.machines:
        machine.sh(f"setsid sh -c '{SETUP} events2 all --statistics --timestamps >{STREAM} 2>&1' </dev/null >&- 2>&- &")
    b.sh("drbdadm up esc")
    record.said("up.again", b, "drbdadm up esc")
    record.until(a, "Connected")
    record.state("connected-inconsistent")
    record.said("primary.inconsistent", a, "drbdadm primary esc")
    a.sh("drbdadm -- --clear-bitmap new-current-uuid esc")
    record.until(b, "Connected", "UpToDate/UpToDate")
    record.state("connected-secondary")


def primary(record: Recorder, pair: Pair) -> None:
    """One primary, and what may not be done then."""
    a, b = pair.machines
    a.sh(f"drbdadm primary esc; mke2fs -q -t ext4 {volume.DEVICE}")
    volume.promote(pair, a)
    record.state("primary")
    record.said("primary.peer-is-primary", b, "drbdadm primary esc")
    record.said("secondary.held-open", a, "drbdadm secondary esc")
    record.said("mount.secondary", b, f"mkdir -p {volume.MOUNT_POINT}; mount {volume.DEVICE} {volume.MOUNT_POINT}")
    record.said("outdate.primary", a, "drbdadm outdate esc")
    record.said("down.held-open", a, "drbdadm down esc")
    record.state("after-refused-down")
    a.sh("drbdadm adjust esc")
    record.until(a, "Connected", "UpToDate/UpToDate")


def resync(record: Recorder, pair: Pair) -> None:
    """A standby that is behind catches up, is interrupted, and catches up."""
    a, b = pair.machines
    b.sh("drbdadm disconnect esc")
    record.until(a, "WFConnection")
    record.state("disconnected")
    a.sh(f"head -c 40000000 /dev/urandom >{volume.MOUNT_POINT}/blob; sync {volume.MOUNT_POINT}/blob")
    for machine in pair.machines:
        machine.sh("drbdadm disk-options --resync-rate=1M --c-plan-ahead=0 esc")
    b.sh("drbdadm connect esc")
    record.until(b, "SyncTarget")
    pair.wait_for(lambda: "finish" in (a.read("/proc/drbd") or ""), 20, "progress")
    b.sh("sleep 4")
    record.state("resync")
    record.said("primary.peer-is-primary-resync", b, "drbdadm primary esc")
    b.sh("drbdadm pause-sync esc")
    record.until(b, "PausedSyncT")
    record.state("resync-paused")
    b.sh("drbdadm resume-sync esc")
    pair.partition("eth1")
    record.until(b, "WFConnection")
    record.until(a, "WFConnection")
    record.state("resync-interrupted")
    record.said("primary.interrupted-resync", b, "drbdadm primary esc")
    pair.heal()
    for machine in pair.machines:
        machine.sh("drbdadm adjust esc")
    record.until(a, "Connected", "UpToDate/UpToDate")


def dead_peer(record: Recorder, pair: Pair) -> None:
    """The link goes silently; the standby's data is declared outdated."""
    a, b = pair.machines
    pair.partition("eth1")
    record.until(b, "WFConnection")
    record.until(a, "WFConnection")
    record.state("link-cut")
    b.sh("drbdadm outdate esc")
    record.state("outdated")
    record.said("primary.outdated", b, "drbdadm primary esc")
    b.sh("drbdadm adjust esc")
    pair.heal()
    record.until(a, "Connected", "UpToDate/UpToDate")


def fenced(record: Recorder, pair: Pair) -> None:
    """With a fencing policy, and a handler that could not outdate the peer."""
    a, b = pair.machines
    volume.demote(a)
    text = volume.configuration(pair, DISK)
    fencing = text.replace("disk { ", "disk { fencing resource-only; ").replace(
        "    disk", '    handlers { fence-peer "/bin/false"; }\n    disk', 1
    )
    for machine in pair.machines:
        machine.write("/etc/drbd.d/esc.res", fencing)
        machine.sh("drbdadm adjust esc")
    pair.partition("eth1")
    record.until(b, "WFConnection")
    record.state("fencing")
    record.said("primary.peer-not-outdated", b, "drbdadm primary esc")
    pair.heal()
    for machine in pair.machines:
        machine.write("/etc/drbd.d/esc.res", text)
        machine.sh("drbdadm adjust esc")
    record.until(a, "Connected", "UpToDate/UpToDate")


def split_brain(record: Recorder, pair: Pair) -> None:
    """Both were primary and wrote; they meet again."""
    a, b = pair.machines
    volume.promote(pair, a)
    b.sh("drbdadm net-options --ping-int=10 --ping-timeout=5 esc")  # as they are if nobody sets them
    pair.partition("eth1")
    record.said("primary.peer-silent-and-not-noticed", b, "time drbdadm primary esc")
    b.sh(f"mount {volume.DEVICE} {volume.MOUNT_POINT}")
    for machine in pair.machines:
        record.until(machine, "WFConnection")
        machine.sh(f"hostname >{volume.MOUNT_POINT}/split; sync")
    record.state("both-primary")
    pair.heal()
    record.until(a, "StandAlone")
    pair.wait_for(lambda: volume.connection(b) in ("StandAlone", "WFConnection"), 30, "the other side")
    record.state("split-brain")
    record.said("split-brain.kernel", a, "dmesg | grep 'drbd1: .*[Ss]plit'; false")
    volume.demote(b)
    record.said("connect.discard-while-connecting", b, "drbdadm connect --discard-my-data esc")
    b.sh("drbdadm disconnect esc; drbdadm connect --discard-my-data esc")
    record.state("split-brain-one-waits")
    if volume.connection(a) == "StandAlone":
        a.sh("drbdadm connect esc")
    record.until(a, "Connected", "UpToDate/UpToDate")


def disk_error(record: Recorder, pair: Pair) -> None:
    """The primary's disk fails: it goes on with the peer's. Then the link goes too."""
    a, b = pair.machines
    error = f"0 {BLOCKS} error"
    a.sh(f"dmsetup suspend data; dmsetup load data --table '{error}'; dmsetup resume data")
    a.sh(f"echo more >{volume.MOUNT_POINT}/more; sync")
    pair.wait_for(lambda: volume.disks(a).startswith("Diskless"), 30, "the disk to be given up")
    record.state("diskless")
    volume.demote(a)
    record.state("diskless-secondary")
    pair.partition("eth1")
    record.until(a, "WFConnection")
    record.state("diskless-alone")
    record.said("primary.diskless", a, "drbdadm primary esc")
    record.said("attach.disk-error", a, "drbdadm attach esc")
    pair.heal()
    record.until(b, "Connected")
    a.sh(f"dmsetup suspend data; dmsetup load data --table '0 {BLOCKS} linear {DATA_DISK} 0'; dmsetup resume data")
    a.sh("drbdadm attach esc")
    record.until(b, "Connected", "UpToDate/UpToDate")


def main() -> None:
    """All of it, one state after the other."""
    TARGET.mkdir(parents=True, exist_ok=True)
    for old in TARGET.glob("*.txt"):
        old.unlink()
    with Pair() as pair:
        record = Recorder(pair)
        for machine in pair.machines:
            machine.write("/etc/drbd.d/esc.res", volume.configuration(pair, DISK))
            machine.sh(f"dmsetup create data --table '0 {BLOCKS} linear {DATA_DISK} 0'")
        a, _ = pair.machines
        record.write(
            "versions", a.sh("uname -r; modinfo -F version drbd; drbdadm --version; dpkg -l drbd-utils | tail -1")
        )
        without_module(record, a)
        for story in (first_installation, primary, resync, dead_peer, fenced, split_brain, disk_error):
            print(story.__name__, flush=True)
            story(record, pair)
        for machine in pair.machines:
            machine.sh("drbdadm down esc")
            record.write(f"stream.{machine.name}", machine.read(STREAM) or "")
        record.state("down")


if __name__ == "__main__":
    main()
