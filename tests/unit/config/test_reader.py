"""Values as they are read: nothing becomes what nobody wrote."""

import pytest

from escadm.config.reader import path_text, read
from escadm.core.problem import Where

SCALARS = {
    "7": 7,
    "-7": -7,
    "0": 0,
    "1.5": 1.5,
    "0777": "0777",
    "0x1f": "0x1f",
    "0b11": "0b11",
    "1_000": "1_000",
    "1:30": "1:30",
    "1e3": "1e3",
    ".5": ".5",
    "+7": "+7",
    ".inf": ".inf",
    "2024-01-01": "2024-01-01",
    "9" * 30: "9" * 30,
    "=": "=",
    "yes": True,
    "On": True,
    "TRUE": True,
    "no": False,
    "off": False,
    "y": "y",
    "n": "n",
    "~": None,
    "null": None,
    "": None,
    "'no'": "no",
    '"7"': "7",
    "!!str no": "no",
    "fd00::10": "fd00::10",
    "172.16.0.0": "172.16.0.0",
    "172.16": 172.16,
    "|\n  a\n  b\n": "a\nb\n",
}


@pytest.mark.parametrize(("text", "value"), SCALARS.items())
def test_scalar(text: str, value: object) -> None:
    found = read(f"key: {text}", "f")

    assert found.problems == ()
    assert found.value["key"] == value
    assert isinstance(found.value["key"], bool) == isinstance(value, bool)


def test_a_number_with_a_point_knows_its_text() -> None:
    found = read("key: 1.10", "f").value["key"]

    assert found == 1.1
    assert getattr(found, "text", None) == "1.10"


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "\ufeff", "{}", "~"])
def test_a_file_without_anything_is_an_empty_mapping(text: str) -> None:
    found = read(text, "f")

    assert (found.value, found.problems) == ({}, ())


def test_keys_are_texts() -> None:
    found = read("{1: a, on: b, 'c': d, 2024-01-01: e, ~: f}", "f")

    assert found.value == {"1": "a", "on": "b", "c": "d", "2024-01-01": "e", "~": "f"}


def test_places() -> None:
    marks = read("a:\n  b: [x, 'y']\r\n  # é\n  c:\n", "f").marks

    assert marks.key(("a", "b")) == Where("f", 2, 3)
    assert marks.value(("a", "b", 1)) == Where("f", 2, 10)
    assert marks.key(("a", "c")) == Where("f", 4, 3)


def test_the_place_of_what_is_not_there_is_that_of_what_is_above() -> None:
    marks = read("a:\n  b: 1\n", "f").marks

    assert marks.key(("a", "b", "c", 3)) == Where("f", 2, 3)
    assert marks.key(("a", "x")) == Where("f", 1, 1)
    assert marks.known(("a", "b", "c")) == ("a", "b")
    assert marks.value(()) == Where("f", 1, 1)
    assert read("", "f").marks.value(("a",)) == Where("f")


def test_aliases_and_merges() -> None:
    text = "a: &a {x: 1, y: 2}\nb: *a\nc: {<<: *a, y: 3}\nd: {<<: [{x: 7}, *a], z: 4}\n"

    assert read(text, "f").value == {
        "a": {"x": 1, "y": 2},
        "b": {"x": 1, "y": 2},
        "c": {"x": 1, "y": 3},
        "d": {"x": 7, "y": 2, "z": 4},
    }


def test_path_text() -> None:
    assert path_text(("resources", "drbd", "nodes", 1)) == "resources.drbd.nodes[1]"
    assert path_text(()) == ""
