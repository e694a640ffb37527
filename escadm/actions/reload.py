"""``reload``: the engines' files made anew from esc-config.yaml, all of them or none."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from escadm.config import read_plan
from escadm.core.plan import Plan
from escadm.core.problem import HostFacts, Problem, Where
from escadm.core.rendered import RenderedFile
from escadm.core.specs import Secret
from escadm.paths import Paths
from escadm.render.drbd import pair_secret_in, render_drbd, with_secret_of
from escadm.render.keepalived import render_keepalived
from escadm.render.networkd import render_networkd
from escadm.render.template import is_generated
from escadm.system import keepalived, networkd
from escadm.system.drbd import parser
from escadm.system.files import ONE_AT_A_TIME, ORIGINAL
from escadm.system.host import Host


@dataclass(frozen=True, slots=True)
class Prepared:
    """A configuration that everybody accepts, not yet on disk.

    ``files`` is all that the plan asks for, ``aside`` what it no longer asks for; ``changed`` names those of both that
    commit will touch.
    """

    plan: Plan
    warnings: tuple[Problem, ...]
    files: tuple[RenderedFile, ...]
    aside: tuple[str, ...]
    changed: tuple[str, ...]


def prepare(paths: Paths, facts: HostFacts, host: Host, *, again: bool = True) -> Prepared:
    """Read the configuration, make the files, and have each engine's own parser take its own.

    A file that is on disk already, byte for byte, was taken once, but perhaps by another version, or before something
    of the engine was lost: it is asked about too, unless ``again`` is False. Raises without having touched anything.
    """
    read = read_plan(paths.config, facts)
    files = render(read.plan, paths, taken_up(paths, host))
    aside = outdated(read.plan, paths, host)
    differing = tuple(file for file in files if host.files.read(Path(file.path)) != file.text)
    for file in files if again else differing:
        ask_engine(file, read.plan, paths, facts, host)
    foreign = tuple(_told(file.path) for file in differing if _will_keep_original(file.path, host))
    changed = (*(file.path for file in differing), *aside)
    return Prepared(read.plan, (*read.warnings, *foreign), files, aside, changed)


def commit(prepared: Prepared, host: Host) -> list[str]:
    """Bring what was prepared to disk; the paths that changed. A file that others wrote is kept as NAME.orig, once.

    The agent may have taken up another secret of the nodes' keys since: the one that esc.res has now stays.
    """
    for path in prepared.changed:
        if _will_keep_original(path, host):
            host.files.keep_original(Path(path))
    with ONE_AT_A_TIME:
        files = [with_secret_of(host.files.read(Path(file.path)) or "", file) for file in prepared.files]
        return host.files.replace_all(files, [Path(path) for path in prepared.aside])


def taken_up(paths: Paths, host: Host) -> Secret | None:
    """The secret of the nodes' keys that esc.res has, which is the agent's matter: it stays as it is."""
    return pair_secret_in(host.files.read(paths.drbd_res) or "")


def render(plan: Plan, paths: Paths, pair_secret: Secret | None = None) -> tuple[RenderedFile, ...]:
    """The files of the engines that the plan uses, and what networkd has to know of the virtual address.

    ``pair_secret``: see :func:`escadm.render.drbd.render_drbd`.
    """
    files = []
    if plan.keepalived is not None:
        files.append(render_keepalived(plan.keepalived, paths))
        drop_in = networkd.drop_in_for(plan.keepalived.vip_interface, paths)
        files += [render_networkd(str(drop_in))] if drop_in is not None else []
    if plan.drbd is not None:
        files.append(render_drbd(plan.drbd, paths, pair_secret))
    return tuple(files)


def outdated(plan: Plan, paths: Paths, host: Host) -> tuple[str, ...]:
    """The files that escadm wrote for an engine that the plan no longer uses. What others wrote is theirs."""
    unused = networkd.drop_ins(paths)
    if plan.keepalived is None:
        unused.append(paths.keepalived_conf)
    else:
        used = networkd.drop_in_for(plan.keepalived.vip_interface, paths)
        unused = [path for path in unused if used not in (path, None)]
    if plan.drbd is None:
        unused.append(paths.drbd_res)
    return tuple(str(path) for path in unused if is_generated(host.files.read(path) or ""))


def ask_engine(file: RenderedFile, plan: Plan, paths: Paths, facts: HostFacts, host: Host) -> None:
    """Have the engine that the file is for take it. Raises Failed with its objections, and NotInstalled."""
    if file.path == str(paths.keepalived_conf):
        keepalived.check_config(file.text, paths, strict=facts.strict, run=host.run)
    elif plan.drbd is not None and file.path == str(paths.drbd_res):
        parser.check_config(file.text, plan.drbd.major, run=host.run)


def _will_keep_original(path: str, host: Host) -> bool:
    text = host.files.read(Path(path))
    return text is not None and not is_generated(text) and host.files.read(Path(path + ORIGINAL)) is None


def _told(path: str) -> Problem:
    return Problem(
        Where(path),
        "",
        "this file is not from escadm and will be replaced",
        f"it is kept as {path}{ORIGINAL}",
        warning=True,
    )
