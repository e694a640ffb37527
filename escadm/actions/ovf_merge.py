"""``ovf merge``: the properties of the OVF environment to where they belong, once, all of them or none."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from enum import Enum, auto
from hashlib import sha256

from escadm.actions.ovf_draft import ROOT_ONLY, Draft, draft
from escadm.config.properties import Properties, take
from escadm.core.environment_file import assignment
from escadm.core.ovf import parse
from escadm.core.problem import HostFacts, Problem
from escadm.core.rendered import RenderedFile
from escadm.paths import Paths
from escadm.system import hostname, secrets
from escadm.system.files import read, replace_all
from escadm.system.host import Host
from escadm.system.ovf import Search, find, from_file


class Outcome(Enum):
    """How it went."""

    NOTHING = auto()  # there is no OVF environment
    ALREADY = auto()  # this one has been merged
    ANOTHER = auto()  # one has been merged, and it was not this one
    MERGED = auto()  # it is merged now; of a dry run: it would be


@dataclass(frozen=True, slots=True)
class MergeResult:
    """``origin``: where the environment comes from. ``warnings`` are for stderr. No secret is in any of it."""

    outcome: Outcome
    origin: str = ""
    draft: Draft | None = None
    warnings: tuple[Problem | str, ...] = ()


def ovf_merge(
    paths: Paths, facts: HostFacts, host: Host, file: str | None = None, *, again: bool = False, dry_run: bool = False
) -> MergeResult:
    """Merge the environment in ``file`` (``-`` for stdin), by default the one of this machine.

    Raises InvalidEnvironment or InvalidConfig, with nothing changed, where it or what would come of it is wrong. The
    mark of a merge is written last: one that was cut off is done once more, with the same result.
    """
    search = find(paths, host.run) if file is None else Search(from_file(file))
    found = search.document
    if found is None:
        return MergeResult(Outcome.NOTHING, warnings=search.warnings)
    properties = take(parse(found.data, found.origin, found.encoding))
    with nullcontext() if dry_run else secrets.changing(paths):
        mark = _mark(properties)
        merged = read(paths.ovf_merged)
        if merged is not None and not again:
            outcome = Outcome.ALREADY if merged == mark else Outcome.ANOTHER
            return MergeResult(outcome, found.origin, warnings=search.warnings)
        work = draft(paths, facts, properties, again=again)
        if not dry_run:
            replace_all([*work.files, RenderedFile(str(paths.ovf_merged), mark, ROOT_ONLY)], keep=False)
            if paths.is_host and work.hostname is not None and not hostname.take_up(work.hostname):
                work.notes.append("the host name is that of the file at the next boot: it may not be changed here now")
    return MergeResult(Outcome.MERGED, found.origin, work, (*search.warnings, *work.warnings))


def _mark(properties: Properties) -> str:
    """What tells this environment from another one, and nothing of what it says."""
    lines = sorted(assignment(name, value) for name, value in properties.variables.items())
    return f"sha256:{sha256(chr(10).join(lines).encode()).hexdigest()}\n"
