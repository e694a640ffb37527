"""``escadm-fence-peer`` as DRBD runs it: the real program, and an agent that answers, comes late or not at all."""

import os
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

from escadm.cli import fence_peer
from escadm.cli.fence_peer import EXIT_CODES, NO_ANSWER
from escadm.core.drbd.fencing import Answer
from escadm.paths import Paths
from tests.cli.program import AS_NOBODY, REPOSITORY, agent, environment
from tests.cli.test_services import ACKNOWLEDGED, asked

PROGRAM = [sys.executable, "-c", "from escadm.cli.fence_peer import main; main()"]
IN_A_HURRY = "import escadm.cli.fence_peer as it; it.RETURNS_WITHIN = 0.5; it.main()"
LIMIT = 30.0


def done(message: str, code: int = 0) -> dict[str, object]:
    return {"done": True, "code": code, "message": message, "hint": ""}


def fence(root: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """One question; DRBD's own words to its handler are in the environment, and mean nothing to it."""
    drbd = {"DRBD_RESOURCE": "esc", "DRBD_PEER": "two", "DRBD_MINOR": "1"}
    return subprocess.run(
        command or PROGRAM,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        env=environment(ESCADM_ROOT=str(root), **drbd),
        cwd="/",
    )


def test_every_answer_has_the_code_that_drbd_knows() -> None:
    """drbd.conf(5): 4 the peer is outdated, 5 it cannot be reached and is taken for dead, 6 it is Primary itself."""
    assert {answer: EXIT_CODES[answer] for answer in Answer} == {
        Answer.OUTDATED: 4,
        Answer.DEAD: 5,
        Answer.ACTIVE: 6,
    }
    assert len(EXIT_CODES) == len(Answer)
    assert NO_ANSWER not in {3, 4, 5, 6, 7}


@pytest.mark.parametrize(("message", "code"), [*EXIT_CODES.items(), ("something new", NO_ANSWER)])
def test_the_answer_of_the_agent_is_the_exit_code(root: Path, message: str, code: int) -> None:
    with agent(root, answers=[ACKNOWLEDGED, {"unit": "drbd", "state": "running", "detail": ""}, done(message)]):
        outcome = fence(root)
    told = "" if message in EXIT_CODES else f"escadm-fence-peer: {message}\n"
    assert (outcome.returncode, outcome.stdout, outcome.stderr) == (code, "", told)
    assert asked(root) == {"do": "fence-peer"}


def test_a_refusal_is_no_answer_and_asked_no_second_time(root: Path) -> None:
    """Whoever wants the promotion tries it again."""
    began = time.monotonic()
    with agent(root, answers=[ACKNOWLEDGED, done("it is not known what the peer does", 1)]):
        assert fence(root).returncode == NO_ANSWER
    assert time.monotonic() - began < fence_peer.RETURNS_WITHIN / 2


def test_an_agent_that_is_just_being_replaced_is_waited_for(root: Path) -> None:
    process = subprocess.Popen(PROGRAM, stderr=subprocess.PIPE, env=environment(ESCADM_ROOT=str(root)), cwd="/")
    try:
        with agent(root, answers=[]):  # it goes away without a word
            while not (Paths(root).run / "request").exists():
                assert process.poll() is None
                time.sleep(0.01)
        assert process.poll() is None
        with agent(root, answers=[ACKNOWLEDGED, done("peer outdated")]):
            assert process.wait(LIMIT) == 4
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def frozen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A DRBD whose writes wait as long as this file is there."""
    waits, state = tmp_path / "waits", tmp_path / "state"
    waits.touch()
    sample = REPOSITORY / "tests/unit/system/drbd/9/frozen.events2.txt"
    state.write_text(sample.read_text())
    program = tmp_path / "drbdsetup"
    program.write_text(
        f"#!/bin/sh\n[ -e {waits} ] && exec cat {state}\nsed s/suspended:fencing/suspended:no/ {state}\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return waits


def test_while_writes_wait_the_question_is_not_given_up(root: Path, frozen: Path) -> None:
    """DRBD asks once: an agent that comes late, or knows nothing yet, would leave the writes waiting for ever."""
    process = subprocess.Popen([sys.executable, "-c", IN_A_HURRY], env=environment(ESCADM_ROOT=str(root)), cwd="/")
    try:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(2.0)
        with agent(root, answers=[ACKNOWLEDGED, done("it is not known what the peer does", 1)]):
            while not (Paths(root).run / "request").exists():
                time.sleep(0.01)
        assert process.poll() is None
        with agent(root, answers=[ACKNOWLEDGED, done("peer dead")]):
            assert process.wait(LIMIT) == 5
    finally:
        process.kill()
        process.wait()


def test_once_the_peer_is_back_nobody_asks_any_longer(root: Path, frozen: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", IN_A_HURRY], stderr=subprocess.PIPE, env=environment(ESCADM_ROOT=str(root)), cwd="/"
    )
    try:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(2.0)
        frozen.unlink()
        assert process.wait(LIMIT) == NO_ANSWER
    finally:
        process.kill()
        process.communicate()


def test_without_an_agent_a_promotion_is_refused(root: Path) -> None:
    outcome = fence(root, sys.executable, "-c", IN_A_HURRY)
    assert outcome.returncode == NO_ANSWER
    assert outcome.stderr == "escadm-fence-peer: the agent is not running\n"


def test_whoever_may_not_ask_is_told_at_once() -> None:
    program = AS_NOBODY.replace("escadm.cli.app.main()", "escadm.cli.fence_peer.main()")
    command = [sys.executable, "-c", program]
    began = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT * 2, env=environment(), cwd="/")
    assert (done.returncode, done.stderr) == (NO_ANSWER, "escadm-fence-peer: only root may do this\n")
    assert time.monotonic() - began < fence_peer.RETURNS_WITHIN / 2


def test_it_loads_next_to_nothing(root: Path) -> None:
    code = "import sys, escadm.cli.fence_peer; print(*sys.modules)"
    loaded = set(fence(root, sys.executable, "-c", code).stdout.split())
    assert not loaded & {"asyncio", "jinja2", "psutil", "pydantic", "rich", "typer", "yaml"}


def test_it_is_installed_by_the_name_that_drbd_is_told() -> None:
    scripts = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["scripts"]
    assert scripts[Paths().fence_peer.name] == f"{fence_peer.__name__}:{fence_peer.main.__name__}"
