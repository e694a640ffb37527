"""``diff``: what ``reload`` would change on disk."""

from __future__ import annotations

import re
from difflib import unified_diff
from pathlib import Path

from escadm.actions.reload import outdated, render, taken_up
from escadm.config import read_plan
from escadm.core.problem import HostFacts
from escadm.paths import Paths
from escadm.system.host import Host

NOWHERE = "/dev/null"

SECRET = re.compile(r'^(\s*(?:shared-secret|auth_pass)\s+)("[^"\n]*"|[^\s;]+)', re.MULTILINE)


def diff(paths: Paths, facts: HostFacts, host: Host) -> str:
    """A unified diff from the files on disk to those of the configuration, secrets masked; "" = no difference."""
    plan = read_plan(paths.config, facts).plan
    wanted: dict[str, str | None] = {file.path: file.text for file in render(plan, paths, taken_up(paths, host))}
    wanted |= dict.fromkeys(outdated(plan, paths, host))
    return "".join(_one(path, host.files.read(Path(path)), text) for path, text in wanted.items())


def _one(path: str, old: str | None, new: str | None) -> str:
    is_another = bool(_secrets(old)) and _secrets(old) != _secrets(new)
    before = SECRET.sub(r"\1***", old or "").splitlines(keepends=True)
    after = SECRET.sub(r"\1*** (new)" if is_another else r"\1***", new or "").splitlines(keepends=True)
    names = (NOWHERE if old is None else path, NOWHERE if new is None else path)
    return "".join(line if line.endswith("\n") else f"{line}\n" for line in unified_diff(before, after, *names))


def _secrets(text: str | None) -> list[str]:
    return [match[2] for match in SECRET.finditer(text or "")]
