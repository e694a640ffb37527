"""Folders with an esc-config.yaml, and beside it every file that must come out of it.

Where errors.txt is in a folder, the configuration is refused with exactly that text. What the machine looks like
stands in facts.json; without it, nothing is known of the machine and nothing is held against it.
"""

import json
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path

import pytest

from escadm.actions.plan import view
from escadm.actions.reload import render
from escadm.config import PlanRead, parse_plan
from escadm.config.load import read_text
from escadm.core.problem import HostFacts
from escadm.errors import InvalidConfig
from escadm.paths import Paths
from escadm.system import keepalived
from escadm.system.drbd import parser

CASES = sorted(path.parent for path in Path(__file__).parent.glob("*/esc-config.yaml"))
INPUTS = frozenset({"esc-config.yaml", "facts.json"})


def facts(case: Path) -> HostFacts:
    """The machine of a case."""
    file = case / "facts.json"
    if not file.exists():
        return HostFacts({}, strict=False)
    found = json.loads(file.read_text())
    interfaces = {
        name: tuple(ip_address(each) for each in addresses) for name, addresses in found["interfaces"].items()
    }
    return HostFacts(interfaces, strict=found["strict"], drbd_major=found.get("drbd_major", 9))


def read(case: Path) -> PlanRead:
    """The plan of a case; places are told below the name esc-config.yaml."""
    return parse_plan(read_text(case / "esc-config.yaml"), "esc-config.yaml", facts(case))


def plan_text(case: Path) -> str:
    return view(read(case).plan).to_text()


def warnings_text(case: Path) -> str:
    return "".join(f"{problem}\n" for problem in read(case).warnings)


def errors_text(case: Path) -> str:
    try:
        read(case)
    except InvalidConfig as error:
        return f"{error}\n"
    return ""


def engine_files(case: Path) -> dict[str, str]:
    """The files of the engines that a case uses, by name."""
    return {Path(file.path).name: file.text for file in render(read(case).plan, Paths())}


OUTPUTS: dict[str, Callable[[Path], str]] = {
    "plan.txt": plan_text,
    "warnings.txt": warnings_text,
    "errors.txt": errors_text,
    "keepalived.conf": lambda case: engine_files(case).get("keepalived.conf", ""),
    "esc.res": lambda case: engine_files(case).get("esc.res", ""),
}
"""The name of a file in a case -> what makes its text of the case."""


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_case_says_what_comes_of_it(case: Path) -> None:
    names = {each.name for each in case.iterdir()} - INPUTS

    assert names <= OUTPUTS.keys()
    if names != {"errors.txt"}:
        assert names == {"plan.txt", "warnings.txt", *engine_files(case)}


@pytest.mark.parametrize(
    "file",
    [file for case in CASES for file in sorted(case.iterdir()) if file.name in OUTPUTS],
    ids=lambda file: f"{file.parent.name}/{file.name}",
)
def test_golden(file: Path) -> None:
    assert OUTPUTS[file.name](file.parent) == file.read_text(encoding="utf-8")


ACCEPTED_BY: dict[str, Callable[[str, HostFacts], None]] = {
    "keepalived.conf": lambda text, _: keepalived.check_config(text, Paths(), strict=False),
    "esc.res": lambda text, machine: parser.check_config(text, machine.drbd_major),
}


@pytest.mark.parametrize(
    "file",
    [file for case in CASES for file in sorted(case.iterdir()) if file.name in ACCEPTED_BY],
    ids=lambda file: f"{file.parent.name}/{file.name}",
)
def test_the_engines_own_parsers_take_it(file: Path) -> None:
    ACCEPTED_BY[file.name](file.read_text(encoding="utf-8"), facts(file.parent))
