"""``health``: probes now, rather than telling what the agent last saw."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NoReturn

from escadm.actions.diff import diff
from escadm.actions.drbd_trouble import both_copies, check_replication
from escadm.actions.role_word import check_role_word
from escadm.actions.status import status
from escadm.config import read_plan
from escadm.core.plan import Plan, Unit
from escadm.core.probes import Exec, Http, Tcp
from escadm.core.problem import HostFacts
from escadm.core.specs import Address, FilesystemSpec, KeepalivedSpec, ProcessSpec, SystemdSpec
from escadm.core.states import Role
from escadm.core.status import ResourceStatus, Snapshot
from escadm.errors import EscadmError, Failed, NotInstalled, NotPermitted
from escadm.paths import Paths
from escadm.system import keepalived, secrets
from escadm.system.alive import command_line
from escadm.system.host import Host
from escadm.system.mount import mounted_device
from escadm.system.net import has_address
from escadm.system.probe import probe
from escadm.system.process import command_name, parent_of, pids_of, service_environment
from escadm.system.systemd import state

ENOUGH_SHARE = 0.05
ENOUGH_BYTES = 1 << 30
PING_LIMIT = 3.0
AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One finding. ``passed`` None = it could not be checked; ``detail`` says why, or what was found."""

    name: str
    passed: bool | None
    detail: str


@dataclass(frozen=True, slots=True)
class HealthReport:
    """``heading`` names the kind of node, ``snapshot`` is that of ``status``, ``checks`` were made just now.

    ``copies``: lines about both copies of the data, where somebody has to choose between them.
    """

    heading: str
    snapshot: Snapshot
    checks: tuple[CheckResult, ...]
    copies: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether nothing that could be checked is wrong."""
        return all(check.passed is not False for check in self.checks)


@dataclass(frozen=True, slots=True)
class _Check:
    """``look`` returns what it found to be right, or raises: Failed = wrong, NotPermitted and such = cannot tell."""

    name: str
    look: Callable[[], str]


def health(paths: Paths, facts: HostFacts, host: Host) -> HealthReport:
    """Look at everything that makes this node healthy, all at the same time and each with a limit."""
    snapshot = status(paths)
    checks = [_Check("status", partial(_verdict, snapshot))]
    plan = None
    try:
        plan = read_plan(paths.config, facts).plan
    except EscadmError as error:
        checks.append(_Check("configuration", partial(_raise, error)))
    else:
        checks.append(_Check("configuration", partial(str, paths.config)))
        checks += _node_checks(plan, snapshot, paths, facts, host)
        checks.append(_Check("written files", partial(_files, paths, facts, host)))
    checks.append(_Check("keepalived_state", partial(check_role_word, plan, paths)))
    checks += _space(plan, paths)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        results = tuple(pool.map(_carry_out, checks))
    copies = both_copies(snapshot, facts, host) if plan is not None and plan.drbd is not None else ()
    return HealthReport(_heading(plan, snapshot.role), snapshot, results, copies)


def _carry_out(check: _Check) -> CheckResult:
    try:
        return CheckResult(check.name, True, check.look())
    except (NotPermitted, NotInstalled) as error:
        return CheckResult(check.name, None, error.message)
    except PermissionError as error:
        return CheckResult(check.name, None, f"{error.filename}: {error.strerror}")
    except EscadmError as error:
        return CheckResult(check.name, False, error.message)
    except OSError as error:
        return CheckResult(check.name, False, str(error))


def _raise(error: EscadmError) -> NoReturn:
    raise error


def _heading(plan: Plan | None, role: Role | None) -> str:
    if plan is None:
        return "ESC (STANDALONE)" if role is Role.STANDALONE else f"ESC HA ({role.value if role else 'UNKNOWN'})"
    if not plan.is_pair:
        return "ESC (STANDALONE)"
    shown = role.value if role and role is not Role.STANDALONE else "UNKNOWN"
    return f"ESC HA ({shown})" + (" with DRBD" if plan.drbd is not None else "")


def _verdict(snapshot: Snapshot) -> str:
    if snapshot.verdict.severity:
        raise Failed(snapshot.verdict.text)
    return snapshot.verdict.text


def _node_checks(plan: Plan, snapshot: Snapshot, paths: Paths, facts: HostFacts, host: Host) -> Iterator[_Check]:
    spec = plan.keepalived
    if spec is not None:
        yield _Check("keepalived", partial(_keepalived, paths))
        yield _Check("keepalived of others", partial(_others, paths))
        yield _Check("keepalived configuration", partial(_accepted, paths, facts, host))
        yield _Check("virtual address", partial(_virtual_address, spec, snapshot.role))
        for peer in spec.unicast_peers:
            yield _Check(f"peer {peer}", partial(_ping, peer, facts, host))
        for gateway in spec.gateway:
            yield _Check(f"gateway {gateway}", partial(_ping, gateway, facts, host))
    if plan.drbd is not None:
        yield _Check("replication", partial(check_replication, snapshot, facts, host))
        yield _Check("fence-peer", partial(_fence_peer, paths))
    up = {resource.name: resource for resource in snapshot.resources if resource.state == "running"}
    for unit in plan.units.values():
        if isinstance(unit.spec, FilesystemSpec) and unit.spec.device is not None:
            yield _Check(unit.name, partial(_mount, unit.spec, snapshot.role, paths))
        elif unit.name in up and isinstance(unit.spec, ProcessSpec | SystemdSpec):
            yield _Check(unit.name, partial(_service, unit, unit.spec, up[unit.name], paths))


def _others(paths: Paths) -> str:
    """A keepalived that the agent did not start stands for the same VIP behind its back. What ours has forked has its
    name too, until it is in a pid file or another program; one that only tests a file stands for nothing."""
    ours = set()
    for file in (paths.keepalived_pid, paths.vrrp_pid):
        with suppress(OSError, ValueError):
            ours.add(int(file.read_text()))
    found = [pid for pid in pids_of("keepalived") if pid not in ours and parent_of(pid) not in ours]
    standing = [pid for pid in found if any(words := command_line(pid)) and keepalived.TEST not in words]
    if standing:
        raise Failed(f"another one runs (pid {standing[0]}): systemctl disable --now keepalived")
    return "none"


def _keepalived(paths: Paths) -> str:
    try:
        pid = int(paths.keepalived_pid.read_text())
    except (FileNotFoundError, ValueError):
        raise Failed("it is not running") from None
    if command_name(pid) != "keepalived":
        raise Failed(f"it is not running (it was process {pid})")
    return f"process {pid}"


def _accepted(paths: Paths, facts: HostFacts, host: Host) -> str:
    """Whether keepalived could start again by the file that is on disk; one that runs has read it long ago."""
    text = host.files.read(paths.keepalived_conf)
    if text is None:
        raise Failed(f"there is no {paths.keepalived_conf}: escadm reload writes it")
    try:
        keepalived.check_config(text, paths, strict=facts.strict, run=host.run)
    except Failed as error:
        raise Failed(" ".join(f"{error.message}; {error.hint}".rstrip("; ").split())) from None
    return f"keepalived accepts {paths.keepalived_conf}"


def _virtual_address(spec: KeepalivedSpec, role: Role | None) -> str:
    here = has_address(spec.vip_interface, spec.vip)
    place = f"{spec.vip} is {'' if here else 'not '}on {spec.vip_interface}"
    if role is None:
        raise NotPermitted(f"{place}, and the role is not known")
    if here is not (role is Role.MASTER):
        raise Failed(f"{place}, and the role is {role.value}")
    return place


def _fence_peer(paths: Paths) -> str:
    program = paths.fence_peer
    if not os.access(program, os.X_OK):
        told = f"{program} is not there, or cannot be run: a primary that loses its peer would wait for ever"
        raise Failed(told) if paths.is_host else NotPermitted(told)
    return f"{program} can be run"


def _mount(spec: FilesystemSpec, role: Role | None, paths: Paths) -> str:
    point = paths.below(spec.mount_point)
    device = mounted_device(point)
    found = f"{point} has {device} mounted" if device else f"{point} is not mounted"
    if role is None:
        raise NotPermitted(f"{found}, and the role is not known")
    if (device is not None) is not (role in (Role.MASTER, Role.STANDALONE)):
        raise Failed(f"{found}, and the role is {role.value}")
    return found


def _service(unit: Unit, spec: ProcessSpec | SystemdSpec, resource: ResourceStatus, paths: Paths) -> str:
    """The unit's own check, or its readiness where that can be asked again, or that it lives."""
    question = unit.check.probe if unit.check else unit.ready
    if not isinstance(question, Tcp | Http | Exec):
        return _active(spec.unit) if isinstance(spec, SystemdSpec) else _living(resource)
    if isinstance(question, Exec) and os.geteuid() != 0:
        raise NotPermitted("only root may run its check")
    variables = secrets.read(paths) if isinstance(question, Exec) else {}
    asker = secrets.with_secrets(spec if isinstance(spec, ProcessSpec) else ProcessSpec(()), variables)
    environment = service_environment(asker, "", {})
    wrong = probe(question, user=asker.user, environment=environment, working_directory=asker.working_directory)
    if wrong is not None:
        raise Failed(secrets.hidden(wrong, variables))
    return "answers"


def _active(unit: str) -> str:
    now = state(unit)
    if not now.is_active:
        raise Failed(f"{unit} is {now.active}, says systemd")
    return f"{unit} is {now.active}"


def _living(resource: ResourceStatus) -> str:
    if not resource.pgid:
        raise NotPermitted("it has no process group to look for")
    try:
        os.killpg(resource.pgid, 0)
    except ProcessLookupError:
        raise Failed(f"its process group {resource.pgid} is gone") from None
    except PermissionError:
        pass  # it is somebody else's, and so it is there
    return f"process group {resource.pgid} lives"


def _ping(address: Address, facts: HostFacts, host: Host) -> str:
    if not facts.strict:
        raise NotPermitted("a tree beside the machine asks nobody on the network")
    answered = host.run(
        ["ping", "-n", "-q", "-c", "3", "-i", "0.2", "-W", "1", str(address)], timeout=PING_LIMIT, ok=(0, 1)
    )
    if answered.code:
        raise Failed("does not answer a ping")
    return "answers"


def _files(paths: Paths, facts: HostFacts, host: Host) -> str:
    difference = diff(paths, facts, host)
    if difference:
        raise Failed("they are not those of the configuration: see escadm diff, then escadm reload")
    return "are those of the configuration"


def _space(plan: Plan | None, paths: Paths) -> Iterator[_Check]:
    units = plan.units.values() if plan else ()
    places = [paths.below(unit.spec.mount_point) for unit in units if isinstance(unit.spec, FilesystemSpec)]
    seen: set[int] = set()
    for place in (*places, paths.log_directory, paths.config.parent):
        if place.is_dir() and place.stat().st_dev not in seen:
            seen.add(place.stat().st_dev)
            yield _Check(f"space on {place}", partial(_free, place))


def _free(place: Path) -> str:
    found = os.statvfs(place)
    free, total = found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize
    text = f"{free / (1 << 30):.1f} GiB of {total / (1 << 30):.1f} GiB free"
    if total and free < ENOUGH_BYTES and free / total < ENOUGH_SHARE:
        raise Failed(text)
    return text
