"""DRBD by hand, as an administrator would do it without escadm: for tests of the lab, and for recording samples."""

from __future__ import annotations

from tests.vm.machine import Machine
from tests.vm.pair import Pair
from tests.vm.uml import DATA_DISK

MOUNT_POINT = "/srv/data"
DEVICE = "/dev/drbd1"


def configuration(pair: Pair, disk: str = DATA_DISK) -> str:
    """An esc.res for the cross-over cable, the same on both machines."""
    places = "\n".join(
        f"    floating ipv4 {machine.cross_address}:7789 {{ device {DEVICE}; disk {disk}; meta-disk internal; }}"
        for machine in pair.machines
    )
    return f"""resource esc {{
    net {{ protocol C; ping-int 2; ping-timeout 10; timeout 20; connect-int 2; }}
    disk {{ on-io-error detach; resync-rate 100M; c-plan-ahead 0; }}
{places}
}}
"""


def bring_up(pair: Pair, *, skip_sync: bool = True, disk: str = DATA_DISK) -> None:
    """Meta-data, up and connected; with ``skip_sync`` two blank disks are declared to be the same, UpToDate."""
    for machine in pair.machines:
        machine.write("/etc/drbd.d/esc.res", configuration(pair, disk))
        machine.sh("drbdadm create-md --force esc && drbdadm up esc")
    pair.wait_for(lambda: connection(pair.a) == "Connected", 60, "DRBD's connection")
    if skip_sync:
        pair.a.sh("drbdadm -- --clear-bitmap new-current-uuid esc")
        both = ["UpToDate/UpToDate"] * 2
        pair.wait_for(lambda: [disks(machine) for machine in pair.machines] == both, 30, "disks UpToDate")


def promote(pair: Pair, machine: Machine, timeout: float = 60.0) -> None:
    """Primary and mounted; while DRBD still believes in a dead peer it refuses, so this asks again."""
    pair.wait_for(lambda: not machine.exec(["drbdadm", "primary", "esc"], check=False).code, timeout, "promotion")
    machine.sh(f"mkdir -p {MOUNT_POINT} && mount {DEVICE} {MOUNT_POINT}")


def demote(machine: Machine) -> None:
    """Unmounted and Secondary."""
    machine.sh(f"umount {MOUNT_POINT} && drbdadm secondary esc")


def role(machine: Machine) -> str:
    return machine.sh("drbdadm role esc").strip()


def connection(machine: Machine) -> str:
    return machine.sh("drbdadm cstate esc").strip()


def disks(machine: Machine) -> str:
    return machine.sh("drbdadm dstate esc").strip()
