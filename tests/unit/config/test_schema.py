"""The schema that ships, and the samples beside it."""

from pathlib import Path

import jsonschema
import pytest
import yaml

from escadm.config import read_plan
from escadm.config.model import MODELS
from escadm.config.schema import json_schema, json_schema_text
from escadm.core.problem import HostFacts

ROOT = Path(__file__).parents[3]
SHIPPED = ROOT / "etc/esc-config.schema.json"
ANEW = "from escadm.config.schema import json_schema_text as text; print(text(), end='')"
SAMPLES = sorted((ROOT / "etc/samples").glob("*.yaml"))
CASES = sorted(path.parent for path in (ROOT / "tests/golden").glob("*/esc-config.yaml"))


def complaints(text: str) -> list[str]:
    validator = jsonschema.Draft202012Validator(json_schema())
    return [error.json_path for error in validator.iter_errors(yaml.safe_load(text))]


def test_the_schema_that_ships_is_that_of_the_models() -> None:
    assert SHIPPED.read_text(encoding="utf-8") == json_schema_text(), f"make it anew: python -c {ANEW!r}"
    jsonschema.Draft202012Validator.check_schema(json_schema())


def test_the_schema_has_every_type_of_resource() -> None:
    assert json_schema()["$defs"].keys() == {model.__name__.lower() for model in MODELS.values()}


def test_every_key_is_described() -> None:
    for model in json_schema()["$defs"].values():
        named = {name for name, each in model["properties"].items() if "description" not in each}
        assert named <= {"type"}


@pytest.mark.parametrize("file", SAMPLES, ids=lambda file: file.name)
def test_samples_load_and_fit_the_schema(file: Path) -> None:
    assert complaints(file.read_text(encoding="utf-8")) == []
    assert read_plan(file, HostFacts({}, strict=False)).plan.units
    assert file.read_text(encoding="utf-8").startswith("# yaml-language-server: $schema=../esc-config.schema.json\n")


@pytest.mark.parametrize(
    "case", [case for case in CASES if not (case / "errors.txt").exists()], ids=lambda case: case.name
)
def test_good_cases_fit_the_schema(case: Path) -> None:
    assert complaints((case / "esc-config.yaml").read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "text",
    [
        "resource: {}",
        "resources: []",
        "resources: {drbd: {node: []}}",
        "resources: {drbd: {nodes: [192.0.2.11]}}",
        "resources: {keepalived: {virtual_router_id: 256}}",
        "resources: {keepalived: {vip: 10.1}}",
        "resources: {mona: {startup: 'false'}}",
        "resources: {mona: {ready: {tcp: 80, http: 'http://h/'}}}",
        "resources: {mona: {type: processq}}",
        "resources: {web: {type: group, command: x}}",
        "resources: {web: {vip: 192.0.2.10}}",
    ],
)
def test_mistakes_that_an_editor_can_see(text: str) -> None:
    assert complaints(text) != []
