from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from escadm.errors import Failed, NotInstalled, NotPermitted
from escadm.system import run as run_module
from escadm.system.run import dismiss, listen, run


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def eventually(condition: object, limit: float = 5.0) -> bool:
    assert callable(condition)
    end = time.monotonic() + limit
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.01)
    return False


def test_what_a_command_says_and_its_code() -> None:
    done = run(["sh", "-c", "cat; echo wrong >&2; exit 3"], timeout=5, input="größe\n", ok=(0, 3))
    assert (done.code, done.stdout, done.stderr) == (3, "größe\n", "wrong\n")
    assert done.argv == ("sh", "-c", "cat; echo wrong >&2; exit 3")


def test_what_systemd_gave_to_the_agent_is_not_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"):
        monkeypatch.setenv(name, "1")
    done = run(["sh", "-c", 'echo "${NOTIFY_SOCKET-unset} ${WATCHDOG_USEC-unset} ${WATCHDOG_PID-unset}"'], timeout=5)
    assert done.stdout == "unset unset unset\n"


def test_the_locale_is_fixed_and_the_environment_added_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    monkeypatch.setenv("LANGUAGE", "de")
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    done = run(["sh", "-c", 'echo "$LC_ALL ${LANGUAGE-unset} $PATH $MORE"'], timeout=5, env={"MORE": "x"})
    assert done.stdout == "C.UTF-8 unset /usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin x\n"


def test_a_command_leads_its_own_session() -> None:
    done = run(["sh", "-c", "cut -d' ' -f6 /proc/$$/stat; echo $$"], timeout=5)
    sid, pid = done.stdout.split()
    assert sid == pid != str(os.getsid(0))


def test_no_report_of_a_command_shows_drbds_secret() -> None:
    for script in ("echo --shared-secret=0a0a; kill -9 $$", """echo 'shared-secret "0a0a";'; exit 4"""):
        with pytest.raises(Failed) as caught:
            run(["sh", "-c", script, "--shared-secret=0b0b"], timeout=10)
        told = caught.value.message + caught.value.hint
        assert "0a0a" not in told
        assert "0b0b" not in told
        assert told.count("***") == 3


def test_a_bad_exit_brings_the_last_words_and_the_command_to_copy() -> None:
    with pytest.raises(Failed) as caught:
        run(["sh", "-c", "seq 9 >&2; exit 4", "two words"], timeout=5)
    assert caught.value.message == "sh: exited with code 4: 5\n  6\n  7\n  8\n  9"
    assert caught.value.hint == "the command was: sh -c 'seq 9 >&2; exit 4' 'two words'"


def test_a_signal_is_told_by_name() -> None:
    with pytest.raises(Failed, match="ended by SIGSEGV"):
        run(["sh", "-c", "kill -SEGV $$"], timeout=5)


def test_a_missing_program_names_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotInstalled, match=r"no-such-program is not installed$"):
        run(["no-such-program"], timeout=5)
    with pytest.raises(NotInstalled) as caught:
        run(["/nowhere/drbdadm", "status"], timeout=5)
    assert caught.value.hint == "install it: apt-get install drbd-utils"


def test_a_file_that_may_not_be_run(tmp_path: Path) -> None:
    (tmp_path / "program").write_text("#!/bin/sh\n")
    with pytest.raises(NotPermitted, match="cannot run"):
        run([str(tmp_path / "program")], timeout=5)


def test_a_missing_working_directory_is_not_a_missing_program(tmp_path: Path) -> None:
    with pytest.raises(Failed, match=r"cannot run true: there is no directory .*/gone"):
        run(["true"], timeout=5, cwd=str(tmp_path / "gone"))


def test_a_user_that_does_not_exist() -> None:
    with pytest.raises(Failed, match="there is no such user"):
        run(["true"], timeout=5, user="no-such-user")


def test_another_user_comes_with_their_groups_and_not_with_ours() -> None:
    script = """
import os
from escadm.system.run import run
os.setgroups([4, 20])
print(run(["sh", "-c", "id -un; id -Gn"], timeout=5, user="nobody").stdout.split())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("['nobody', 'nogroup']\n", "")


def test_after_the_time_limit_the_whole_group_is_gone_even_if_it_ignores_term(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    script = (
        f"trap '' TERM; sh -c 'trap \"\" TERM; echo $$ >> {pids}; while :; do sleep 1; done' & echo $$ >> {pids}; wait"
    )
    start = time.monotonic()
    with pytest.raises(Failed, match=r"sh: no end after 0\.3 s"):
        run(["sh", "-c", script], timeout=0.3)
    assert time.monotonic() - start < 3
    left = [int(line) for line in pids.read_text().split()]
    assert len(left) == 2
    assert eventually(lambda: not any(map(is_running, left)))


def test_term_is_enough_for_a_well_behaved_command(tmp_path: Path) -> None:
    start = time.monotonic()
    with pytest.raises(Failed, match="said before it hung"):
        run(["sh", "-c", "trap 'exit 1' TERM; echo said before it hung >&2; sleep 30 & wait"], timeout=0.2)
    assert time.monotonic() - start < 3


def test_a_background_process_that_keeps_the_output_open_is_not_waited_for(tmp_path: Path) -> None:
    start = time.monotonic()
    done = run(["sh", "-c", "sleep 30 & echo $!"], timeout=10)
    assert time.monotonic() - start < 5
    with suppress(ProcessLookupError):
        os.kill(int(done.stdout), signal.SIGKILL)


def test_a_child_that_nothing_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[int] = []
    real = os.killpg
    monkeypatch.setattr(os, "killpg", lambda pid, number: sent.append(number))  # as deaf as a child in state D
    pid = 0

    def remember(argv: list[str], **named: Any) -> subprocess.Popen[Any]:
        nonlocal pid
        child = original(argv, **named)
        pid = child.pid
        return child

    original = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", remember)
    start = time.monotonic()
    with pytest.raises(Failed, match="no end after"):
        run(["sleep", "60"], timeout=0.1)
    assert time.monotonic() - start < 5
    assert sent == [signal.SIGTERM, signal.SIGKILL]
    assert [child.pid for child in run_module._unkillable] == [pid]
    real(pid, signal.SIGKILL)
    assert eventually(lambda: not is_running(pid))
    run(["true"], timeout=5)
    assert run_module._unkillable == []
    assert not Path(f"/proc/{pid}").exists()


def test_a_listener_that_nothing_ends_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    listener = listen(["sleep", "60"])
    real = listener.kill
    monkeypatch.setattr(listener, "kill", lambda: None)  # as deaf as a child in state D
    start = time.monotonic()
    dismiss(listener)
    assert time.monotonic() - start < 5
    assert is_running(listener.pid)
    real()
    assert eventually(lambda: listener.returncode is not None)
    assert listener.stdout
    listener.stdout.close()
