"""The man pages name what the program has, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from escadm import errors
from escadm.cli import app
from escadm.config.load import parse
from escadm.config.model import Resource, Service
from escadm.config.overlay import ALIASES, catalogue
from escadm.paths import ROOT_VARIABLE, Paths
from tests.man_pages import SOURCES
from tests.unit.test_docs import PROBE, PROGRAM, SECTIONS

PAGES = sorted(SOURCES.glob("*.md"))
ESCADM = (SOURCES / "escadm.8.md").read_text()
CONFIG = (SOURCES / "esc-config.yaml.5.md").read_text().replace("\\", "")
TERMS = re.compile(r"\*\*([^*]+)\*\*")
MODELS = {title.upper(): model for title, model in SECTIONS.items()}


def _section(page: str, title: str) -> str:
    return page.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def _definitions(text: str) -> Iterator[tuple[set[str], str]]:
    """The names in bold, and the text, of each item of a definition list."""
    for heads, meaning in re.findall(r"^(\S.*)\n: ((?:.+\n)+)", text, re.MULTILINE):
        yield set(TERMS.findall(heads)), meaning


def _terms(text: str) -> list[str]:
    return [name for names, _ in _definitions(text) for name in sorted(names)]


def _commands(command: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    for name, child in command.commands.items():
        if hasattr(child, "commands"):
            yield from _commands(child, f"{path}{name} ")
        else:
            yield f"{path}{name}", child


COMMANDS = dict(_commands(PROGRAM))
WORDS = dict(each.split("\n", 1) for each in f"{_section(ESCADM, 'COMMANDS')}\n".split("\n### ")[1:])


def _options(command: Any) -> set[str]:
    """All names of all options. The parser knows neither --help nor the completion's as one of a command's own."""
    return {name for each in command.params if each.param_type_name == "option" for name in each.opts}


@pytest.mark.parametrize("source", PAGES, ids=lambda source: source.stem)
def test_a_page_is_called_what_it_is(source: Path) -> None:
    name, section = source.stem.rsplit(".", 1)
    text = source.read_text()
    assert text.startswith(f'% "{name.upper()}" "{section}" ')
    assert re.match(rf"{re.escape(name)} - \S", _section(text, "NAME").strip())


def test_escadm_names_every_command_and_no_other() -> None:
    assert set(WORDS) == set(COMMANDS)


@pytest.mark.parametrize("name", list(COMMANDS))
def test_a_command_has_its_options_and_no_other(name: str) -> None:
    words = WORDS[name]
    assert f"**escadm {name}**" in words
    assert set(_terms(words)) == _options(COMMANDS[name])
    synopsis = next(line for line in words.splitlines() if line)
    arguments = [each for each in COMMANDS[name].params if each.param_type_name == "argument"]
    names = [(each.metavar or each.name.upper()).strip("[].") for each in arguments]
    assert not [each for each in names if f"*{each}*" not in synopsis]


def test_escadm_names_the_global_options_and_no_other() -> None:
    helps = app._SETTINGS["help_option_names"]
    assert isinstance(helps, list)
    assert set(_terms(_section(ESCADM, "OPTIONS"))) == _options(PROGRAM) | set(helps)


def test_escadm_names_every_exit_code_and_no_other() -> None:
    ours = {each.exit_code for each in vars(errors).values() if isinstance(each, type) and hasattr(each, "exit_code")}
    codes = ours | {0, app.DEFECT, app.INTERRUPTED, app.READER_GONE}
    assert [int(each) for each in _terms(_section(ESCADM, "EXIT STATUS"))] == sorted(codes)


def test_escadm_names_every_path() -> None:
    files, paths = _section(ESCADM, "FILES"), Paths()
    properties = [name for name, each in vars(Paths).items() if isinstance(each, property) and name != "is_host"]
    known = {getattr(paths, name) for name in properties}
    assert not [str(each) for each in known if str(each) not in files and f"**{each.name}" not in files]
    units = [
        each.name for each in (SOURCES.parents[1] / "systemd").glob("esc*") if each.suffix in (".service", ".slice")
    ]
    assert not [each for each in units if each not in files]


def test_escadm_names_its_variables() -> None:
    named = _terms(_section(ESCADM, "ENVIRONMENT"))
    assert ROOT_VARIABLE in named
    code = "".join(each.read_text() for each in Path(app.__file__).parents[1].rglob("*.py"))
    assert not [name for name in named if f'"{name}"' not in code]


@pytest.mark.parametrize("title", list(MODELS))
def test_the_configuration_names_every_key_and_no_other(title: str) -> None:
    model, shared = MODELS[title], {*Resource.model_fields, "type"}
    own = shared if model is Resource else set(model.model_fields) - shared
    assert set(_terms(_section(CONFIG, title))) == own | (PROBE if model is Service else set())


@pytest.mark.parametrize("title", list(MODELS))
def test_the_configuration_tells_defaults(title: str) -> None:
    meanings = {name: text for names, text in _definitions(_section(CONFIG, title)) for name in names}
    for key in meanings.keys() & MODELS[title].model_fields.keys():
        default = MODELS[title].model_fields[key].default
        if isinstance(default, str | int | float) and default != "" and key != "type":
            shown = str(default).lower() if isinstance(default, bool) else f"{default}".removesuffix(".0")
            assert shown in re.sub(r"[*\s]+", " ", meanings[key]).partition("Default: ")[2], key


def test_the_configuration_names_the_catalogue_and_the_aliases() -> None:
    names = TERMS.findall(_section(CONFIG, "NAMES"))
    assert {*catalogue(), *ALIASES} <= set(names)
    assert set(_terms(_section(CONFIG, "NAMES"))) == set(catalogue())


@pytest.mark.parametrize("example", re.findall(r"^((?: {4}.*\n)+)", CONFIG, re.MULTILINE))
def test_the_examples_of_a_configuration_are_some(example: str) -> None:
    loaded = parse(example.replace("\n    ", "\n")[4:], "example.yaml")
    assert not loaded.warnings
