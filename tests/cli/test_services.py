"""``start``, ``stop``, ``restart``, ``switchover`` and ``reload``: a request to the agent, and what one sees of it."""

import json
import os
import signal
from pathlib import Path

import pytest

from escadm.paths import Paths
from tests.cli.program import Outcome, agent, background, escadm, on_terminal, plain, stop_process

ACKNOWLEDGED = {"say": ""}
NOT_RUNNING = "escadm: the agent is not running\n  start it with: escadm agent\n"
STARTING = [
    ACKNOWLEDGED,
    {"say": "waiting for keepalived"},
    {"unit": "pgsql", "state": "starting", "detail": ""},
    {"unit": "pgsql", "state": "running", "detail": ""},
    {"unit": "mona", "state": "starting", "detail": ""},
    {"unit": "mona", "state": "failed", "detail": "exited with code 3"},
]
DONE = {"done": True, "code": 0, "message": "started", "hint": ""}
FAILED = {"done": True, "code": 1, "message": "mona has failed: exited with code 3", "hint": "see its log"}
LINES = "waiting for keepalived\npgsql: starting\npgsql: running\nmona: starting\nmona: failed: exited with code 3\n"


def asked(root: Path) -> object:
    return json.loads((Paths(root).run / "request").read_text())


def test_start_in_a_pipe_prints_each_event_as_a_line(root: Path) -> None:
    with agent(root, answers=[*STARTING, DONE]):
        assert escadm("--root", root, "start") == Outcome(0, LINES + "started\n")
    assert asked(root) == {"do": "start", "resources": []}


def test_the_first_failure_is_told_on_stderr(root: Path) -> None:
    with agent(root, answers=[*STARTING, FAILED]):
        outcome = escadm("--root", root, "start", "pgsql", "mona")
    assert outcome == Outcome(1, LINES, "escadm: mona has failed: exited with code 3\n  see its log\n")
    assert asked(root) == {"do": "start", "resources": ["pgsql", "mona"]}


def test_the_exit_code_is_the_agents(root: Path) -> None:
    with agent(root, answers=[ACKNOWLEDGED, FAILED | {"code": 6}]):
        assert escadm("--root", root, "reload").code == 6


@pytest.mark.parametrize(
    ("words", "request_"),
    [
        (["stop", "pgsql"], {"do": "stop", "resources": ["pgsql"]}),
        (["restart"], {"do": "restart", "resources": []}),
        (["switchover"], {"do": "switchover", "force": False}),
        (["switchover", "--force"], {"do": "switchover", "force": True}),
        (["reload"], {"do": "reload", "force": False}),
        (["reload", "--force"], {"do": "reload", "force": True}),
    ],
)
def test_what_the_agent_is_asked(root: Path, words: list[str], request_: object) -> None:
    with agent(root, answers=[ACKNOWLEDGED, DONE]):
        assert escadm("--root", root, *words) == Outcome(0, "started\n")
    assert asked(root) == request_


def test_start_on_a_terminal_has_one_line_for_each_unit(root: Path) -> None:
    with agent(root, answers=[*STARTING, DONE]):
        shown = on_terminal("--root", root, "start")
    assert (shown.code, shown.err) == (0, "")
    last = plain(shown.out).rpartition("waiting for keepalived\n")[2].splitlines()
    assert [line.strip() for line in last[-3:]] == ["pgsql: running", "mona: failed: exited with code 3", "started"]


@pytest.mark.parametrize("setting", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_start_on_a_terminal_without_colour(root: Path, setting: dict[str, str]) -> None:
    with agent(root, answers=[*STARTING, DONE]):
        shown = on_terminal("--root", root, "start", columns=80, **setting)
    assert "\x1b[3" not in shown.out
    assert plain(shown.out).endswith("started\n")


@pytest.mark.parametrize("verb", ["start", "restart", "switchover"])
def test_without_an_agent(root: Path, verb: str) -> None:
    assert escadm("--root", root, verb) == Outcome(7, "", NOT_RUNNING)


def test_a_stop_where_nothing_runs_is_done(root: Path) -> None:
    assert escadm("--root", root, "stop") == Outcome(0, "stopped already\n")


def test_a_stop_of_resources_where_nothing_runs_is_done_if_there_are_such(root: Path) -> None:
    Paths(root).config.parent.mkdir(parents=True, exist_ok=True)
    Paths(root).config.write_text("resources:\n  web:\n    command: sleep 600\n")
    assert escadm("--root", root, "stop", "web", "postgres") == Outcome(0, "stopped already\n")
    unknown = "escadm: there is no resource wbe\n  see: escadm plan\n"
    assert escadm("--root", root, "stop", "web", "wbe") == Outcome(2, "", unknown)


def test_a_stop_where_a_dead_agent_has_left_something(root: Path) -> None:
    Paths(root).run.mkdir(parents=True, exist_ok=True)
    Paths(root).state.write_text("{}")
    left = NOT_RUNNING.replace("not running", "not running, but what it ran may still be there")
    assert escadm("--root", root, "stop") == Outcome(7, "", left)


def test_an_agent_that_is_stopped(root: Path) -> None:
    with agent(root, answers=[]) as pid:
        stop_process(pid)
        outcome = escadm("--root", root, "start")
    message = f"escadm: the agent (pid {pid}) is stopped and does not answer\n  let it go on with: kill -CONT {pid}\n"
    assert outcome == Outcome(1, "", message)


def test_an_agent_that_goes_away(root: Path) -> None:
    with agent(root, answers=STARTING):
        outcome = escadm("--root", root, "start")
    message = f"escadm: the agent went away before it was done\n  its log is {Paths(root).log}\n"
    assert outcome == Outcome(1, LINES, message)


def test_interrupted(root: Path) -> None:
    with agent(root, answers=[ACKNOWLEDGED, {"say": "busy"}, "wait"]), background("--root", root, "start") as start:
        assert start.stdout
        assert start.stdout.readline() == "busy\n"
        start.send_signal(signal.SIGINT)
        assert start.wait(10) == 130
        assert start.stderr
        assert start.stderr.read() == ""


@pytest.mark.parametrize("verb", ["start", "stop", "restart", "switchover", "reload", "agent"])
def test_nobody_may_not(verb: str) -> None:
    """Before anything else, the agent that is not running included."""
    outcome = escadm(verb, nobody=True)
    assert (outcome.code, outcome.out) == (4, "")
    assert outcome.err.endswith(": only root may do this\n  try again with sudo\n")


def test_nobody_may_not_talk_to_somebody_elses_agent(root: Path) -> None:
    with agent(root, answers=[ACKNOWLEDGED, DONE]):
        outcome = escadm("--root", root, "start", nobody=os.geteuid() == 0)
    if os.geteuid() == 0:
        message = f"escadm: cannot talk to the agent: {Paths(root).control}: permission denied\n  try again with sudo\n"
        assert outcome == Outcome(4, "", message)
    else:
        assert outcome.code == 0
