"""``pair``, ``installed``, ``ready``, ``scene``: two machines for one test; ``measured``: figures.

A test that asks for machines runs once for each Debian release; with the mark ``one_release`` on this machine's own.
The report of a test that failed has the machines' logs.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator

import pytest

from tests.releases import BOOKWORM, TRIXIE
from tests.vm import build
from tests.vm.image import image
from tests.vm.packages import packages
from tests.vm.pair import Pair
from tests.vm.replicated import Scene, make_crossed_pair
from tests.vm.uml import NoKernel

Measured = Callable[[str, float], None]
FIGURE = "measured"
RELEASES = (BOOKWORM, TRIXIE)
NO_KERNEL: list[str] = []
"""Why there are no machines: what was tried once is not tried for each test."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each test of machines once for each release that it is for."""
    if "release" in metafunc.fixturenames:
        once = metafunc.definition.get_closest_marker("one_release") is not None
        metafunc.parametrize("release", [build.release()] if once else RELEASES)


@pytest.fixture
def cached(release: str) -> str:
    """The release, once all is there that is made once: so that no test's own time has it in it."""
    if NO_KERNEL:
        pytest.fail(NO_KERNEL[0], pytrace=False)
    try:
        image(release)
    except NoKernel as error:
        NO_KERNEL.append(str(error))
        pytest.fail(str(error), pytrace=False)
    packages(release)
    return release


@pytest.fixture
def pair(cached: str) -> Iterator[Pair]:
    """Both machines run, idle; everything that the test did to them is forgotten afterwards."""
    with Pair(cached) as machines:
        yield machines


@pytest.fixture
def installed(cached: str) -> Iterator[Pair]:
    """As ``pair``, and both have the package."""
    with Pair(cached, ready=Pair.install) as machines:
        yield machines


@pytest.fixture
def ready(cached: str) -> Iterator[Pair]:
    """A healthy replicated pair with a table ``rows``; see tests/vm/replicated.py."""
    with Pair(cached, ready=make_crossed_pair) as machines:
        yield machines


@pytest.fixture
def scene(ready: Pair) -> Iterator[Scene]:
    """As ``ready``, with a client that writes all the time."""
    with Scene(ready) as scene:
        yield scene


@pytest.fixture
def measured(request: pytest.FixtureRequest) -> Measured:
    """``measured("power cut to VIP", 2.4)``: a line at the end of the run."""
    release = request.getfixturevalue("release")
    told = request.node.user_properties
    return lambda what, seconds: told.append((FIGURE, f"{release}: {what}: {seconds:.1f} s"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those that take the longest begin first, so that none of them is left alone at the end."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what was measured, here or in another process."""
    reports = [each for outcome in ("passed", "failed") for each in terminalreporter.getreports(outcome)]
    figures = [text for report in reports for name, text in report.user_properties if name == FIGURE]
    if figures:
        terminalreporter.section("measured on the machines")
        for figure in dict.fromkeys(figures):
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
