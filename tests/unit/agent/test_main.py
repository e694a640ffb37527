"""The agent as a process of its own: its end in order, its end by force, its sign of life, its files."""

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from escadm.paths import Paths
from escadm.system.alive import holder
from escadm.system.process import identify
from tests.unit.agent.world import status

CONFIG = """\
resources:
  web:
    command: sleep 600
  mail:
    command: sleep 601
    depend_on: web
"""
DEAF = """sh -c "trap '' TERM; sleep 601 & wait"\n    stop_timeout: 5"""
PATIENCE = 20.0


def until(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"in vain: {what}"
        time.sleep(0.01)


class Agent:
    """``escadm agent`` below a root, one after the other."""

    def __init__(self, paths: Paths) -> None:
        self.paths = paths
        self.process: subprocess.Popen[bytes] | None = None
        paths.config.parent.mkdir(parents=True)
        paths.config.write_text(CONFIG)

    def start(self, **more: Any) -> subprocess.Popen[bytes]:
        self.process = self.launch(**more)
        until(lambda: self.text == "ESC Standalone Healthy", "a healthy agent")
        return self.process

    def launch(self, *options: str, **more: Any) -> subprocess.Popen[bytes]:
        argv = [sys.executable, "-m", "escadm", "--root", str(self.paths.root), "agent", *options]
        return subprocess.Popen(argv, stderr=subprocess.DEVNULL, **more)

    def end(self, number: int) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)

    @property
    def text(self) -> str:
        """The status, if it is the word of the agent that runs now."""
        if not self.paths.status.exists() or self.process is None:
            return ""
        told = status(self.paths)
        return str(told["text"]) if told["agent"]["pid"] == self.process.pid else ""

    @property
    def pgids(self) -> dict[str, int]:
        return {each["name"]: each["pgid"] for each in status(self.paths)["resources"] if each["pgid"]}

    @property
    def log(self) -> str:
        return self.paths.log.read_text()


@pytest.fixture
def agent(paths: Paths) -> Iterator[Agent]:
    paths.run.rmdir()
    made = Agent(paths)
    yield made
    if made.process is not None and made.process.poll() is None:
        made.process.kill()
        made.process.wait()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_sigterm_ends_in_order(agent: Agent) -> None:
    agent.start()
    pgids = agent.pgids
    assert set(pgids) == {"web", "mail"}
    assert agent.end(signal.SIGTERM) == 0
    assert not [pid for pid in pgids.values() if Path(f"/proc/{pid}").exists()]
    assert status(agent.paths)["text"] == "ESC Stopped"
    assert not agent.paths.state.exists()
    assert not agent.paths.control.exists()
    assert holder(agent.paths.lock) is None
    lines = [line.split(" ", 2)[2] for line in agent.log.splitlines()]
    assert lines[-1] == "escadm ends"
    assert "Traceback" not in agent.log
    stopped = [line.split(":")[0] for line in lines if ": stopped" in line]
    assert stopped.index("mail") < stopped.index("web")


@pytest.mark.parametrize("forgotten", [False, True])
def test_killed_agent_leaves_services_that_the_next_one_takes_over(agent: Agent, forgotten: bool) -> None:
    agent.start()
    pgids = agent.pgids
    agent.end(signal.SIGKILL)
    if forgotten:
        agent.paths.state.unlink()
    agent.start()
    assert agent.pgids == pgids
    os.kill(pgids["web"], signal.SIGKILL)
    until(lambda: agent.pgids.get("web") not in (None, pgids["web"]) and "mail" in agent.pgids, "a new web")
    until(lambda: agent.text == "ESC Standalone Healthy", "health")
    assert agent.pgids["mail"] != pgids["mail"]
    assert agent.end(signal.SIGTERM) == 0
    assert "Traceback" not in agent.log


def test_files_are_for_whom_they_are_for_under_any_umask(agent: Agent) -> None:
    agent.start(umask=0o077)
    paths = agent.paths
    assert {path: mode(path) for path in (paths.run, paths.status, paths.role, paths.lock, paths.beat)} == {
        paths.run: 0o755,
        paths.status: 0o644,
        paths.role: 0o644,
        paths.lock: 0o644,
        paths.beat: 0o644,
    }
    assert (mode(paths.state), mode(paths.control)) == (0o600, 0o600)
    assert mode(paths.log_directory / "web.log") == 0o640
    assert agent.end(signal.SIGTERM) == 0


def test_second_agent_and_a_bad_configuration_disturb_nothing(agent: Agent) -> None:
    agent.start()
    pgids = agent.pgids
    assert agent.launch().wait(PATIENCE) == 1
    agent.paths.config.write_text("resources: [")
    agent.end(signal.SIGKILL)
    assert agent.launch().wait(PATIENCE) == 6
    assert all(Path(f"/proc/{pid}").exists() for pid in pgids.values())
    agent.paths.config.write_text(CONFIG)
    agent.start()
    assert agent.pgids == pgids
    assert agent.end(signal.SIGINT) == 0


def test_a_bad_configuration_after_a_boot_leaves_no_role_of_yesterday(agent: Agent) -> None:
    agent.paths.config.write_text("resources: [")
    agent.paths.role.write_text("MASTER\n")
    assert agent.launch().wait(PATIENCE) == 6
    assert agent.paths.role.read_text() == "FAULT\n"
    assert "cannot begin: " in agent.log


def test_what_runs_on_unwatched_has_no_word(agent: Agent) -> None:
    agent.start()
    assert agent.paths.role.read_text() == "STANDALONE\n"
    agent.end(signal.SIGKILL)
    agent.paths.config.write_text("resources: [")
    assert agent.launch().wait(PATIENCE) == 6
    assert not agent.paths.role.exists()
    assert agent.launch("--stop").wait(PATIENCE) == 0
    assert agent.paths.role.read_text() == "FAULT\n"


def test_a_stop_without_a_configuration_invents_no_role(agent: Agent) -> None:
    agent.start()
    agent.end(signal.SIGKILL)
    agent.paths.role.write_text("MASTER\n")
    agent.paths.config.write_text("resources: [")
    seen = set()
    stop = agent.launch("--stop")
    while stop.poll() is None:
        seen.add(agent.paths.role.read_text())
    assert stop.returncode == 0
    assert seen <= {"MASTER\n", "FAULT\n"}
    assert agent.paths.role.read_text() == "FAULT\n"


def test_lock_that_cannot_be_made_leaves_no_word(agent: Agent) -> None:
    agent.start()
    agent.end(signal.SIGKILL)
    agent.paths.lock.unlink()
    agent.paths.lock.mkdir()
    assert agent.launch().wait(PATIENCE) == 1
    assert not agent.paths.role.exists()
    agent.paths.lock.rmdir()
    agent.start()
    assert agent.paths.role.read_text() == "STANDALONE\n"
    assert agent.end(signal.SIGTERM) == 0


def test_sighup_disturbs_nothing(agent: Agent) -> None:
    process = agent.start()
    process.send_signal(signal.SIGHUP)
    until(lambda: "SIGHUP means nothing here" in agent.log, "a line about it")
    assert process.poll() is None
    assert agent.end(signal.SIGTERM) == 0


def test_sigusr1_ends_at_once_and_leaves_everything(agent: Agent) -> None:
    agent.start()
    pgids = agent.pgids
    assert agent.end(signal.SIGUSR1) == 0
    assert all(Path(f"/proc/{pid}").exists() for pid in pgids.values())
    assert holder(agent.paths.lock) is None
    assert "leaves everything as it is" in agent.log
    agent.start()
    assert agent.pgids == pgids
    assert agent.end(signal.SIGTERM) == 0


@pytest.mark.parametrize("text", [CONFIG, "resources: ["])
def test_what_a_dead_agent_has_left_is_stopped_in_order(agent: Agent, text: str) -> None:
    agent.start()
    pgids = agent.pgids
    agent.end(signal.SIGKILL)
    agent.paths.config.write_text(text)
    lines = len(agent.log.splitlines())
    assert agent.launch("--stop").wait(PATIENCE) == 0
    assert not [pid for pid in pgids.values() if identify(pid)]  # orphans may stay as zombies where nobody reaps
    assert status(agent.paths)["text"] == "ESC Stopped"
    assert not agent.paths.state.exists()
    stopped = [line.split(" ", 2)[2] for line in agent.log.splitlines()[lines:] if ": stopped" in line]
    assert [name for line in stopped if (name := line.split(":")[0]) in pgids] == ["mail", "web"]


def test_an_agent_that_dies_in_its_stop_does_not_leave_a_node_that_stays_stopped(agent: Agent) -> None:
    agent.paths.config.write_text(CONFIG.replace("sleep 601", DEAF))
    process = agent.start()
    process.send_signal(signal.SIGTERM)
    until(lambda: '"state": "stopping"' in agent.paths.state.read_text(), "the stop")
    agent.end(signal.SIGKILL)
    agent.start()
    assert set(agent.pgids) == {"web", "mail"}
    assert agent.end(signal.SIGUSR1) == 0
    assert agent.launch("--stop").wait(PATIENCE) == 0


def test_an_agent_begins_when_the_stop_of_what_a_dead_one_has_left_is_over(agent: Agent) -> None:
    agent.start()
    pgids = agent.pgids
    agent.end(signal.SIGKILL)
    stop = agent.launch("--stop")
    until(lambda: holder(agent.paths.lock) == stop.pid, "the stop")
    agent.start()
    assert stop.poll() == 0
    assert not set(pgids.values()) & set(agent.pgids.values())
    assert agent.end(signal.SIGTERM) == 0


def test_what_an_agent_runs_is_not_stopped_behind_its_back(agent: Agent) -> None:
    agent.start()
    pgids = agent.pgids
    assert agent.launch("--stop").wait(PATIENCE) == 1
    assert all(Path(f"/proc/{pid}").exists() for pid in pgids.values())
    assert agent.end(signal.SIGTERM) == 0


def test_where_nothing_was_left_nothing_is_stopped(agent: Agent) -> None:
    assert agent.launch("--stop").wait(PATIENCE) == 0
    assert status(agent.paths)["text"] == "ESC Stopped"
