"""``pair``, ``installed``, ``ready``: two virtual machines for one test, from a saved state; ``measured``: figures.

The report of a test that failed has the machines' logs.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator

import pytest

from tests.vm.pair import Pair, prepare
from tests.vm.replicated import make_crossed_pair

Measured = Callable[[str, float], None]
FIGURES = pytest.StashKey[list[str]]()


@pytest.fixture(scope="session")
def cached() -> None:
    """What is made once is there, so that no test's own time has it in it."""
    prepare()


@pytest.fixture
def pair(cached: None) -> Iterator[Pair]:
    """Both machines run, idle; everything that the test did to them is forgotten afterwards."""
    with Pair() as machines:
        yield machines


@pytest.fixture
def installed(cached: None) -> Iterator[Pair]:
    """As ``pair``, and both have the package."""
    with Pair(ready=Pair.install) as machines:
        yield machines


@pytest.fixture
def ready(cached: None) -> Iterator[Pair]:
    """A healthy replicated pair with a table ``rows``; see tests/vm/replicated.py."""
    with Pair(ready=make_crossed_pair) as machines:
        yield machines


@pytest.fixture
def measured(request: pytest.FixtureRequest) -> Measured:
    """``measured("power cut to VIP", 2.4)``: a line at the end of the run."""
    figures = request.config.stash.setdefault(FIGURES, [])
    return lambda what, seconds: figures.append(f"{what}: {seconds:.1f} s")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print what was measured."""
    figures = config.stash.get(FIGURES, [])
    if figures:
        terminalreporter.section("measured on the virtual machines")
        for figure in figures:
            terminalreporter.write_line(figure)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add both machines' logs to the report of a test that failed."""
    report = yield
    if report.failed and report.when == "call":
        for value in getattr(item, "funcargs", {}).values():
            if isinstance(value, Pair):
                report.sections.append(("the machines' logs", value.logs()))
    return report
