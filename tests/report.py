"""A plugin of pytest, ``-p tests.report --report FILE``: what came of each test, as JSON.

A list of tests: ``test``, ``outcome`` (passed, failed, skipped), ``seconds``, ``release`` (the code name of the Debian
that it was about: its parameter ``release``, or else this machine's own).
"""

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.vm.build import release


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--report", type=Path, metavar="FILE", help="where to write what came of each test")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """The release goes with the report, which may come from another process."""
    report = yield
    parameters = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
    report.user_properties.append(("release", parameters.get("release") or release()))
    return report


def pytest_configure(config: pytest.Config) -> None:
    file = config.getoption("--report")
    if file and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Report(file))


class _Report:
    def __init__(self, file: Path) -> None:
        self.file = file
        self.tests: dict[str, dict[str, str | float]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Set-up, call and tear-down are one test, which has failed when one of them has."""
        new: dict[str, str | float] = {"test": report.nodeid, "outcome": "passed", "seconds": 0.0, "release": ""}
        test = self.tests.setdefault(report.nodeid, new)
        test["seconds"] = float(test["seconds"]) + report.duration
        test["release"] = str(dict(report.user_properties).get("release", release()))
        if report.failed or (report.skipped and test["outcome"] == "passed"):
            test["outcome"] = report.outcome

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A file that cannot be read is a failed test."""
        if report.failed:
            self.tests[report.nodeid] = {
                "test": report.nodeid,
                "outcome": "failed",
                "seconds": 0.0,
                "release": release(),
            }

    def pytest_sessionfinish(self) -> None:
        self.file.write_text(json.dumps(list(self.tests.values())))
