"""What the documents say about esc-config.yaml is what the code takes."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from email.utils import parseaddr
from pathlib import Path
from textwrap import dedent, indent
from typing import Any

import pytest
import typer

from escadm.cli import app
from escadm.cli.argv import canonical
from escadm.config.compile import compile_plan
from escadm.config.load import parse
from escadm.config.model import MODELS, Drbd, Filesystem, Group, Keepalived, Resource, Service
from escadm.config.overlay import ALIASES, catalogue
from escadm.config.schema import json_schema
from escadm.core.problem import HostFacts
from escadm.paths import Paths
from tests.packaging.deb import MAINTAINER

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
REFERENCE = (ROOT / "docs/reference/esc-config.md").read_text()
BLOCK = re.compile(r"^( *)```yaml\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
ROW = re.compile(r"^\| `(\w+)` \|.*\| `([^`]+)` \|$")
PROGRAM: Any = typer.main.get_command(app.build())
PROBE = set(json_schema()["$defs"]["service"]["properties"]["check"]["properties"])
SECTIONS: dict[str, type[Resource]] = {
    "Any resource": Resource,
    "Group": Group,
    "Service": Service,
    "filesystem": Filesystem,
    "drbd": Drbd,
    "keepalived": Keepalived,
}


def _blocks() -> Iterator[object]:
    for page in PAGES:
        for number, found in enumerate(BLOCK.findall(page.read_text()), 1):
            text = dedent(found[1])
            if text.startswith("resources:"):
                yield pytest.param(text, id=f"{page.relative_to(ROOT)}-{number}")


def _section(title: str) -> str:
    return REFERENCE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def _rows(title: str) -> list[tuple[str, str]]:
    """Key and example of each row of the section's tables."""
    return [(match[1], match[2]) for line in _section(title).splitlines() if (match := ROW.match(line))]


EXAMPLES = [
    pytest.param(title, key, example, id=f"{title}-{key}") for title in SECTIONS for key, example in _rows(title)
]


@pytest.mark.parametrize("text", list(_blocks()))
def test_every_example_of_a_configuration_is_one(text: str) -> None:
    loaded = parse(text, "example.yaml")
    plan, _ = compile_plan(loaded, HostFacts({}, strict=False))
    assert not loaded.warnings
    assert plan.units


def test_the_reference_has_every_type_of_resource() -> None:
    assert set(SECTIONS.values()) == {Resource, *MODELS.values()}


@pytest.mark.parametrize("title", list(SECTIONS))
def test_the_reference_names_every_key_and_no_other(title: str) -> None:
    model = SECTIONS[title]
    own = (
        {*model.model_fields, "type"}
        if model is Resource
        else set(model.model_fields) - {*Resource.model_fields, "type"}
    )
    assert {key for key, _ in _rows(title)} == own | (PROBE if model is Service else set())


@pytest.mark.parametrize(("title", "key", "example"), EXAMPLES)
def test_the_example_of_each_key_is_taken(title: str, key: str, example: str) -> None:
    name = title if title in catalogue() else "mine"
    keys = [example]
    if title in ("Any resource", "Service") and key not in ("command", "unit", "type"):
        keys.append("command: sleep infinity")
    others = "  pgsql: {startup: true}\n"
    text = f"resources:\n{others}  {name}:\n" + indent("\n".join(keys), "    ") + "\n"
    assert name in parse(text, "example.yaml").config.mentioned


def test_the_reference_names_the_catalogue_and_the_aliases() -> None:
    names = _section("Names")
    assert not [name for name in (*catalogue(), *ALIASES) if f"`{name}`" not in names]


@pytest.mark.parametrize("model", list(SECTIONS.values()))
def test_defaults_are_told(model: type[Resource]) -> None:
    """Numbers and words that the model itself has as defaults stand in the row of their key."""
    title = next(each for each, known in SECTIONS.items() if known is model)
    for key, field in model.model_fields.items():
        default = field.default
        row = next((line for line in _section(title).splitlines() if line.startswith(f"| `{key}` |")), None)
        if row and isinstance(default, str | int | float) and default != "" and key != "type":
            shown = str(default).lower() if isinstance(default, bool) else f"{default}".removesuffix(".0")
            assert shown in row.split(" | ")[2], (key, default)


def test_the_architecture_names_every_module_of_the_agent() -> None:
    page = (ROOT / "docs/explanation/architecture.md").read_text()
    folder = ROOT / "escadm/agent"
    modules = {
        str(file.relative_to(folder).with_suffix("")) for file in folder.rglob("*.py") if file.stem != "__init__"
    }
    assert modules == {match[1] for match in re.finditer(r"^\| `([\w/]+)` \|", page, re.MULTILINE)}


def test_the_reference_names_every_code_of_a_finding() -> None:
    codes = {code for file in (ROOT / "escadm").rglob("*.py") for code in _codes(ast.parse(file.read_text()))}
    page = (ROOT / "docs/reference/status-json.md").read_text().partition("| code | subject |")[2].partition("\n\n")[0]
    told = {word for line in page.splitlines() for word in re.findall(r"`([a-z-]+)`", line.split(" | ")[0])}
    assert codes - told == set()
    assert told - codes == {"resync", "peer-disk", "out-of-sync"}, "only these are chosen elsewhere (drbd/trouble.py)"


def _codes(tree: ast.Module) -> Iterator[str]:
    """The codes of the reasons that a module makes: words, or constants of its own."""
    constants = {
        ast.unparse(target): node.value for node in tree.body if isinstance(node, ast.Assign) for target in node.targets
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Reason":
            code = node.args[0]
            for each in (code.body, code.orelse) if isinstance(code, ast.IfExp) else (code,):
                found = constants.get(ast.unparse(each), each)
                if isinstance(found, ast.Constant) and found.value:
                    yield str(found.value)


def test_the_reference_names_every_file_of_the_run_directory() -> None:
    page = (ROOT / "docs/reference/files.md").read_text()
    paths = Paths()
    properties = [name for name, each in vars(Paths).items() if isinstance(each, property) and name != "is_host"]
    missing = [
        str(path) for name in properties if (path := getattr(paths, name)).name not in page and str(path) not in page
    ]
    assert not missing


def test_what_contributors_read_names_files_that_are_there() -> None:
    """A word in capitals stands for a name of theirs."""
    text = "".join((ROOT / page).read_text() for page in ("CONTRIBUTING.md", "SECURITY.md"))
    named = set(re.findall(r"`((?:escadm|etc|docs|tests|systemd)/[^`\s]*)`", text))
    assert not {each for each in named if not any(ROOT.glob(re.sub("[A-Z]{3,}", "*", each)))}


def test_who_finds_a_weakness_writes_to_the_maintainer_of_the_package() -> None:
    assert parseaddr(MAINTAINER)[1] in (ROOT / "SECURITY.md").read_text()


def test_the_index_has_every_page() -> None:
    index = (ROOT / "docs/README.md").read_text()
    pages = [str(page.relative_to(ROOT / "docs")) for page in PAGES if page.is_relative_to(ROOT / "docs")]
    assert not [page for page in pages if page != "README.md" and f"({page})" not in index]


def _shown(text: str) -> Iterator[str]:
    """Every command line of escadm's on a page: in its blocks of code, and between backticks."""
    blocks = re.findall(r"^ *```\w*\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in block.splitlines()]
    lines += re.findall(r"^ {4}(.*)$", text, re.MULTILINE) + re.findall(r"`(escadm [^`]*)`", text)
    for line in lines:
        if re.match(r"(\$ |vm> |# |\| |- )?(\w+ )?([a-z_/.]+/|sudo )?escadm\b", line.strip()):
            yield from re.split(r"\bescadm (?=[a-z-])", re.split(r"\s{2,}#| \||;", line)[0])[1:]


def _unknown(shown: str) -> str:
    """What of a command line the program does not have; empty where it has all of it."""
    command = PROGRAM
    options = {canonical(name) for each in command.params for name in each.opts} | {"-h", "--help"}
    for word in shown.split():
        name = canonical(word.partition("=")[0].strip("[],."))
        if hasattr(command, "commands") and not word.startswith("-"):
            if word not in command.commands:
                return f"escadm {shown}: {word}"
            command = command.commands[word]
            options |= {canonical(each) for option in command.params for each in option.opts}
        elif name.startswith("--") and name not in options:
            return f"escadm {shown}: {name}"
    return ""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_shown_is_one(page: Path) -> None:
    text = page.read_text() if page.name != "commands.md" else ""
    assert not [unknown for shown in _shown(text) if (unknown := _unknown(shown))]
