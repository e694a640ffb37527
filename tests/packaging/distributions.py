"""What escadm depends on, as the environment has it: exactly the locked versions, and only what they need to run."""

from __future__ import annotations

import importlib.metadata
import re
import shutil
from pathlib import Path

from packaging.requirements import Requirement

NOT_SHIPPED = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"}
"""What pip notes about its own work: other bytes in each environment, and wrong where the package puts the files."""


def distributions(name: str = "escadm") -> dict[str, importlib.metadata.Distribution]:
    """What ``name`` needs to run, whatever those need included, itself not."""
    found: dict[str, importlib.metadata.Distribution] = {}
    todo = [name]
    while todo:
        for line in importlib.metadata.distribution(todo.pop()).requires or ():
            needed = Requirement(line)
            if needed.name not in found and (needed.marker is None or needed.marker.evaluate({"extra": ""})):
                found[needed.name] = importlib.metadata.distribution(needed.name)
                todo.append(needed.name)
    return found


def copy_files(distribution: importlib.metadata.Distribution, root: Path) -> None:
    """The files of a distribution that lie beside each other in site-packages: modules, data, licences, metadata."""
    for file in distribution.files or ():
        source = Path(str(file.locate()))
        unwanted = file.parts[0] == ".." or "__pycache__" in file.parts or file.name in NOT_SHIPPED
        if unwanted or not source.is_file():
            continue
        target = root / file
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


def unlocked(found: dict[str, importlib.metadata.Distribution], constraints: Path) -> list[str]:
    """One line for each distribution whose version is not the locked one."""
    lines = [line.partition("==") for line in constraints.read_text().split()]
    locked = {_normal(name): version for name, _, version in lines}
    return [
        f"{name} is {each.version} here, {locked.get(_normal(name), 'not')} in {constraints.name}"
        for name, each in sorted(found.items())
        if locked.get(_normal(name)) != each.version
    ]


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
