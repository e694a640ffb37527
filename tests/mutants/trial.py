"""Mutants on trial: each in a fork of one pytest that has loaded all tests, where those run that call the function.

For what runs when a module is loaded, the fork loads everything anew.
"""

from __future__ import annotations

import gc
import importlib.util
import os
import resource
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType, FrameType, FunctionType, ModuleType

import pytest
from hypothesis import Phase, is_hypothesis_test, settings

from tests.mutants.mutate import Mutant

LEAST, SLACK = 5.0, 4.0
"""Seconds of CPU that a trial may take in any case, and how many times more than its tests take without a mutant."""
MEMORY = 4 << 30
TIME = "the limit of time"
NOBODY = "-"
OPTIONS = ("-x", "-s", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning")


class Plugin:
    """What each pytest here has: properties are not shrunk, and the first failure is known."""

    def __init__(self) -> None:
        self.failed = NOBODY

    def pytest_sessionstart(self) -> None:
        phases = [Phase.explicit, Phase.generate]
        settings.register_profile("mutants", settings.get_profile("repeatable"), phases=phases)
        settings.load_profile("mutants")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._note(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._note(report)

    def _note(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if report.failed and self.failed == NOBODY:
            self.failed = report.nodeid

    def run(self, items: Sequence[pytest.Item]) -> str:
        """The first of the tests that fails."""
        for item, after in zip(items, [*items[1:], None], strict=True):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
            if self.failed != NOBODY:
                break
        return self.failed


class Court(Plugin):
    """All tests run once without a mutant, then ``judge`` is called; ``paths``: the modules that mutants are of.

    ``calling``: by file and function, the tests that call it. ``seconds``: of CPU that each test takes.
    """

    def __init__(self, paths: Sequence[str], judge: Callable[[Court], None]) -> None:
        super().__init__()
        self.paths, self.judge = paths, judge
        self.items: list[pytest.Item] = []
        self.calling = defaultdict[tuple[str, str], dict[str, pytest.Item]](dict)
        self.seconds: dict[str, float] = {}
        self.functions: dict[tuple[str, str], FunctionType] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self.items = session.items
        for item in self.items:
            began = time.process_time()
            for code in calls(partial(self.run, [item])):
                if code.co_filename in self.paths:
                    self.calling[code.co_filename, code.co_qualname.partition(".<locals>")[0]][item.nodeid] = item
            self.seconds[item.nodeid] = time.process_time() - began
        functions = [each for each in gc.get_objects() if isinstance(each, FunctionType)]
        self.functions = {(each.__code__.co_filename, each.__code__.co_qualname): each for each in functions}
        self.judge(self)
        return True

    def try_out(self, path: str, mutant: Mutant) -> str:
        """The test that kills it, NOBODY where none does. Who uses what a module has besides functions is not known."""
        calling = list(self.calling[path, mutant.function].values()) if mutant.function else self.items
        items = sorted(calling, key=lambda item: (_is_property(item), Path(path).stem not in item.nodeid))
        limit = LEAST + SLACK * sum(self.seconds[item.nodeid] for item in items)
        if mutant.function:
            return in_fork(lambda: self._with_function(path, mutant, items), limit) if items else NOBODY
        files = dict.fromkeys(str(item.path) for item in items)
        return in_fork(lambda: with_module(path, mutant.code, list(files)), LEAST + limit)

    def _with_function(self, path: str, mutant: Mutant, items: Sequence[pytest.Item]) -> str:
        self.functions[path, mutant.function].__code__ = mutant.body()
        return self.run(items)


def _is_property(item: pytest.Item) -> bool:
    return is_hypothesis_test(getattr(item, "obj", None))


def calls(work: Callable[[], object]) -> set[CodeType]:
    """What is called meanwhile."""
    called: set[CodeType] = set()

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            called.add(frame.f_code)

    sys.setprofile(note)
    work()
    sys.setprofile(None)
    return called


class Loader(SourceFileLoader):
    """A module that has another code than its file."""

    code: CodeType

    def get_code(self, fullname: str) -> CodeType:
        return self.code


class Finder(MetaPathFinder):
    """Finds one module of all."""

    def __init__(self, path: str, code: CodeType) -> None:
        self.name = ".".join(Path(path).relative_to(Path.cwd()).with_suffix("").parts)
        self.path, self.code = path, code

    def find_spec(self, fullname: str, path: object, target: ModuleType | None = None) -> ModuleSpec | None:
        if fullname != self.name:
            return None
        loader = Loader(fullname, self.path)
        loader.code = self.code
        return importlib.util.spec_from_loader(fullname, loader)


def with_module(path: str, code: CodeType, files: Sequence[str]) -> str:
    """The first test of the files that fails when all is loaded anew, one module with this code."""
    for name in [name for name in sys.modules if name.partition(".")[0] in ("escadm", "tests")]:
        del sys.modules[name]
    sys.meta_path.insert(0, Finder(path, code))
    plugin = Plugin()
    ended = pytest.main([*OPTIONS, *files], plugins=[plugin])
    return f"pytest: {ended}" if ended and plugin.failed == NOBODY else plugin.failed


def in_fork(work: Callable[[], str], seconds: float) -> str:
    """What ``work`` returns in a child that may take so many seconds of CPU; TIME where it takes more."""
    source, sink = os.pipe()
    if (child := os.fork()) == 0:
        try:
            resource.setrlimit(resource.RLIMIT_CPU, (int(seconds), int(seconds)))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
            os.write(sink, work().encode())
        finally:
            os._exit(0)
    os.close(sink)
    with os.fdopen(source) as told:
        said = told.read()
    if os.WIFSIGNALED(os.waitpid(child, 0)[1]):
        return TIME
    assert said, "the trial itself went wrong"
    return said
