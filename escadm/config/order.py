"""Names and rungs to edges: what each unit needs, what is switched off, and which loops there are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

from escadm.config.findings import Findings, did_you_mean
from escadm.config.model import Config, Drbd, Filesystem, Group, Keepalived
from escadm.config.reader import Path
from escadm.config.values import Dependency
from escadm.core.graph import below, find_cycle
from escadm.core.plan import MASTER_CONDITION, PROMOTION

_MOST_LOOPS = 10
_ENGINES = ("drbd", "keepalived")  # switched off, they are reported where the pair is looked at
RUNGS = frozenset({MASTER_CONDITION, PROMOTION})


@dataclass(frozen=True)
class Order:
    """``needs`` by unit, implied units included; ``off`` are the resources that are not started automatically."""

    needs: Mapping[str, frozenset[str]]
    off: frozenset[str]


def order(config: Config, findings: Findings) -> Order:
    """The graph of ``config``. With errors in ``findings`` it may have loops and lack edges."""
    ordering = _Ordering(config, findings)
    needs = ordering.needs()
    ordering.report_loops(needs)
    ordering.report_primary_only(needs)
    ordering.report_unprotected(needs)
    return Order(needs, ordering.off)


class _Ordering:
    def __init__(self, config: Config, findings: Findings) -> None:
        self.resources = config.resources
        self.findings = findings
        self.pair = config.keepalived.vip is not None
        self.replicated = bool(config.drbd.nodes)
        self.device = config.drbd.device
        left_out = {name for name, there in (("keepalived", self.pair), ("drbd", self.replicated)) if not there}
        self.present = [name for name in sorted(self.resources) if name not in left_out]
        self.groups = {name: self._groups_of(name) for name in self.resources}
        self.off = frozenset(
            name for name in self.resources if any(not self.resources[each].startup for each in self._lineage(name))
        )
        self.own = {name: dict(self._own(name)) for name in self.resources}

    def _lineage(self, name: str) -> list[str]:
        return [name, *self.groups[name]]

    def _groups_of(self, name: str) -> list[str]:
        """The group of ``name``, the group of that group, and so on; nothing where they go round in a circle."""
        seen = [name]
        while (group := self.resources[seen[-1]].group) is not None:
            path: Path = ("resources", seen[-1], "group")
            if group not in self.resources:
                self.findings.error(path, f"there is no group {group}", did_you_mean(group, self._group_names()))
                break
            if not isinstance(self.resources[group], Group):
                hint = f"groups are: {', '.join(self._group_names())}"
                self.findings.error(path, f"{group} is not a group", hint)
                break
            if group in seen:
                if group == name == min(seen):
                    loop = " -> ".join([*seen, group])
                    path = ("resources", name, "group")
                    self.findings.error(path, f"a group inside of itself: {loop}", "remove one of these")
                return []
            seen.append(group)
        return seen[1:]

    def _group_names(self) -> list[str]:
        return sorted(name for name, each in self.resources.items() if isinstance(each, Group))

    # --- edges --------------------------------------------------------------------------------------------

    def needs(self) -> dict[str, frozenset[str]]:
        result: dict[str, frozenset[str]] = {}
        for name in self.present:
            found = set(self.own[name]) | set(self.inherited(name))
            if isinstance(self.resources[name], Group):
                found |= set(self.members(name))
            result[name] = frozenset(found)
        if self.pair:
            result[MASTER_CONDITION] = frozenset({"keepalived"})
        if self.pair and self.replicated:
            result[PROMOTION] = frozenset({"drbd", MASTER_CONDITION})
        return result

    def inherited(self, name: str) -> dict[str, str]:
        """What ``name`` waits for because a group of it does: the need, and the group."""
        if self.resources[name].run_forever:
            return {}
        return {need: group for group in self.groups[name] for need in self.own[group]}

    def members(self, group: str) -> list[str]:
        return [name for name in self.present if self.groups[name][:1] == [group] and name not in self.off]

    def _own(self, name: str) -> Iterator[tuple[str, Path]]:
        """The units that the ``depend_on`` of ``name`` stands for, each with its place."""
        for index, dependency in enumerate(self.resources[name].depend_on):
            path = self._spot(("resources", name, "depend_on", index))
            if self._is_sound(name, dependency, path):
                target = self._unit(dependency)
                if target is not None:
                    yield target, path

    def _spot(self, path: Path) -> Path:
        """``path`` as far as the file has it, but never less than the key."""
        known = self.findings.marks.known(path)
        return known if len(known) > 2 else path[:3]

    def _is_sound(self, name: str, dependency: Dependency, path: Path) -> bool:
        other = dependency.name
        if other not in self.resources:
            self.findings.error(path, f"there is no resource {other}", did_you_mean(other, self.resources))
            return False
        if other == name:
            self.findings.error(path, f"{name} depends on itself", "remove this dependency")
            return False
        ladder = ("backup", "master") if isinstance(self.resources[other], Drbd | Keepalived) else ("running",)
        if dependency.state is not None and dependency.state not in ladder:
            hint = did_you_mean(dependency.state, ladder) or f"write {other}, or {other}:{ladder[-1]}"
            self.findings.error(path, f"{other} has no state {dependency.state} to wait for", hint)
            return False
        if other in self.off and name not in self.off and other not in _ENGINES:
            self._switched_off(name, other, path)
        return True

    def _switched_off(self, name: str, other: str, path: Path) -> None:
        culprit = next(each for each in self._lineage(other) if not self.resources[each].startup)
        what = f"{other} is switched off" if culprit == other else f"{other} is switched off with its group {culprit}"
        if self.findings.marks.known(path) == path:
            self.findings.error(path, what, f"switch {culprit} on, or remove this dependency")
        else:
            hint = f"switch {culprit} on, or give {name} a `depend_on` without {other}"
            self.findings.error(("resources", culprit, "startup"), f"{what}, but {name} depends on it", hint)

    def _unit(self, dependency: Dependency) -> str | None:
        """The unit that a dependency waits for; None where it falls away on this kind of node."""
        name, state = dependency.name, dependency.state
        if name == "drbd" and state == "master":
            return PROMOTION if self.replicated and self.pair else MASTER_CONDITION if self.pair else None
        if name == "keepalived" and state == "master":
            return MASTER_CONDITION if self.pair else None
        return name if name in self.present else None

    # --- what cannot be -----------------------------------------------------------------------------------

    def report_loops(self, needs: Mapping[str, frozenset[str]]) -> None:
        left = {name: set(lower) for name, lower in needs.items()}
        for _ in range(_MOST_LOOPS):
            loop = find_cycle(left)
            if loop is None:
                return
            path, upper, lower = self._culprit(list(pairwise(loop)))
            edges = list(pairwise([upper, *_way(left, lower, upper)]))
            reasons = list(filter(None, (self._reason(*edge) for edge in edges)))
            hint = "; ".join(reasons) or "remove one of these dependencies"
            names = " -> ".join([upper, *(each for _, each in edges)])
            self.findings.error(path, f"a loop: {names}", hint)
            left[upper].discard(lower)

    def _culprit(self, edges: list[tuple[str, str]]) -> tuple[Path, str, str]:
        """The first of the edges that the file itself has, else the first one whose group it has, with its place."""
        marks = self.findings.marks
        for upper, lower in edges:
            path = self.own.get(upper, {}).get(lower)
            if path is not None and marks.known(path) == path:
                return path, upper, lower
        for upper, lower in edges:
            path = ("resources", upper, "group")
            if marks.known(path) == path:
                return path, upper, lower
        return ("resources", edges[0][0]), *edges[0]

    def _reason(self, upper: str, lower: str) -> str:
        if upper not in self.resources or lower in self.own[upper]:
            return ""
        via = self.inherited(upper).get(lower)
        if via is not None:
            return f"{upper} waits for what its group {via} waits for"
        return f"the group {upper} waits for its member {lower}"

    def report_primary_only(self, needs: Mapping[str, frozenset[str]]) -> None:
        """What is kept up in every role cannot wait for something that is only on the primary."""
        for name in self.present:
            if not self.resources[name].run_forever:
                continue
            for need, path in self.own[name].items():
                lower = below(needs, [need])
                if RUNGS & lower and name not in lower:
                    here = path if self.findings.marks.known(path) == path else ("resources", name, "run_forever")
                    message = f"{name} is kept up in every role (run_forever), but {need} is there on the primary alone"
                    self.findings.error(here, message, "remove run_forever, or this dependency")

    def report_unprotected(self, needs: Mapping[str, frozenset[str]]) -> None:
        """DRBD's device is mounted on the primary alone; and it should be used by something."""
        if not (self.pair and self.replicated):
            return
        for name in self.present:
            each = self.resources[name]
            mounts_it = isinstance(each, Filesystem) and each.device in (None, self.device)
            if mounts_it and PROMOTION not in below(needs, [name]):
                message = f"{name} mounts DRBD's device without waiting for drbd:master"
                self.findings.error(("resources", name, "depend_on"), message, "add drbd:master to its depend_on")
        if not any(PROMOTION in lower for name, lower in needs.items() if name not in self.off):
            self.findings.warn(("resources", "drbd", "nodes"), "nothing waits for drbd:master: the volume has no user")


def _way(needs: Mapping[str, set[str]], first: str, last: str) -> list[str]:
    """The shortest way down from ``first`` to ``last``, which is known to be there."""
    ways = [[first]]
    seen = {first}
    for way in ways:
        if way[-1] == last:
            return way
        for name in sorted(needs[way[-1]] - seen):
            seen.add(name)
            ways.append([*way, name])
    raise AssertionError(f"no way from {first} to {last}")
