"""Where a lab lives: one run directory with one JSON file that says what runs, and the nodes' data below it."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from escadm.lab.namespaces import Machine
from escadm.lab.network import Network


def default_directory() -> Path:
    """``ESCADM_LAB``; without it ``/run/escadm-lab`` for root, a directory of the user's own otherwise."""
    if chosen := os.environ.get("ESCADM_LAB"):
        return Path(chosen)
    if os.geteuid() == 0:
        return Path("/run/escadm-lab")
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    return Path(runtime) / "escadm-lab" if runtime else Path(f"/tmp/escadm-lab-{os.geteuid()}")  # noqa: S108


@dataclass
class State:
    """What the next command must know about a running lab."""

    outer: Machine
    network: Network
    machines: dict[str, Machine] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)
    agent: bool = True


def state_file(directory: Path) -> Path:
    """The one JSON file."""
    return directory / "lab.json"


def save(directory: Path, state: State) -> None:
    """Replace the file."""
    new = state_file(directory).with_suffix(".new")
    new.write_text(json.dumps(asdict(state), default=str, indent=1) + "\n")
    new.replace(state_file(directory))


def load(directory: Path) -> State | None:
    """The state of the lab that runs here; None when none does (a file that a reboot left behind does not count)."""
    try:
        document: dict[str, Any] = json.loads(state_file(directory).read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    outer = Machine(**document["outer"])
    if not outer.alive:
        return None
    network = document["network"]
    first, second = map(ip_address, network["nodes"])
    return State(
        outer=outer,
        network=Network(
            nodes=(first, second),
            vip=ip_address(network["vip"]),
            client=ip_address(network["client"]),
            prefix=network["prefix"],
            interface=network["interface"],
            gateways=tuple(map(ip_address, network["gateways"])),
        ),
        machines={name: Machine(**machine) for name, machine in document["machines"].items()},
        ports=document["ports"],
        agent=document["agent"],
    )
