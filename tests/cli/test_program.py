"""The program as a whole: help, version, wrong usage, and that nothing ends in a traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from escadm import __version__
from escadm.paths import Paths
from tests.cli.program import PROGRAM, Outcome, environment, escadm

VERBS = (
    "agent config diff drbd dump ha health lab ovf plan reload restart start status stop switchover version".split()  # noqa: SIM905
)


@pytest.mark.parametrize("words", [["version"], ["--version"]])
def test_version(words: list[str]) -> None:
    assert escadm(*words) == Outcome(0, f"escadm {__version__}\n")


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_help_lists_every_command(words: list[str]) -> None:
    outcome = escadm(*words)
    assert (outcome.code, outcome.err) == (0, "")
    listed = [line.split()[0] for line in outcome.out.partition("Commands:\n")[2].splitlines()]
    assert sorted(listed) == VERBS


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (["statsu"], "no such command 'statsu'. Did you mean 'status', 'start', 'restart'?", "try: escadm --help"),
        (["xyzzy"], "no such command 'xyzzy'", "try: escadm --help"),
        (["ha", "sett"], "no such command 'sett'. Did you mean 'set', 'unset'?", "try: escadm ha --help"),
        (["--rot", "x"], "no such option: --rot. Did you mean --root?", "try: escadm --help"),
        (["status", "--jsn"], "no such option: --jsn. Did you mean --json?", "try: escadm status --help"),
        (["status", "x"], "got unexpected extra argument(s) (x)", "try: escadm status --help"),
        (["--root"], "option --root needs a value", "write it as --root=VALUE or --root VALUE"),
        (
            ["ha", "set", "--kad_vip=", "--kad_vif=", "eth0"],
            "option --kad_vip needs a value",
            "write it as --kad_vip=VALUE or --kad_vip VALUE",
        ),
        (["plan", "--json", "--dot"], "--json and --dot do not go together", "choose one of them"),
        (
            ["--root", "/nonexistent/dir", "status"],
            "the root /nonexistent/dir is not a directory",
            "create it first, or leave --root out",
        ),
        (
            ["status", "--root", "/dev/null"],
            "the root /dev/null is not a directory",
            "create it first, or leave --root out",
        ),
    ],
)  # fmt: skip
def test_wrong_usage(words: list[str], message: str, hint: str) -> None:
    assert escadm(*words) == Outcome(2, "", f"escadm: {message}\n  {hint}\n")


def test_a_root_in_the_environment_is_held_to_the_same() -> None:
    outcome = escadm("status", ESCADM_ROOT="/nonexistent/dir")
    assert outcome.err.startswith("escadm: the root /nonexistent/dir is not a directory\n")
    assert outcome.code == 2


@pytest.mark.parametrize("family", ["ha", "config", "lab", "ovf"])
def test_a_family_without_a_verb_shows_its_verbs(family: str) -> None:
    outcome = escadm(family)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith(f"Usage: escadm {family} ")


BROKEN = """
import sys
import escadm.actions.status as actions
def broken(paths):
    secret = "hunter2"
    raise ZeroDivisionError("oops")
actions.status = broken
from escadm.cli.app import main
main()
"""


def run_broken(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", BROKEN, *words], capture_output=True, text=True, env=environment(), timeout=60
    )


def test_a_defect_of_ours_says_so() -> None:
    done = run_broken("status", "--root", "/usr")
    assert (done.returncode, done.stdout) == (70, "")
    assert done.stderr == (
        "escadm: a defect of ours: ZeroDivisionError: oops\n"
        "  run it again with --debug for the traceback, and report it\n"
    )


@pytest.mark.parametrize("words", [["--debug", "status"], ["status", "--debug"]])
def test_a_defect_of_ours_has_its_traceback_on_request(words: list[str]) -> None:
    done = run_broken(*words)
    assert done.returncode == 70
    assert "Traceback" in done.stderr
    assert done.stderr.endswith("ZeroDivisionError: oops\n")


def test_a_defect_of_ours_leaves_its_traceback_in_the_log_of_root(root: Path) -> None:
    log = Paths(root).log
    log.parent.mkdir(parents=True)
    log.write_text("before\n")
    done = run_broken("status", "--root", str(root))
    told, kept = "the log has the traceback: report it", ["ZeroDivisionError: oops"]
    if os.geteuid() != 0:
        told, kept = "run it again with --debug for the traceback, and report it", ["before"]
    assert done.stderr == f"escadm: a defect of ours: ZeroDivisionError: oops\n  {told}\n"
    assert log.read_text().splitlines()[-1:] == kept
    assert log.read_text().startswith("before\n")


@pytest.mark.parametrize("words", [["--help"], ["version"], ["status", "--help"]])
def test_a_full_disk_is_told(words: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*PROGRAM, *words], stdout=full, stderr=subprocess.PIPE, text=True, env=environment(), timeout=60
        )
    assert (done.returncode, done.stderr) == (1, "escadm: cannot write the output: no space left on device\n")


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&-"])
def test_closed_streams_are_no_defect(root: Path, closed: str) -> None:
    done = subprocess.run(
        ["bash", "-c", f'"$@" {closed}', "bash", *PROGRAM, "--root", str(root), "status"],
        capture_output=True, text=True, env=environment(), timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (3, "")
