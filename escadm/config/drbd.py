"""The replicated volume: DRBD's settings held against each other and against what is mounted."""

from __future__ import annotations

import re

from escadm.config.findings import Findings
from escadm.config.model import Config, Filesystem
from escadm.config.reader import Path
from escadm.core.specs import DrbdSpec

_DRBD: Path = ("resources", "drbd")
_DEVICE = re.compile(r"/dev/drbd[0-9]{1,7}\Z")
_KEEPS_DATA = {
    "after-sb-0pri": ("disconnect", "discard-zero-changes"),
    "after-sb-1pri": ("disconnect", "discard-zero-changes"),
    "after-sb-2pri": ("disconnect", "discard-zero-changes"),
    "rr-conflict": ("disconnect", "retry-connect"),
}
_OURS = {
    "shared-secret": "write it as `shared_secret` of drbd, where it is kept out of sight",
    "allow-two-primaries": "one node at a time mounts the volume",
    "fencing": "it is what keeps the nodes from writing apart",
}


def volume(config: Config, findings: Findings, major: int) -> DrbdSpec:
    """The spec of the replicated volume, whose ``nodes`` are two, for the kernel's DRBD (8 or 9)."""
    drbd = config.drbd
    disk, device = drbd.disk or "", drbd.device or ""
    if not drbd.startup:
        message = "drbd cannot be switched off while it has `nodes`"
        findings.error((*_DRBD, "startup"), message, "remove this line, or `nodes` for a pair without replication")
    if not _DEVICE.match(device):
        findings.error((*_DRBD, "device"), f"{device} is not a device of DRBD", "for example /dev/drbd1")
    if disk == device:
        findings.error((*_DRBD, "disk"), "the disk below DRBD and DRBD's device are the same")
    for name, each in config.resources.items():
        if isinstance(each, Filesystem) and each.device == disk:
            message = f"{disk} is the disk below DRBD: what is written to it behind DRBD's back is not replicated"
            findings.error(("resources", name, "device"), message, f"mount {device}, or remove this line")
    for section in ("net_options", "disk_options"):
        for key in _OURS.keys() & getattr(drbd, section):
            findings.error((*_DRBD, section, key), f"{key} cannot be set here", _OURS[key], key=True)
    for key, value in drbd.net_options.items():
        path = (*_DRBD, "net_options", key)
        if value not in _KEEPS_DATA.get(key, (value,)):
            findings.error(path, f"{value} may throw data away on its own", "after a split brain a person decides")
        if key == "protocol" and value != "C":
            message = f"protocol {value} acknowledges writes that the other node does not have on its disk"
            findings.error(path, message, "remove this line: it is C")
    return DrbdSpec(
        nodes=(drbd.nodes[0], drbd.nodes[1]),
        disk=disk,
        device=device,
        port=drbd.port,
        net_options=tuple(drbd.net_options.items()),
        disk_options=tuple(drbd.disk_options.items()),
        shared_secret=drbd.shared_secret,
        major=major,
    )
