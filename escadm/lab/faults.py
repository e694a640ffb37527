"""What can go wrong in the lab, and how it is put right: one function for each kind."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import psutil

from escadm.errors import Failed, Usage
from escadm.lab import namespaces
from escadm.lab.network import Network
from escadm.lab.node import Node
from escadm.lab.state import State

GONE_TIMEOUT = 10.0


class Lab(Protocol):
    """As much of the lab as can break; see lab.py."""

    @property
    def network(self) -> Network: ...

    @property
    def nodes(self) -> tuple[Node, Node]: ...

    def require(self) -> State: ...

    def node(self, name: str) -> Node: ...

    def holders(self) -> list[Node]: ...

    def power_on(self, name: str) -> None: ...


def power_cut(lab: Lab, node: Node) -> str:
    """Every process of the node dies at once; /run is lost."""
    node.up.end()
    # the kernel removes the cable's other end after the processes, perhaps just now; the current is off at once
    unplug = ["ip", "-force", "link", "delete", node.port]
    namespaces.call(lab.require().outer.enter(unplug, network_only=True), ok=(0, 1, 2))
    return f"{node.hostname}: power cut"


def shutdown(lab: Lab, node: Node) -> str:
    """The node is shut down: its agent is told to end, then the power goes off."""
    node.up.end(signal.SIGTERM, timeout=60.0)
    return f"{node.hostname}: shut down"


def power_on(lab: Lab, node: Node) -> str:
    """The node boots, with the files that it had and an empty /run."""
    lab.power_on(node.name)
    return f"{node.hostname}: power on"


def set_link(lab: Lab, node: Node, word: str) -> str:
    """Both ends of the node's cable see the carrier go or come."""
    namespaces.call(lab.require().outer.enter(["ip", "link", "set", node.port, word], network_only=True))
    return f"{node.hostname}: link {word}"


def link_down(lab: Lab, node: Node) -> str:
    """The node's port of the switch goes down: the node sees its carrier go."""
    return set_link(lab, node, "down")


def link_up(lab: Lab, node: Node) -> str:
    """The node's port of the switch comes up again."""
    return set_link(lab, node, "up")


def isolate(lab: Lab, node: Node, word: str) -> None:
    """Set whether the node's port talks to other isolated ports; the client's is not isolated."""
    command = ["ip", "link", "set", node.port, "type", "bridge_slave", "isolated", word]
    namespaces.call(lab.require().outer.enter(command, network_only=True))


def partition(lab: Lab, node: Node) -> str:
    """The nodes no longer hear each other; links stay up, and the client and the gateways hear both."""
    isolate(lab, node, "on")
    return f"{node.hostname}: does not hear its peer"


def heal(lab: Lab, node: Node) -> str:
    """The nodes hear each other again."""
    isolate(lab, node, "off")
    return f"{node.hostname}: hears its peer"


def kill(process: psutil.Process) -> None:
    """SIGKILL, and wait until the process is gone."""
    process.kill()
    process.wait(GONE_TIMEOUT)


def running_agent(node: Node) -> psutil.Process:
    """The agent; Failed when it does not run."""
    agent = node.agent()
    if agent is None:
        raise Failed(f"cannot signal the agent of {node.hostname}: it does not run")
    return agent


def agent_kill(lab: Lab, node: Node) -> str:
    """SIGKILL to the agent alone; it is started again."""
    kill(running_agent(node))
    return f"{node.hostname}: agent killed"


def agent_hang(lab: Lab, node: Node) -> str:
    """SIGSTOP to the agent."""
    running_agent(node).suspend()
    return f"{node.hostname}: agent hangs"


def agent_resume(lab: Lab, node: Node) -> str:
    """SIGCONT to the agent."""
    running_agent(node).resume()
    return f"{node.hostname}: agent goes on"


def agent_stop(lab: Lab, node: Node) -> str:
    """What `service esc_service stop` does: TERM to the agent; it is not started again."""
    node.up.send(signal.SIGUSR2)
    return f"{node.hostname}: agent told to end"


def agent_start(lab: Lab, node: Node) -> str:
    """What `service esc_service start` does."""
    node.up.send(signal.SIGUSR1)
    return f"{node.hostname}: agent started"


def keepalived_kill(lab: Lab, node: Node) -> str:
    """SIGKILL to keepalived's parent process."""
    keepalived = node.keepalived()
    if keepalived is None:
        raise Failed(f"cannot kill keepalived on {node.hostname}: it does not run")
    kill(keepalived)
    return f"{node.hostname}: keepalived killed"


def vip_remove(lab: Lab, node: Node) -> str:
    """Somebody takes the VIP off the interface behind everybody's back."""
    interface = lab.network.interface
    for address in node.addresses(interface):
        if address.startswith(f"{lab.network.vip}/"):
            node.exec(["ip", "address", "delete", address, "dev", interface])
            return f"{node.hostname}: {address} removed from {interface}"
    raise Failed(f"cannot remove the VIP from {node.hostname}: it is not there")


def service_kill(lab: Lab, node: Node, name: str) -> str:
    """SIGKILL to the leading process of a service."""
    resources = {resource["name"]: resource for resource in node.status()["resources"]}
    if name not in resources:
        raise Failed(
            f"cannot kill {name} on {node.hostname}: there is no such resource", f"there are {', '.join(resources)}"
        )
    if not resources[name]["pgid"]:
        raise Failed(f"cannot kill {name} on {node.hostname}: it is {resources[name]['state']}")
    node.exec(["kill", "-KILL", str(resources[name]["pgid"])])
    return f"{node.hostname}: {name} killed"


@dataclass(frozen=True)
class Kind:
    """A fault: what it does to a node, and to which node when nobody says: the primary, or both."""

    act: Callable[[Lab, Node], str]
    both: bool = False


KINDS = {
    "power-cut": Kind(power_cut),
    "power-on": Kind(power_on, both=True),
    "shutdown": Kind(shutdown),
    "link-down": Kind(link_down),
    "link-up": Kind(link_up, both=True),
    "partition": Kind(partition, both=True),
    "heal": Kind(heal, both=True),
    "agent-kill": Kind(agent_kill),
    "agent-hang": Kind(agent_hang),
    "agent-resume": Kind(agent_resume, both=True),
    "agent-stop": Kind(agent_stop),
    "agent-start": Kind(agent_start, both=True),
    "keepalived-kill": Kind(keepalived_kill),
    "vip-remove": Kind(vip_remove),
}
SERVICE_KILL = "service-kill"


def primary(lab: Lab) -> Node:
    """The one node that has the VIP."""
    holders = lab.holders()
    if len(holders) != 1:
        raise Usage(f"which node? {'both have' if holders else 'neither has'} the VIP", "name it: a or b")
    return holders[0]


def apply(lab: Lab, kind: str, name: str | None, service: str | None) -> str:
    """Do it. Without a node: to the primary, or to both nodes where that is what the kind is about."""
    if kind != SERVICE_KILL and kind not in KINDS:
        raise Usage(f"there is no fault {kind!r}", f"there are {', '.join([*KINDS, SERVICE_KILL])}")
    if (kind == SERVICE_KILL) != (service is not None):
        raise Usage(f"{SERVICE_KILL} takes a node and the name of a service, the other faults a node alone")
    lab.require()
    if kind == SERVICE_KILL and service is not None:
        return service_kill(lab, lab.node(name) if name else primary(lab), service)
    if name:
        chosen = [lab.node(name)]
    elif KINDS[kind].both:
        chosen = [node for node in lab.nodes if node.powered != (kind == "power-on")]
    else:
        chosen = [primary(lab)]
    return "\n".join(KINDS[kind].act(lab, node) for node in chosen)
