"""What each node of the lab gets to read: the administrator's file, changed only where one machine forces it."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.resources import files

from escadm.config.compile import compile_examined
from escadm.config.edit import set_values
from escadm.config.load import examine
from escadm.config.model import Config, Filesystem, Service
from escadm.config.overlay import canonical
from escadm.config.reader import read
from escadm.core.graph import below
from escadm.core.problem import HostFacts
from escadm.core.specs import Address
from escadm.lab.namespaces import environment
from escadm.lab.network import SEED_NODES, SEED_VIP, Network, free_hosts, make_network

FIRST_PORT = 8001
Changes = dict[tuple[str, ...], object | None]


@dataclass(frozen=True)
class Copies:
    """The network that the file asks for, each node's text, the stand-ins' ports, and what differs, for people."""

    network: Network
    ports: dict[str, int]
    texts: tuple[str, str]
    notes: tuple[str, ...]


def prepare(
    text: str | None, file: str, *, advert: float | None = None, delay: float = 0.3, standalone: bool = False
) -> Copies:
    """The nodes' copies of ``text`` (None: the seed's own configuration). Raises InvalidConfig for mistakes in it."""
    if text is None:
        text, file = (
            files("escadm.lab").joinpath("seed.yaml").read_text(encoding="utf-8"),
            "the manual's esc-config.yaml",
        )
    examined = examine(text, file)
    compile_examined(examined, HostFacts({}, strict=False))
    loaded = examined.loaded
    network = network_of(loaded.config)
    ports, changes, notes = stand_ins(loaded.config, delay)
    found, more = without_devices(loaded.config)
    changes |= found
    notes = (*(str(problem) for problem in loaded.warnings), *notes, *more)
    edited = editor(text, file)
    if standalone:
        changes |= {("resources", "keepalived", key): None for key in ("vip", "unicast_source", "unicast_peers")}
        return Copies(network, ports, (edited(changes),) * 2, notes)
    if advert is not None:
        changes["resources", "keepalived", "advert_interval"] = advert
    first, second = (edited(changes | pair(loaded.config, network, index)) for index in (0, 1))
    return Copies(network, ports, (first, second), notes)


def editor(text: str, file: str) -> Callable[[Changes], str]:
    """A function that makes changes to ``text``, under the names that it uses (``postgres`` is ``pgsql``)."""
    resources = read(text, file).value.get("resources")
    spelled = {canonical(name): name for name in resources} if isinstance(resources, dict) else {}

    def edit(changes: Changes) -> str:
        new = {(top, spelled.get(name, name), *keys): value for (top, name, *keys), value in changes.items()}
        # what changes its form, from a word to a mapping, must go before it can come
        cleared = {path: None for path, value in new.items() if value is None or path[-1] in ("command", "ready")}
        kept = {path: value for path, value in new.items() if value is not None}
        return set_values(set_values(text, file, cleared), file, kept)

    return edit


def network_of(config: Config) -> Network:
    """The network of the addresses that the configuration names; what it leaves open is chosen beside them."""
    keepalived = config.keepalived
    nodes: tuple[Address, ...] = config.drbd.nodes
    if not nodes and keepalived.unicast_source and len(keepalived.unicast_peers) == 1:
        nodes = (keepalived.unicast_source, *keepalived.unicast_peers)
    vip = keepalived.vip.address if keepalived.vip else None
    if vip is None and not nodes:
        nodes, vip = SEED_NODES, SEED_VIP
    elif vip is None:
        vip = free_hosts(nodes[0], {*nodes, *keepalived.gateway}, 1)[0]
    elif not nodes:
        nodes = free_hosts(vip, {vip, *keepalived.gateway}, 2)
    return make_network((nodes[0], nodes[1]), vip, keepalived.interface or "eth0", keepalived.gateway)


def pair(config: Config, network: Network, index: int) -> Changes:
    """What makes one node a half of the pair: without replication, its own address and its peer's."""
    keepalived = config.keepalived
    changes: Changes = {
        ("resources", "keepalived", "unicast_source"): str(network.nodes[index]),
        ("resources", "keepalived", "unicast_peers"): [str(network.nodes[1 - index])],
    }
    if keepalived.vip is None:
        changes["resources", "keepalived", "vip"] = str(network.vip)
    if keepalived.vip_interface not in (None, network.interface):
        changes["resources", "keepalived", "vip_interface"] = network.interface
    return changes


def without_devices(config: Config) -> tuple[Changes, tuple[str, ...]]:
    """No replication and no mount: the nodes share this machine's kernel and its disks."""
    changes: Changes = {}
    notes = []
    if config.drbd.nodes:
        changes["resources", "drbd", "nodes"] = None
        notes.append("drbd.nodes is left out: both nodes share one kernel, so the pair runs without replication")
    for name, resource in config.resources.items():
        if isinstance(resource, Filesystem) and resource.device:
            changes["resources", name, "device"] = None
            notes.append(f"{name}.device is left out: the lab mounts none of this machine's devices")
    return changes, tuple(notes)


def stand_ins(config: Config, delay: float) -> tuple[dict[str, int], Changes, tuple[str, ...]]:
    """Commands that say what they are, for the services that this machine cannot run, each with a port."""
    ports: dict[str, int] = {}
    changes: Changes = {}
    real = []
    for name, service in services(config):
        if service.command and is_installed(service.command[0]):
            real.append(name)
            continue
        ports[name] = FIRST_PORT + len(ports)
        changes |= stand_in(name, service, ports[name], delay)
    notes = []
    if real:
        notes.append(f"run as they are, with this machine's files: {', '.join(real)}")
    if ports:
        notes.append(f"not installed here, so stand-ins that serve HTTP after {delay:g} s: {', '.join(ports)}")
    return ports, changes, tuple(notes)


def services(config: Config) -> Iterator[tuple[str, Service]]:
    """The services that the file names, and those that they need, by name."""
    needs = {name: [need.name for need in resource.depend_on] for name, resource in config.resources.items()}
    for name in sorted(below(needs, config.mentioned)):
        resource = config.resources.get(name)
        if isinstance(resource, Service):
            yield name, resource


def is_installed(program: str) -> bool:
    """Whether a node can run it: /opt/cisco of the machine is not in the lab."""
    return not program.startswith("/opt/cisco/") and shutil.which(program, path=environment()["PATH"]) is not None


def stand_in(name: str, service: Service, port: int, delay: float) -> Changes:
    """The keys that turn a service into a stand-in; what fits the real one alone goes."""
    command = [sys.executable, "-m", "escadm.lab.standin", name, "--port", str(port), "--delay", f"{delay:g}"]
    changes: Changes = {
        ("resources", name, "command"): shlex.join(command),
        ("resources", name, "ready"): {"http": f"http://127.0.0.1:{port}/"},
    }
    unfit = [key for key in ("unit", "user", "working_directory", "check") if getattr(service, key) is not None]
    if service.type == "unit":
        unfit.append("type")
    return changes | {("resources", name, key): None for key in unfit}
