from string import ascii_uppercase

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from escadm.core.environment_file import assignment, parse, updated
from escadm.core.specs import Secret

NAMES = st.text(ascii_uppercase + "_", min_size=1, max_size=6)
VALUES = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=20)
TRICKY = st.text("AB=\"'\\ \t\n\r#;$`x", max_size=24)


def values(text: str) -> dict[str, str]:
    return {name: value.reveal() for name, value in parse(text).variables.items()}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("A=1\nB=2", {"A": "1", "B": "2"}),
        ("# A=1\n; B=2\n\n  C = 3 4 \n", {"C": "3 4"}),
        ("A=1\nA=2\n", {"A": "2"}),
        ("A=\n", {"A": ""}),
        ('A="x y "\n', {"A": "x y "}),
        ("A=\"x\" 'y'z\n", {"A": "xyz"}),
        (r"A='\$x\"'", {"A": r"\$x\""}),
        (r'A="\$\`\"\\\n"', {"A": '$`"\\\\n'}),
        ('A="one\ntwo"\nB=3\n', {"A": "one\ntwo", "B": "3"}),
        ('A="one\\\ntwo"\n', {"A": "onetwo"}),
        ("A=one \\\ntwo \n", {"A": "one two"}),
        ("A=one\\ \n", {"A": "one "}),
        ("A=x#y;z\n", {"A": "x#y;z"}),
        ("A=1\r\nB=2\r\n", {"A": "1", "B": "2"}),
    ],
)
def test_it_is_read_as_systemd_reads_it(text: str, expected: dict[str, str]) -> None:
    """Each of these was held against systemd 252's own reader, load_env_file()."""
    assert values(text) == expected


@pytest.mark.parametrize(
    ("text", "stray"),
    [
        ("nothing\nA=1\n", [1]),
        ("A=1\n\n=2\n", [3]),
        ("export A=1\n", [1]),
        ("1A=2", [1]),
        ("A=1\nB", [2]),
        ("#\nA=1\n", []),
    ],
)
def test_what_is_no_variable_is_passed_over_and_its_line_is_known(text: str, stray: list[int]) -> None:
    assert parse(text).stray == stray


@pytest.mark.parametrize("text", ['A="x', "A='x\nB=1\n", "A=x\\", 'A="x\\'])
def test_a_text_that_ends_within_a_value_is_open(text: str) -> None:
    assert parse(text).is_open
    assert not parse("A=x\n" + assignment("B", text)).is_open


def test_values_do_not_show_themselves() -> None:
    found = parse("A=hunter2\n")
    assert "hunter2" not in repr(found)
    assert found.variables == {"A": Secret("hunter2")}


def test_every_other_line_stays() -> None:
    before = "# ours\nA=1 # no comment\n\n;\nB='2'\nC=3"
    after = updated(before, {"B": "new\n$", "D": "4"})
    assert after == '# ours\nA=1 # no comment\n\n;\nB="new\n\\$"\nC=3\nD="4"\n'


def test_the_last_of_two_is_the_one_that_changes() -> None:
    assert updated("A=1\nA=2\n", {"A": "3"}) == 'A=1\nA="3"\n'


def test_a_comment_that_ends_with_a_backslash_does_not_swallow_what_comes_after_it() -> None:
    """systemd before 254 goes on with the comment in the next line."""
    assert updated("# see C:\\\n", {"A": "1"}) == '# see C:\\\n\nA="1"\n'


@given(st.dictionaries(NAMES, VALUES))
def test_what_is_written_is_what_is_read(variables: dict[str, str]) -> None:
    text = updated("", variables)
    assert values(text) == variables
    assert updated(text, variables) == text


@given(TRICKY, st.dictionaries(st.sampled_from(["A", "B", "LONGER"]), VALUES, min_size=1))
def test_a_change_touches_nothing_else(before: str, variables: dict[str, str]) -> None:
    assume(not parse(before).is_open)
    assert values(updated(before, variables)) == values(before) | variables
