"""What the tests of a pair ask again and again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from escadm.errors import Failed
from escadm.lab import Lab
from escadm.lab.node import Node

PATIENCE = 20.0


def state_of(node: Node) -> str:
    """The text of the node's status line."""
    return str(node.status()["text"])


def wait_healthy(lab: Lab) -> tuple[Node, Node]:
    """Until one node is a healthy primary and the other a healthy standby; in that order."""
    wanted = ["ESC Backup Healthy", "ESC Master Healthy"]
    lab.wait_for(lambda: sorted(map(state_of, lab.nodes)) == wanted, PATIENCE, "a healthy pair")
    first, second = lab.nodes
    return (first, second) if first.role == "MASTER" else (second, first)


def wait_text(lab: Lab, node: Node, fits: Callable[[str], bool], what: str) -> str:
    """Until the node's status text fits; the text."""
    lab.wait_for(lambda: fits(state_of(node)), PATIENCE, f"{node.hostname}: {what}")
    return state_of(node)


def resource(node: Node, name: str) -> dict[str, Any]:
    """A resource of ``status --json``; Failed where status does not know it (yet)."""
    for each in node.status()["resources"]:
        if each["name"] == name:
            found: dict[str, Any] = each
            return found
    raise Failed(f"{node.hostname}: status knows no {name}")


def wait_resource(lab: Lab, node: Node, name: str, state: str) -> dict[str, Any]:
    """Until the resource is in that state."""
    lab.wait_for(lambda: resource(node, name)["state"] == state, PATIENCE, f"{name} {state} on {node.hostname}")
    return resource(node, name)


def has_vip(lab: Lab, node: Node) -> bool:
    """Whether the node carries the VIP."""
    return any(each.startswith(f"{lab.network.vip}/") for each in node.addresses(lab.network.interface))


def events(node: Node, *words: str) -> list[str]:
    """The messages of the agent's log (time and level cut off) that contain any of the words, in order."""
    lines = (node.read("/var/log/esc/escadm.log") or "").splitlines()
    return [line.split(" ", 2)[2] for line in lines if any(word in line for word in words)]


def when(line: str) -> datetime:
    """The time of a log line."""
    return datetime.fromisoformat(line.split(" ", 1)[0])
