"""Problems are collected, not raised one by one: an administrator sees all of them in one run."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from escadm.config.reader import Marks, Path, path_text
from escadm.core.problem import Problem, Where


class Findings:
    """The problems found so far in one file."""

    def __init__(self, marks: Marks, problems: Iterable[Problem] = ()) -> None:
        self.marks = marks
        self._problems = list(problems)
        self._broken: set[str] = set()

    def error(self, path: Path, message: str, hint: str = "", *, key: bool = False) -> None:
        """Something that must be put right. ``key``: the place is the key's, not the value's."""
        self._add(path, message, hint, key, warning=False)

    def warn(self, path: Path, message: str, hint: str = "", *, key: bool = False) -> None:
        """Something that one should know."""
        self._add(path, message, hint, key, warning=True)

    def mismatch(self, path: Path, message: str, hint: str = "", *, strict: bool) -> None:
        """What does not fit this machine: an error where the machine counts, else a warning."""
        self._add(path, message, hint, key=False, warning=not strict, of_machine=True)

    def _add(self, path: Path, message: str, hint: str, key: bool, *, warning: bool, of_machine: bool = False) -> None:
        where: Where = self.marks.key(path) if key else self.marks.value(path)
        problem = Problem(where, path_text(path), message, hint, warning, of_machine)
        if problem not in self._problems:
            self._problems.append(problem)
        if not warning and len(path) > 1:
            self._broken.add(str(path[1]))

    def has(self, path: Path) -> bool:
        """Whether there is something to be said about ``path`` already."""
        return any(each.path == path_text(path) for each in self._problems)

    @property
    def broken(self) -> frozenset[str]:
        """The resources with errors."""
        return frozenset(self._broken)

    @property
    def errors(self) -> tuple[Problem, ...]:
        return in_order(each for each in self._problems if not each.warning)

    @property
    def warnings(self) -> tuple[Problem, ...]:
        return in_order(each for each in self._problems if each.warning)


def in_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """``problems`` by their place in the file."""
    return tuple(sorted(problems, key=_place))


def _place(problem: Problem) -> tuple[Where, str, str]:
    return problem.where, problem.path, problem.message


def did_you_mean(word: str, candidates: Iterable[str]) -> str:
    """``did you mean X?`` for the nearest of ``candidates``, or nothing."""
    close = get_close_matches(word, sorted(candidates), n=1, cutoff=0.6)
    return f"did you mean {close[0]}?" if close else ""
