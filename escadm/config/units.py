"""Resources to units: how each of them is started, stopped and watched."""

from __future__ import annotations

import pwd
import re
from collections.abc import Mapping
from typing import Any

from escadm.config.findings import Findings
from escadm.config.model import AnyResource, Config, Drbd, Filesystem, Group, Keepalived, Service
from escadm.config.order import Order
from escadm.core.graph import start_order
from escadm.core.plan import MASTER_CONDITION, PROMOTION, Unit
from escadm.core.problem import HostFacts
from escadm.core.specs import DrbdSpec, FilesystemSpec, KeepalivedSpec, Kind, ProcessSpec, Spec, SystemdSpec

Engines = tuple[KeepalivedSpec | None, DrbdSpec | None]

OUR_OWN = re.compile(r"(esc_service|esc_stop|keepalived|drbd(@.*)?)\.service|drbd@.*\.target|esc\.slice")

_KINDS: Mapping[type[AnyResource], Kind] = {
    Group: Kind.GROUP,
    Drbd: Kind.DRBD,
    Filesystem: Kind.FILESYSTEM,
    Keepalived: Kind.KEEPALIVED,
}


def units(config: Config, order: Order, engines: Engines) -> dict[str, Unit]:
    """All units of the node by name, in start order. ``order`` has no loops."""
    result = {}
    for name in start_order(order.needs):
        base = name.partition(":")[0]
        resource = config.resources[base]
        implied = {MASTER_CONDITION: Kind.CONDITION, PROMOTION: Kind.PROMOTION}.get(name)
        kind = implied or _kind(resource)
        result[name] = Unit(
            name=name,
            kind=kind,
            needs=tuple(sorted(order.needs[name])),
            spec=None if implied else _spec(base, resource, engines),
            group=None if implied else resource.group,
            startup=base not in order.off,
            run_forever=resource.run_forever and not implied,
            mentioned=base in config.mentioned,
            **_chosen(resource),
        )
    return result


def _kind(resource: AnyResource) -> Kind:
    if isinstance(resource, Service):
        return Kind.PROCESS if resource.command else Kind.UNIT
    return _KINDS[type(resource)]


def _spec(name: str, resource: AnyResource, engines: Engines) -> Spec | None:
    keepalived, drbd = engines
    match resource:
        case Service():
            return _service(name, resource)
        case Filesystem():
            device = resource.device or (drbd.device if drbd else None)
            return FilesystemSpec(resource.mount_point, device, resource.fstype or "", resource.options or "")
        case Drbd():
            return drbd
        case Keepalived():
            return keepalived
    return None


def _service(name: str, service: Service) -> ProcessSpec | SystemdSpec:
    if not service.command:
        unwritten = service.unit is None and service.type is None
        return SystemdSpec(service.unit or f"{name}.service", implied=unwritten)
    option = () if service.option is None else (service.option,)
    environment = {"ESC_OPTION": service.option} if service.option is not None else {}
    return ProcessSpec(
        argv=service.command + option,
        user=service.user,
        environment=tuple((environment | service.environment).items()),
        working_directory=service.working_directory,
        stop_signal=service.stop_signal,
    )


def report_unknown_users(config: Config, findings: Findings) -> None:
    """Warn of users that this machine does not have."""
    for name, each in config.resources.items():
        if isinstance(each, Service) and each.user is not None:
            try:
                pwd.getpwnam(each.user)
            except KeyError:
                path = ("resources", name, "user")
                findings.warn(path, f"this machine has no user {each.user}", f"make it before you start {name}")


def report_systemd_units(config: Config, facts: HostFacts, findings: Findings) -> None:
    """Refuse units that escadm itself stands on, and warn of those that systemd starts too early, or never."""
    owners: dict[str, str] = {}
    for name, each in config.resources.items():
        if not isinstance(each, Service) or each.command or not (each.unit or name in config.mentioned):
            continue
        unit = each.unit or f"{name}.service"
        path = ("resources", name, "unit") if each.unit else ("resources", name)
        if OUR_OWN.fullmatch(unit):
            findings.error(path, f"{unit} cannot be a resource", "escadm runs it, or is run by it: remove the line")
        elif owners.setdefault(unit, name) != name:
            findings.error(path, f"{unit} is {owners[unit]} already", "one resource for each unit")
        elif unit in facts.masked:
            findings.warn(path, f"{unit} is masked: it cannot be started", f"systemctl unmask {unit}")
        elif unit in facts.enabled:
            hint = f"systemctl disable {facts.enabled[unit]}"
            findings.warn(path, f"{unit} begins with the machine, whatever the role and the order", hint)


def _chosen(resource: AnyResource) -> dict[str, Any]:
    """What the resource says itself, where Unit has a default."""
    keys = ("start_timeout", "stop_timeout", "ready", "check")
    return {key: value for key in keys if (value := getattr(resource, key, None)) is not None}
