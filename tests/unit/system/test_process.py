"""Services as real processes: started, found wherever they went, signalled, swept, and never mistaken for others."""

from __future__ import annotations

import json
import os
import pwd
import select
import signal
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from escadm.core.specs import ProcessSpec
from escadm.errors import Failed
from escadm.system.alive import boot_id
from escadm.system.process import (
    MARK,
    ProcessId,
    command_name,
    identify,
    is_alive,
    kill,
    open_pidfd,
    outcome,
    signal_group,
    spawn,
)
from escadm.system.processes import look
from tests.unit.system.services import LIMIT, Services, found, mark_of, pids, swept, wait_for

# --- starting ---------------------------------------------------------------------------------------------


def test_a_service_leads_a_session_and_a_group_of_its_own(services: Services) -> None:
    child, leader = services.start("sleep", "60")
    assert leader.pid == child.pid == os.getpgid(child.pid) == os.getsid(child.pid)
    assert leader.boot == boot_id()
    assert identify(child.pid) == leader
    assert is_alive(leader)
    wait_for(lambda: command_name(child.pid) == "sleep", "its name")


def test_what_a_service_sees(services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OF_THE_AGENT", "1")
    show = "import json, os; print(json.dumps([dict(os.environ), os.getcwd(), os.read(0, 1).decode()]))"
    child, _ = services.start(
        sys.executable, "-S", "-c", show, environment=(("PGDATA", "/data"),), working_directory=str(tmp_path)
    )
    assert child.wait(LIMIT) == 0
    environment, folder, typed = json.loads(services.output)
    assert environment["PGDATA"] == "/data"
    assert environment["FOLDER"] == str(tmp_path)
    assert environment[MARK] == services.prefix + "pgsql"
    assert "/usr/sbin" in environment["PATH"]
    assert "OF_THE_AGENT" not in environment
    assert (folder, typed) == (str(tmp_path), "")


def test_output_is_appended_to_the_log_and_not_for_every_eye(services: Services) -> None:
    for word in ("first", "second"):
        child, _ = services.start("sh", "-c", f"echo {word}; echo {word} >&2")
        child.wait(LIMIT)
    assert services.output == "first\nfirst\nsecond\nsecond\n"
    assert services.log.stat().st_mode & 0o007 == 0


def test_it_starts_in_the_root_folder(services: Services) -> None:
    services.start("pwd")[0].wait(LIMIT)
    assert services.output == "/\n"


def test_as_another_user(services: Services) -> None:
    command = ("sh", "-c", "id -u; id -g; id -G; echo $USER $LOGNAME $HOME")
    if os.geteuid() != 0:
        with pytest.raises(Failed, match=r"cannot start sh: .*Operation not permitted"):
            services.start(*command, user="nobody")
        return
    services.start(*command, user="nobody")[0].wait(LIMIT)
    nobody = pwd.getpwnam("nobody")
    groups = " ".join(str(group) for group in os.getgrouplist("nobody", nobody.pw_gid))
    expected = [str(nobody.pw_uid), str(nobody.pw_gid), groups, f"nobody nobody {nobody.pw_dir}"]
    assert services.output.splitlines() == expected


def test_another_user_brings_all_groups_along(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getgrouplist", lambda _, group: [group, 1])
    if os.geteuid() == 0:
        services.start("id", "-G", user="nobody")[0].wait(LIMIT)
        assert services.output == f"{pwd.getpwnam('nobody').pw_gid} 1\n"


def test_as_the_user_that_we_are(services: Services) -> None:
    me = pwd.getpwuid(os.geteuid()).pw_name
    services.start("sh", "-c", "id -un; echo $USER", user=me)[0].wait(LIMIT)
    assert services.output == f"{me}\n{me}\n"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (ProcessSpec(("no-such-program",)), "cannot start no-such-program: no-such-program: No such file or directory"),
        (ProcessSpec(("/etc/passwd",)), "cannot start /etc/passwd: /etc/passwd: Permission denied"),
        (
            ProcessSpec(("true",), working_directory="/no/such/folder"),
            "cannot start true: /no/such/folder: No such file or directory",
        ),
        (ProcessSpec(("true",), user="nosuchuser"), "cannot start as user nosuchuser: there is no such user"),
        (ProcessSpec(("true", "a\0b")), "cannot start true: embedded null byte"),
    ],
)
def test_what_cannot_be_started_says_why(spec: ProcessSpec, message: str, tmp_path: Path) -> None:
    with pytest.raises(Failed) as caught:
        spawn(spec, mark="test:none", log=tmp_path / "log", environment={})
    assert str(caught.value) == message


# --- identity ---------------------------------------------------------------------------------------------


def test_a_zombie_does_not_live(services: Services) -> None:
    child, leader = services.start("true")
    wait_for(lambda: not is_alive(leader), "its end")
    assert Path(f"/proc/{child.pid}/stat").exists(), "not reaped yet"
    assert identify(child.pid) is None
    assert found(services, leader) == set()
    child.wait(LIMIT)
    assert identify(child.pid) is None


def test_a_name_that_looks_like_the_rest_of_its_line(services: Services) -> None:
    code = 'open("/proc/self/comm", "w").write("a) Z 1 2"); tell("named"); rest()'
    child, leader = services.run(code, until="named")
    assert command_name(child.pid) == "a) Z 1 2"
    assert identify(child.pid) == leader


def strangers(leader: ProcessId) -> list[ProcessId]:
    """Ids that name the same number, but another process: of an earlier start, and of an earlier boot."""
    return [replace(leader, start=leader.start - 1), replace(leader, boot="another boot")]


def test_a_stranger_with_the_same_number_is_left_alone(services: Services) -> None:
    child, leader = services.start("sleep", "60")
    for stranger in strangers(leader):
        assert not is_alive(stranger)
        assert open_pidfd(stranger) is None
        signal_group(stranger, "SIGKILL")
        kill([stranger])
        assert pids(look().members("test:nobody", stranger)) == set()
    assert is_alive(leader)
    kill([leader])
    assert child.wait(LIMIT) == -signal.SIGKILL


def test_a_thread_that_got_the_number_of_a_dead_process_is_a_stranger() -> None:
    over = threading.Event()
    number: list[int] = []

    def stay() -> None:
        number.append(threading.get_native_id())
        over.wait(LIMIT)

    thread = threading.Thread(target=stay)
    thread.start()
    try:
        wait_for(lambda: number, "the thread's number")
        dead = ProcessId(number[0], 1, boot_id())
        assert open_pidfd(dead) is None
        kill([dead])
    finally:
        over.set()
        thread.join(LIMIT)


def test_nothing_happens_to_what_is_gone(services: Services) -> None:
    child, leader = services.start("true")
    child.wait(LIMIT)
    assert command_name(child.pid) == ""
    assert mark_of(child.pid) is None
    assert open_pidfd(leader) is None
    signal_group(leader, "SIGTERM")
    kill([leader])


def test_a_pidfd_tells_the_end(services: Services) -> None:
    child, leader = services.start("sleep", "60")
    descriptor = open_pidfd(leader)
    assert descriptor is not None
    try:
        assert select.select([descriptor], [], [], 0)[0] == []
        child.kill()
        assert select.select([descriptor], [], [], LIMIT)[0] == [descriptor]
    finally:
        os.close(descriptor)


# --- signals ----------------------------------------------------------------------------------------------


def test_a_signal_reaches_the_whole_group(services: Services) -> None:
    code = "\nsignal.signal(signal.SIGUSR1, lambda *_: tell('heard' + word))\nword = '1' if os.fork() else '2'\n"
    code += "tell('ready' + word)\nrest()"
    _, leader = services.run(code, until="ready1")
    wait_for((services.folder / "ready2").exists, "the child")
    signal_group(leader, "SIGUSR1")
    wait_for(lambda: all((services.folder / f"heard{word}").exists() for word in "12"), "both")


def test_a_group_that_ignores_term_and_forks_is_swept(services: Services) -> None:
    code = (
        "\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nfor _ in range(3): os.fork()\ntell(str(os.getpid()))\nrest()"
    )
    child, leader = services.run(code)
    wait_for(lambda: len(found(services, leader)) == 8, "eight of them")
    wait_for(lambda: sum(path.name.isdigit() for path in services.folder.iterdir()) == 8, "eight that ignore")
    signal_group(leader, "SIGTERM")
    assert len(found(services, leader)) == 8
    wait_for(lambda: not swept(services.prefix + "pgsql", leader), "the end of all")
    assert child.wait(LIMIT) == -signal.SIGKILL


def test_kill_takes_many_and_minds_none_that_is_gone(services: Services) -> None:
    one, first = services.start("sleep", "60")
    two, second = services.start("sleep", "60", name="mona")
    one.kill()
    one.wait(LIMIT)
    kill([first, second])
    assert two.wait(LIMIT) == -signal.SIGKILL


# --- words ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0, "exited with code 0"),
        (3, "exited with code 3"),
        (-9, "was killed by SIGKILL"),
        (-15, "was killed by SIGTERM"),
        (-40, "was killed by signal 40"),
        (None, "exited (its code is not known: it was started by an earlier agent)"),
    ],
)
def test_how_a_process_ended(code: int | None, words: str) -> None:
    assert outcome(code) == words
