"""All processes at one moment: one look at /proc, for everybody who asks what belongs to a service.

What belongs to a service is found in /proc: the leader's session and process group, their descendants, and whatever
carries the mark ``ESCADM_UNIT`` in its environment (a daemon that moved to a session of its own still does).
"""

from __future__ import annotations

import errno
import os
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from escadm.system.alive import boot_id
from escadm.system.process import MARK, PROC, ProcessId, Stat, parse_stat
from escadm.system.scope import units_in_scopes

MOST_LISTINGS = 10
KERNEL_THREAD = 0x00200000
SETTING = b"\0" + MARK.encode() + b"="
BLOCK = 1 << 16
EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)

Index = Mapping[int, list[int]]


@dataclass(frozen=True, slots=True)
class Processes:
    """Every process by its pid, zombies included, but for the one that looked.

    ``scopes``: the processes in the scopes of each unit. ``settled``: the last listing of /proc had no process that
    was not known by then, so that nothing was forked away behind the look.
    """

    stats: Mapping[int, Stat]
    marks: Mapping[str, list[int]]
    scopes: Mapping[str, Collection[int]] = field(default_factory=dict)
    settled: bool = True
    groups: Index = field(init=False)
    sessions: Index = field(init=False)
    children: Index = field(init=False)

    def __post_init__(self) -> None:
        for name, key in (("groups", "group"), ("sessions", "session"), ("children", "parent")):
            index: dict[int, list[int]] = defaultdict(list)
            for pid, stat in self.stats.items():
                index[getattr(stat, key)].append(pid)
            object.__setattr__(self, name, dict(index))

    def members(self, mark: str, leader: ProcessId | None, also: Collection[int] = ()) -> list[ProcessId]:
        """Every living process of the service; the leader may be dead. ``also``: pids known to be its.

        A pid is not given away again while it names a group or session, so a stranger with the leader's pid means that
        the whole group is gone.
        """
        queue = [*self.marks.get(mark, ()), *also]
        if leader is not None and self._is_not_reused(leader):
            queue += [leader.pid, *self.groups.get(leader.pid, ()), *self.sessions.get(leader.pid, ())]
        ours: set[int] = set()
        while queue:
            pid = queue.pop()
            if pid not in ours and pid in self.stats and self.stats[pid].is_living:
                ours.add(pid)
                queue += self.children.get(pid, ())
        return [self._id(pid) for pid in sorted(ours)]

    def leaders(self, prefix: str, also: Mapping[int, str] = MappingProxyType({})) -> dict[str, ProcessId]:
        """Session leaders whose mark begins with ``prefix``, by the rest of the mark: what a killed agent left running.

        The oldest of each name: a service's children may lead sessions of their own (PostgreSQL's all do). ``also``:
        pids whose names are known without a mark.
        """
        named = dict(also)
        for mark, pids in self.marks.items():
            if mark.startswith(prefix):
                named |= dict.fromkeys(pids, mark.removeprefix(prefix))
        found: dict[str, ProcessId] = {}
        for pid, name in named.items():
            stat = self.stats.get(pid)
            if name and stat and stat.session == pid and stat.is_living:
                process = self._id(pid)
                found[name] = min(found.get(name, process), process, key=lambda each: (each.start, each.pid))
        return found

    def group_of(self, process: ProcessId) -> int:
        """The process's group at that moment."""
        return self.stats[process.pid].group

    def _id(self, pid: int) -> ProcessId:
        return ProcessId(pid, self.stats[pid].start, boot_id())

    def _is_not_reused(self, leader: ProcessId) -> bool:
        stat = self.stats.get(leader.pid)
        return leader.boot == boot_id() and (stat is None or stat.start == leader.start)


def look(*, scoped: bool = False) -> Processes:
    """Look at /proc, and with ``scoped`` at the scopes of our units.

    It is listed again until nothing is there that has not been read: else what is forked by a process that has not been
    read yet, and that ends before it is, would not be seen. Raises OSError where a process cannot be read although it
    may be there (no descriptor is free, say): a look that is not complete says nothing.
    """
    stats: dict[int, Stat] = {}
    marks: dict[int, str] = {}
    blank: set[int] = set()
    settled = False
    for _ in range(MOST_LISTINGS):
        fresh = {int(name) for name in os.listdir(PROC) if name.isdigit()} - stats.keys() - {os.getpid()}  # noqa: PTH208 - half the time
        blank = _read(fresh | blank, stats, marks) & fresh
        if not fresh:
            settled = True
            break
    scopes = units_in_scopes() if scoped else {}
    _read({pid for pids in scopes.values() for pid in pids} - stats.keys() - {os.getpid()}, stats, marks)
    marked: dict[str, list[int]] = defaultdict(list)
    for pid, mark in marks.items():
        marked[mark].append(pid)
    return Processes(stats, dict(marked), scopes, settled)


def _read(pids: Collection[int], stats: dict[int, Stat], marks: dict[int, str]) -> set[int]:
    """Take these processes in; those that have no environment at all: they may be about to become another program."""
    blank = set()
    for pid in pids:
        data = _content(pid, "stat")
        if data is None:
            stats.pop(pid, None)
            continue
        stats[pid] = stat = parse_stat(pid, data)
        if stat.flags & KERNEL_THREAD or not stat.is_living:
            continue
        environment = _content(pid, "environ")
        mark = _mark_in(environment) if environment else None
        if mark is not None:
            marks[pid] = mark
        elif environment == b"":
            blank.add(pid)
    return blank


def _content(pid: int, name: str) -> bytes | None:
    """The file of the process; None where it is gone, or is not for us to read."""
    try:
        descriptor = os.open(f"{PROC}/{pid}/{name}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            blocks = [os.read(descriptor, BLOCK)]
            while len(blocks[-1]) == BLOCK:
                blocks.append(os.read(descriptor, BLOCK))
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno in EXHAUSTED:
            raise
        return None
    return b"".join(blocks)


def _mark_in(environment: bytes) -> str | None:
    at = (b"\0" + environment).find(SETTING)
    if at < 0:
        return None
    return environment[at + len(SETTING) - 1 :].partition(b"\0")[0].decode(errors="replace")
