"""The mutants of a module are the mistakes that one expects, and a trial finds out who notices."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.mutants.mutate import mutants

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return a < 1", ["a < 1 -> a <= 1", "a < 1 -> a >= 1", "1 -> 2", "return a < 1 -> return None"]),
        ("return not a", ["return not a -> return None", "not a -> a"]),
        ("return a + b", ["return a + b -> return None", "a + b -> a - b"]),
        ("return None", []),
        ("return f'{a} s'", ["return f'{a} s' -> return None", "' s' -> 'XX s'"]),
        ("a = b; return None", ["a = b -> pass"]),
        ("c = b; return None", []),
        ("a.add(b)", ["a.add(b) -> pass"]),
        ("a |= b", ["a |= b -> a &= b", "a |= b -> pass"]),
        ("return any(a for a in b if a is b)", [
            "return any((a for a in b if a is b)) -> return None", "any -> all", "a is b -> True", "a is b -> False",
            "a is b -> a is not b",
        ]),
        ("if a and b: pass", [
            "a and b -> True", "a and b -> False", "a and b -> a or b", "without a", "without b",
        ]),
        ("while a: pass", ["a -> False"]),
        ("return replace(a, b=b)", ["return replace(a, b=b) -> return None", "without b=b"]),
        ("return b in (1, 1)", [
            "return b in (1, 1) -> return None", "b in (1, 1) -> b not in (1, 1)", "without 1", "without 1 (2)",
            "1 -> 2", "1 -> 2 (2)",
        ]),
    ],
)  # fmt: skip
def test_what_may_be_wrong_with_a_function(body: str, said: list[str]) -> None:
    found = list(mutants(f"def wrong(a: int = 0, b=None):\n    '''Words.'''\n    {body}\n", "wrong.py"))
    assert sorted(each.said for each in found if each.function) == sorted(said)
    assert [each.said for each in found if not each.function] == ["0 -> 1"]
    assert all(each.body().co_name == "wrong" for each in found if each.function)


def test_what_may_be_wrong_with_a_module() -> None:
    source = (
        "class A:\n    '''Words.'''\n    x: bool = True\n    def f(self) -> bool: return self.x\nB = {1: 2, 3: 4}\n"
    )
    found = [(each.function, each.line, each.said) for each in mutants(source, "wrong.py")]
    assert found == [
        ("", 3, "True -> False"),
        ("A.f", 4, "return self.x -> return True"),
        ("A.f", 4, "return self.x -> return False"),
        ("", 5, "without 1"),
        ("", 5, "without 3"),
        ("", 5, "1 -> 2"),
        ("", 5, "3 -> 4"),
        ("", 5, "2 -> 3"),
        ("", 5, "4 -> 5"),
    ]


def tried(tests: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "tests.mutants", "escadm/core/rules/data.py", "--tests", tests, "--all"]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=300)


def test_a_test_that_fails_is_named_and_one_that_does_not_look_kills_nothing() -> None:
    done = tried("tests/unit/core/test_rules_data.py")
    assert "escadm/core/rules/data.py" in done.stdout, done.stderr
    assert ": tests/unit/core/test_rules_data.py::" in done.stdout
    done = tried("tests/unit/core/test_ovf.py")
    assert " mutants, 0 killed (0.0%)" in done.stdout, done.stderr
    assert done.returncode == 1


def test_without_a_mutant_all_tests_have_to_pass(tmp_path: Path) -> None:
    wrong = tmp_path / "test_wrong.py"
    wrong.write_text("def test_wrong() -> None:\n    assert False\n")
    done = tried(str(wrong))
    assert "without a mutant" in done.stdout, done.stderr
    assert done.returncode == 1
