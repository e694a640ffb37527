"""Labs for tests: ``lab``, one for a whole module, and ``new_lab``, as many as a test wants. Failures show the logs."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from escadm.lab import Lab

NewLab = Callable[..., Lab]
SETTINGS: dict[str, Any] = {"advert": 0.2, "delay": 0.05}


class Factory:
    """Makes labs, and knows them, so that their logs can be shown."""

    def __init__(self, stack: ExitStack, directories: pytest.TempPathFactory) -> None:
        self.stack, self.directories = stack, directories
        self.labs: list[Lab] = []

    def __call__(self, **settings: Any) -> Lab:
        """A running lab with the arguments of Lab; adverts every 0.2 s and quick stand-ins if nothing else is said."""
        lab = Lab(self.directories.mktemp("lab"), **(SETTINGS | settings))
        self.stack.enter_context(lab)
        self.labs.append(lab)
        return lab


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """The pair of the manual, with stand-ins, for all tests of the module."""
    with ExitStack() as stack:
        yield Factory(stack, tmp_path_factory)()


@pytest.fixture
def new_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NewLab]:
    """A function that makes a lab for this test alone: ``new_lab(config=TEXT, standalone=True, agent=False, …)``."""
    with ExitStack() as stack:
        yield Factory(stack, tmp_path_factory)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add both nodes' logs to the report of a test that failed."""
    report = yield
    if report.failed:
        for value in getattr(item, "funcargs", {}).values():
            labs = [value] if isinstance(value, Lab) else value.labs if isinstance(value, Factory) else []
            for each in labs:
                report.sections.append(("the nodes' logs", each.logs()))
    return report
