"""What systemd has on this machine, read from its folders: no systemctl, no running systemd needed."""

from __future__ import annotations

from escadm.paths import Paths

UNIT_FOLDERS = (
    "/etc/systemd/system",
    "/run/systemd/system",
    "/run/systemd/generator",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
)


def unit_exists(unit: str, paths: Paths) -> bool:
    """Whether there is a unit file of this name, or the template that it is an instance of (systemd.unit(5))."""
    names = [unit]
    if "@" in unit:
        prefix, _, rest = unit.partition("@")
        names.append(f"{prefix}@.{rest.rpartition('.')[2]}")
    return any(paths.below(f"{folder}/{name}").exists() for folder in UNIT_FOLDERS for name in names)
