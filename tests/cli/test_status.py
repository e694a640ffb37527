"""``escadm status`` tells the truth in every state."""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

from escadm.core.drbd.evidence import Evidence, Replication
from escadm.core.drbd.state import Replica
from escadm.core.snapshot import encode
from escadm.core.states import Role
from escadm.core.status import Health, ResourceStatus, RoleChange, Snapshot, Verdict
from escadm.paths import Paths
from tests.cli.program import (
    PROGRAM,
    REPOSITORY,
    Outcome,
    agent,
    background,
    environment,
    escadm,
    on_terminal,
    plain,
    stop_process,
)

BAR = "━━━"
NOT_RUNNING = "3 ESC status=3 ESC Unknown: the agent is not running\n"
RESOURCES = (
    ResourceStatus("drbd", "master"),
    ResourceStatus("pgsql", "running", 61397, "2024-05-01T10:00:00Z"),
    ResourceStatus("snmp", "disabled"),
    ResourceStatus("mona", "stopped", detail="waits for filesystem"),
)
LINES = """\
0 ESC status=0 ESC Master Healthy
drbd (pgid 0) is master
pgsql (pgid 61397) is running
snmp is disabled at startup
mona is stopped: waits for filesystem
"""
SYNCING = Replication(
    Replica(
        "Primary",
        "Connected",
        "Secondary",
        "UpToDate",
        "Inconsistent",
        "SyncSource",
        out_of_sync=73 << 20,
        size=128 << 20,
        generation="98482637A0B0074C",
        bytes_per_second=6.0 * (1 << 20),
    ),
    Evidence("Secondary", "Connected", "Inconsistent", "SyncTarget", 73 << 20, role_since="2024-05-01T10:00:00Z"),
)
SCHEMA = json.loads((REPOSITORY / "etc/status.schema.json").read_text())


def published(severity: int = 0, text: str = "ESC Master Healthy", **extra: object) -> dict[str, object]:
    health = (Health.HEALTHY, Health.DEGRADED, Health.UNHEALTHY, Health.UNKNOWN)[severity]
    change = RoleChange("BACKUP", "MASTER", "VRRP", "2024-05-01T10:00:00Z", {"services": 2.5})
    verdict = Verdict(severity, health, text)
    snapshot = Snapshot(verdict, Role.MASTER, "2024-05-01T10:00:00Z", "OPERATION", RESOURCES, (change,))
    return encode(snapshot) | extra


def leave_behind(root: Path, document: object) -> Path:
    """What a dead agent left: its lock file and its last word."""
    paths = Paths(root)
    paths.run.mkdir(parents=True, exist_ok=True)
    paths.lock.write_text("4711\n")
    paths.status.write_text(document if isinstance(document, str) else json.dumps(document))
    return paths.status


# --- an agent that lives ----------------------------------------------------------------------------------


def test_healthy(root: Path) -> None:
    with agent(root, published()):
        assert escadm("--root", root, "status") == Outcome(0, "0 ESC status=0 ESC Master Healthy\n")


@pytest.mark.parametrize("option", ["-v", "--v", "--verbose"])
def test_verbose(root: Path, option: str) -> None:
    with agent(root, published()):
        assert escadm("--root", root, "status", option) == Outcome(0, LINES)


@pytest.mark.parametrize(
    ("severity", "text"),
    [
        (1, "ESC Master Starting: pgsql, mona"),
        (1, "ESC Master Degraded: peer 172.16.1.0 is not connected"),
        (2, "ESC Master Failed: escmanager exited with code 3 (4 times in 60 s)"),
        (2, "ESC Stopped"),
    ],
)
def test_the_exit_code_is_the_severity(root: Path, severity: int, text: str) -> None:
    with agent(root, published(severity, text)):
        assert escadm("--root", root, "status") == Outcome(severity, f"{severity} ESC status={severity} {text}\n")


def test_the_root_may_come_from_the_environment_or_after_the_command(root: Path) -> None:
    with agent(root, published()):
        assert escadm("status", ESCADM_ROOT=str(root)).code == 0
        assert escadm("status", "--root", root, "-v").out == LINES


def test_nobody_may_ask(root: Path) -> None:
    with agent(root, published()):
        assert escadm("--root", root, "status", "-v", nobody=True) == Outcome(0, LINES)


def test_json(root: Path) -> None:
    with agent(root, published()):
        outcome = escadm("--root", root, "status", "--json")
    document = json.loads(outcome.out)
    assert outcome.code == 0
    assert document == published()
    assert next(iter(document)) == "schema"
    jsonschema.validate(document, SCHEMA)


def test_keys_of_a_later_agent_do_no_harm(root: Path) -> None:
    with agent(root, published(weather="fine")):
        assert escadm("--root", root, "status").code == 0


# --- an agent that does not -------------------------------------------------------------------------------


def test_no_agent_was_ever_here(root: Path) -> None:
    assert escadm("--root", root, "status", "-v") == Outcome(3, NOT_RUNNING)


def test_the_agent_was_killed(root: Path) -> None:
    with agent(root, published()) as pid:
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        outcome = escadm("--root", root, "status", "-v")
    assert outcome == Outcome(
        3,
        NOT_RUNNING + "drbd is unknown: last known state: master\n"
        "pgsql is unknown: last known state: running (pgid 61397)\n"
        "snmp is disabled at startup\n"
        "mona is unknown: last known state: stopped\n",
    )


def test_the_agent_ended_in_good_order(root: Path) -> None:
    leave_behind(root, published(2, "ESC Stopped"))
    assert escadm("--root", root, "status") == Outcome(2, "2 ESC status=2 ESC Stopped\n")


def test_the_agent_ended_before_the_machine_was_booted(root: Path) -> None:
    leave_behind(root, published(2, "ESC Stopped", agent={"pid": 4711, "boot_id": "another"}))
    assert escadm("--root", root, "status") == Outcome(3, NOT_RUNNING)


def test_the_agent_is_stopped(root: Path) -> None:
    with agent(root, published()) as pid:
        stop_process(pid)
        outcome = escadm("--root", root, "status")
    message = rf"3 ESC status=3 ESC Unknown: the agent \(pid {pid}\) does not respond, last sign of life \d s ago\n"
    assert re.fullmatch(message, outcome.out)
    assert outcome.code == 3


def test_the_agent_hangs(root: Path) -> None:
    with agent(root, published(), beat=False) as pid:
        beat = time.clock_gettime(time.CLOCK_BOOTTIME) - 12
        Paths(root).beat.write_text(f"{beat}")
        outcome = escadm("--root", root, "status")
        most = round(time.clock_gettime(time.CLOCK_BOOTTIME) - beat)
    message = f"ESC Unknown: the agent (pid {pid}) does not respond, last sign of life"
    assert outcome in [Outcome(3, f"3 ESC status=3 {message} {age} s ago\n") for age in range(12, most + 1)]


def test_the_agent_has_only_just_started(root: Path) -> None:
    leave_behind(root, published(agent={"pid": 4711, "boot_id": "another"}))
    with agent(root) as pid:
        outcome = escadm("--root", root, "status")
    assert outcome == Outcome(3, f"3 ESC status=3 ESC Unknown: the agent (pid {pid}) has not reported yet\n")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "Expecting value: line 1 column 1 (char 0)"),
        ('{"schema": 1, "sever', "Unterminated string starting at: line 1 column 15 (char 14)"),
        ("[]", "the document is not a mapping"),
        ('{"schema": 2}', "schema is 2, and this program reads schema 1"),
        ('{"schema": 1}', "health is missing"),
    ],
)
def test_a_snapshot_that_is_none(root: Path, text: str, reason: str) -> None:
    with agent(root):
        file = leave_behind(root, text)
        outcome = escadm("--root", root, "status")
    assert outcome == Outcome(3, f"3 ESC status=3 ESC Unknown: cannot make sense of {file}: {reason}\n")


@pytest.mark.parametrize("name", ["status.json", "agent.lock", "."])
def test_what_nobody_may_read(root: Path, name: str) -> None:
    with agent(root, published()):
        file = Paths(root).run / name
        file.chmod(0)
        outcome = escadm("--root", root, "status", nobody=True)
        file.chmod(0o755)
    named = Paths(root).lock if name == "." else file
    assert outcome == Outcome(3, f"3 ESC status=3 ESC Unknown: cannot read {named}: Permission denied\n")


@pytest.mark.parametrize("prepare", [lambda root: None, lambda root: leave_behind(root, published())])
def test_json_of_the_unknown_has_the_same_keys(root: Path, prepare: Callable[[Path], object]) -> None:
    prepare(root)
    document = json.loads(escadm("--root", root, "status", "--json").out)
    jsonschema.validate(document, SCHEMA)
    assert (document["severity"], document["role"], document["health"]) == (3, None, "unknown")
    assert list(document) == list(published())


def syncing() -> dict[str, object]:
    """A document of a node that brings its peer up to date."""
    verdict = Verdict(1, Health.DEGRADED, "ESC Master Degraded: the peer is being brought up to date")
    return encode(Snapshot(verdict, Role.MASTER, replication=SYNCING))


def test_json_of_the_replication(root: Path) -> None:
    with agent(root, syncing()):
        document = json.loads(escadm("--root", root, "status", "--json").out)
    jsonschema.validate(document, SCHEMA)
    assert document["replication"] == syncing()["replication"]
    assert (round(document["replication"]["done"], 2), document["replication"]["peer"]["disk"]) == (
        0.43,
        "Inconsistent",
    )


def test_what_a_dead_agent_knew_of_the_replication_is_not_told(root: Path) -> None:
    leave_behind(root, syncing())
    assert json.loads(escadm("--root", root, "status", "--json").out)["replication"] is None


# --- pipes and terminals ----------------------------------------------------------------------------------


def test_a_terminal_adds_colour_and_no_words(root: Path) -> None:
    with agent(root, published()):
        shown = on_terminal("--root", root, "status", "-v")
    assert shown.code == 0
    assert "\x1b[32m" in shown.out
    assert plain(shown.out) == LINES


@pytest.mark.parametrize("setting", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_colour_can_be_refused(root: Path, setting: dict[str, str]) -> None:
    with agent(root, published()):
        assert on_terminal("--root", root, "status", "-v", columns=80, **setting) == Outcome(0, LINES)


def test_long_lines_are_never_cut(root: Path) -> None:
    text = "ESC Master Failed: " + "x" * 300
    with agent(root, published(2, text)):
        assert escadm("--root", root, "status", COLUMNS="40").out == f"2 ESC status=2 {text}\n"
        assert plain(on_terminal("--root", root, "status", columns=40).out) == f"2 ESC status=2 {text}\n"


def test_a_reader_that_goes_away_is_no_error(root: Path) -> None:
    with agent(root, published()):
        done = subprocess.run(
            ["bash", "-c", '"$@" | head -1', "bash", *PROGRAM, "--root", str(root), "status", "-v"],
            capture_output=True, text=True, env=environment(), timeout=60,
        )  # fmt: skip
    assert (done.stdout, done.stderr) == (LINES.splitlines(keepends=True)[0], "")


def test_a_closed_output_is_no_traceback(root: Path) -> None:
    done = subprocess.run(
        ["bash", "-c", '"$@" >&-', "bash", *PROGRAM, "--root", str(root), "status"],
        capture_output=True, text=True, env=environment(), timeout=60,
    )  # fmt: skip
    assert "Traceback" not in done.stderr


def test_watch_in_a_pipe_prints_each_change_until_it_is_interrupted(root: Path) -> None:
    with agent(root, published()) as pid, background("--root", root, "status", "--watch") as watch:
        assert watch.stdout
        assert watch.stdout.readline() == "0 ESC status=0 ESC Master Healthy\n"
        document = published(1, "ESC Master Degraded: so so", agent={"pid": pid, "boot_id": "another"})
        Paths(root).status.with_name("new").write_text(json.dumps(document))
        Paths(root).status.with_name("new").rename(Paths(root).status)
        assert watch.stdout.readline() == "1 ESC status=1 ESC Master Degraded: so so\n"
        watch.send_signal(signal.SIGINT)
        assert watch.wait(10) == 130
        assert watch.stderr
        assert watch.stderr.read() == ""


def test_watch_json_is_one_line_each(root: Path) -> None:
    with agent(root, published()), background("--root", root, "status", "--watch", "--json") as watch:
        assert watch.stdout
        assert json.loads(watch.stdout.readline()) == published()


def test_watch_on_a_terminal_draws_again(root: Path) -> None:
    with agent(root, published()):
        command = ["timeout", "--signal=INT", "3", *PROGRAM, "--root", str(root), "status", "--watch", "-v"]
        done = subprocess.run(
            ["script", "-qec", " ".join(command), "/dev/null"],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment(), timeout=60,
        )  # fmt: skip
    assert "Traceback" not in done.stdout
    assert plain(done.stdout).replace("\r\n", "\n").count("pgsql (pgid 61397) is running") > 1
    assert BAR not in done.stdout


def test_watch_on_a_terminal_has_a_bar_for_a_sync(root: Path) -> None:
    with agent(root, syncing()):
        command = ["timeout", "--signal=INT", "2", *PROGRAM, "--root", str(root), "status", "--watch"]
        done = subprocess.run(
            ["script", "-qec", " ".join(command), "/dev/null"],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment(), timeout=60,
        )  # fmt: skip
    assert "Traceback" not in done.stdout
    assert BAR in done.stdout
