"""The rules of the house as tests: style, types, imports, sizes, links, and what ``status`` may load."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import grimp
import pytest

from tests.commands_page import PAGE, page

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
MODULES = sorted((ROOT / "escadm").rglob("*.py"))
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\]\(([^)\s]+)\)")

# files that are about misspelt words, and words that other tests misspell on purpose (and "to and fro")
UNSPELT = ".git,.venv,.mypy_cache,./tests/golden,./tests/unit/config/problems.txt,"
UNSPELT += "./tests/unit/config/user-data.txt,./tests/test_quality.py"
MISSPELT = "caf,comand,fro,midle,mone,notin,uptodate"

LONGEST_MODULE = 300
LONGEST_FUNCTION = 40
LONG_FUNCTIONS = {
    "escadm/cli/commands/ha.py:ha_set": "a table of options",
}
# what answers to `status` must not load: the configuration, the templates, the loop
HEAVY = {
    "yaml",
    "pydantic",
    "pydantic_core",
    "jinja2",
    "psutil",
    "asyncio",
    "rich",
    "nacl",
    "escadm.config",
    "escadm.render",
}


@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "check", "--quiet", "."],
        ["ruff", "format", "--check", "--quiet", "."],
        ["mypy"],
        ["lint-imports"],
        ["codespell", "--skip", UNSPELT, "--ignore-words-list", MISSPELT],
    ],
    ids=["ruff-check", "ruff-format", "mypy", "lint-imports", "codespell"],
)
def test_tool(command: list[str]) -> None:
    name, *arguments = command
    done = subprocess.run([BIN / name, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Nor for their types alone, of which import-linter knows nothing."""
    graph = grimp.build_graph("escadm", cache_dir=None)
    needs = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    assert needs["escadm.errors"] == {"escadm.core.problem"}, "it is imported for its types alone"
    TopologicalSorter(needs).prepare()


def test_the_reference_of_the_commands_is_their_help() -> None:
    assert PAGE.read_text() == page(), "python tests/commands_page.py writes it anew"


def _links() -> Iterator[tuple[Path, str]]:
    for file in PAGES:
        text = re.sub(r"^```.*?^```", "", file.read_text(), flags=re.DOTALL | re.MULTILINE)
        for target in LINK.findall(text):
            if not re.match(r"[a-z]+:", target):
                yield file, target


def test_every_relative_link_leads_somewhere() -> None:
    broken = []
    for file, target in _links():
        path, _, anchor = target.partition("#")
        goal = (file.parent / path) if path else file
        if not goal.exists() or (anchor and anchor not in _anchors(goal)):
            broken.append(f"{file.relative_to(ROOT)}: {target}")
    assert not broken


def _anchors(file: Path) -> set[str]:
    """The anchors of a page's headings, as forges make them."""
    headings = re.findall(r"^#+ +(.*?) *$", file.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_no_module_is_too_long() -> None:
    long = {
        str(file.relative_to(ROOT)): lines
        for file in MODULES
        if (lines := len(file.read_text().splitlines())) > LONGEST_MODULE
    }
    assert not long


def test_no_function_is_too_long() -> None:
    long = {}
    for file in MODULES:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > LONGEST_FUNCTION:
                    long[f"{file.relative_to(ROOT)}:{node.name}"] = lines
    assert set(long) == set(LONG_FUNCTIONS), long


def _loaded(*arguments: str) -> set[str]:
    """The modules that a run of the program loads."""
    environment = os.environ | {"ESCADM_ROOT": str(ROOT / "tests"), "LANG": "C.UTF-8"}
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "escadm", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}


@pytest.mark.parametrize("arguments", [["status"], ["status", "-v"], ["status", "--json"]], ids=" ".join)
def test_status_loads_nothing_heavy(arguments: list[str]) -> None:
    loaded = _loaded(*arguments)
    assert "escadm.actions.status" in loaded
    assert not {name for name in loaded if name in HEAVY or name.split(".")[0] in HEAVY}


@pytest.mark.parametrize("arguments", [["--help"], ["version"], ["start"]], ids=" ".join)
def test_help_loads_neither_configuration_nor_loop(arguments: list[str]) -> None:
    assert not {name for name in _loaded(*arguments) if name.split(".")[0] in HEAVY - {"psutil"}}


def test_heavy_modules_would_be_seen() -> None:
    assert "pydantic" in _loaded("plan")
