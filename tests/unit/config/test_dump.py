"""What holds on a node, printed: it loads again as the same, and it tells no secret."""

from pathlib import Path

import pytest

from escadm.config.dump import dump
from escadm.config.load import load, parse
from escadm.config.secrets import masked_text

ROOT = Path(__file__).parents[3]
FILES = [
    *sorted((ROOT / "tests/golden").glob("[!b]*/esc-config.yaml")),
    *sorted((ROOT / "etc/samples").glob("*.yaml")),
]


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_it_loads_again_as_the_same(file: Path) -> None:
    loaded = load(file)
    again = parse(dump(loaded).replace("'***'", "only-for-the-two"), "f")

    assert again.config.resources == loaded.config.resources
    assert again.warnings == ()


def test_secrets_are_masked() -> None:
    text = (
        "resources:\n  drbd:\n    shared_secret: hunter2\n    net_options: {x-secret: hunter2}\n"
        "  web:\n    command: x\n    environment: {DB_PASSWORD: hunter2, API_TOKEN: 'hunter2', RATIO: 1.10}\n"
    )
    found = dump(parse(text, "f"))

    assert "hunter2" not in found
    assert found.count("***") == 4
    assert "RATIO: 1.10" in found


@pytest.mark.parametrize(
    ("text", "document", "expected"),
    [
        ("+    shared_secret: ab c # x\n", {}, "+    shared_secret: ***\n"),
        ("-    'shared_secret':  x\r\n", {}, "-    'shared_secret':  ***\r\n"),
        ("{vip: a, shared_secret: x, port: 1}", {}, "{vip: a, shared_secret: ***"),
        ("    DB_PASSWORD: x\n    option: hunter2\n", {"a": [{"pass_token": "hunter2"}]},
         "    DB_PASSWORD: ***\n    option: ***\n"),
        ("shared_secret: >-\n  hunter2\n", {"shared_secret": "hunter2"}, "shared_secret: ***\n  ***\n"),
        ("vip: 192.0.2.10\n", {}, "vip: 192.0.2.10\n"),
    ],
)  # fmt: skip
def test_a_text_without_its_secrets(text: str, document: object, expected: str) -> None:
    assert masked_text(text, document) == expected
