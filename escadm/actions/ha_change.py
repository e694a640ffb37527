"""What ``ha set`` and ``ha unset`` have in common: a change that is checked as a whole before it is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from escadm.config import parse_plan
from escadm.config.edit import KeyPath, set_values
from escadm.config.load import text_if_any
from escadm.config.reader import read
from escadm.config.secrets import masked_diff
from escadm.core.change import PAIRED_STEPS, ChangeClass, classify
from escadm.core.plan import Plan
from escadm.core.problem import HostFacts, Problem
from escadm.errors import EscadmError, InvalidConfig
from escadm.paths import Paths
from escadm.system import disk
from escadm.system.control import UNIT
from escadm.system.files import write_atomically
from escadm.system.systemd import unit_exists

KEEPALIVED_KEYS = (
    "vip",
    "vip_interface",
    "interface",
    "virtual_router_id",
    "advert_interval",
    "unicast_source",
    "unicast_peers",
    "gateway",
)
HA_KEYS: tuple[KeyPath, ...] = (
    *(("resources", "keepalived", key) for key in KEEPALIVED_KEYS),
    ("resources", "drbd", "nodes"),
)

FIRST_INSTALLATION = (
    "escadm reload",
    "escadm drbd init",
    "run the same three on the other node",
    "escadm drbd init --primary, on one of them",
    "escadm restart, on both",
)


@dataclass(frozen=True, slots=True)
class HaSetResult:
    """What changed: ``changes`` as (key, old, new), None where there is no value; ``diff`` without secrets."""

    changes: tuple[tuple[str, str | None, str | None], ...]
    diff: str
    written: bool
    next_steps: tuple[str, ...]
    warnings: tuple[Problem, ...] = ()


def change(paths: Paths, facts: HostFacts, wanted: Mapping[KeyPath, object], dry_run: bool) -> HaSetResult:
    """Make the configuration say ``wanted``. Raises InvalidConfig, and writes nothing, if it then had errors."""
    file = str(paths.config)
    before = text_if_any(paths.config) or ""
    after = set_values(before, file, wanted)
    plan = parse_plan(after, file, facts)
    old, new = read(before, file).value, read(after, file).value
    changes = tuple(
        (".".join(path[1:]), _text(_at(old, path)), _text(_at(new, path)))
        for path in wanted
        if _at(old, path) != _at(new, path)
    )
    diff = masked_diff(before, after, file, [old, new])
    written = not dry_run and before != after and write_atomically(paths.config, after)
    old_plan = _plan_or_none(before, file, facts)
    is_first = _has_no_meta_data(paths, old_plan, plan.plan)
    steps: tuple[str, ...] = ()
    if changes:
        effect, network = _next_steps(old_plan, plan.plan, is_first=is_first), _network_step(old_plan, plan.plan)
        steps = (*effect, *_boot_step(paths, facts), *network)
    return HaSetResult(changes, diff, written, steps, plan.warnings)


def _plan_or_none(text: str, file: str, facts: HostFacts) -> Plan | None:
    try:
        return parse_plan(text, file, facts).plan
    except InvalidConfig:
        return None


def _has_no_meta_data(paths: Paths, old: Plan | None, new: Plan) -> bool:
    """Whether the new plan has a volume that its first installation is yet to come for."""
    if new.drbd is None:
        return False
    if not paths.is_host:
        return old is None or old.drbd is None
    try:
        return disk.signature(new.drbd.disk) != "drbd"
    except EscadmError:  # whatever is wrong with the disk, drbd init tells it
        return True


def _next_steps(old: Plan | None, new: Plan, *, is_first: bool) -> tuple[str, ...]:
    """What brings the change into effect, by its class."""
    differences = classify(old, new) if old is not None else ()
    kinds = {each.kind for each in differences}
    if is_first:
        steps: tuple[str, ...] = FIRST_INSTALLATION
    elif old is None or not differences or ChangeClass.RESTART in kinds:
        steps = ("escadm reload", "escadm restart", "run the same on the other node")
    elif ChangeClass.PAIRED in kinds:
        steps = ("the same escadm ha set on the other node", *PAIRED_STEPS)
    else:
        steps = ("escadm reload", "run the same on the other node")
    return steps


def _boot_step(paths: Paths, facts: HostFacts) -> tuple[str, ...]:
    """What makes the node begin with the machine, where systemd has the unit and does not start it."""
    is_due = unit_exists(UNIT, paths) and UNIT not in facts.enabled
    return (f"systemctl enable {UNIT.removesuffix('.service')}, on both",) if is_due else ()


def _network_step(old: Plan | None, new: Plan) -> tuple[str, ...]:
    """What a new virtual address needs of the network."""
    vip = new.keepalived.vip if new.keepalived else None
    if vip is None or (old is not None and old.keepalived is not None and old.keepalived.vip == vip):
        return ()
    return (f"add the virtual address {vip} to the allowed address pairs of both machines",)


def _at(value: object, path: KeyPath) -> object:
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _text(value: object) -> str | None:
    if value is None:
        return None
    return " ".join(str(each) for each in value) if isinstance(value, list) else str(value)
