"""Scopes: their names, the command line that makes them, and what is found in them. systemd itself: tests/vm."""

from __future__ import annotations

import os
import pwd
import stat
from pathlib import Path

import pytest

from escadm.core.specs import ProcessSpec
from escadm.paths import Paths
from escadm.system import scope, systemd
from escadm.system.process import spawn
from escadm.system.processes import look
from escadm.system.scope import (
    Scope,
    is_launching,
    kill_scopes,
    new_scope,
    units_in_scopes,
    why_not_launched,
)
from tests.unit.system.services import LIMIT, Services, pids, wait_for

HERE = Scope("pgsql", "esc-pgsql-0123abcd.scope", after=("db.service",))


def test_each_incarnation_has_a_scope_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(systemd, "BOOTED", tmp_path)
    one, two = new_scope("pgsql", Paths()), new_scope("pgsql", Paths())
    assert one is not None
    assert two is not None
    assert one.name != two.name
    assert one.name.startswith("esc-pgsql-")


def test_no_scope_in_a_tree_beside_the_machine_and_without_systemd(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(systemd, "BOOTED", tmp_path)
    assert new_scope("pgsql", Paths(tmp_path)) is None
    monkeypatch.setattr(systemd, "BOOTED", tmp_path / "none")
    assert new_scope("pgsql", Paths()) is None


def test_the_command_line() -> None:
    words = HERE.around(["prog", "--slice=x"], (26, 27, [27, 100]), {"LD_PRELOAD": "/lib/x.so"})
    program, *options = words[: words.index("--")]
    assert program == "/usr/bin/systemd-run"
    assert {
        "--scope",
        "--collect",
        "--slice=esc.slice",
        "--unit=esc-pgsql-0123abcd.scope",
        "--property=Before=esc_service.service esc_stop.service",
        "--property=After=db.service",
    } <= set(options)
    behind = ["/usr/bin/setpriv", "--reuid=26", "--regid=27", "--groups=27,100", "--"]
    assert words[words.index("--") + 1 :] == [*behind, "/usr/bin/env", "LD_PRELOAD=/lib/x.so", "prog", "--slice=x"]
    assert HERE.around(["prog"], None, {})[-3:] == ["/usr/bin/setpriv", "--", "prog"]


@pytest.mark.parametrize(
    ("code", "said", "sentence"),
    [
        (127, "old\nsetpriv: failed to execute x: No such file or directory\n", "x: No such file or directory"),
        (126, "setpriv: failed to execute x: Permission denied\n", "x: Permission denied"),
        (127, "/usr/bin/env: 'x': No such file or directory\n", "x: No such file or directory"),
        (1, "Failed to start transient scope unit: no\n", "systemd refuses: Failed to start transient scope unit: no"),
        (3, "setpriv: failed to execute x: Permission denied\n", ""),
        (3, "Failed to connect\n", ""),
        (127, "sh: not found\n", ""),
        (1, "", ""),
    ],
)
def test_why_it_was_not_launched(code: int, said: str, sentence: str) -> None:
    assert why_not_launched("x", code, said) == (f"cannot start x: {sentence}" if sentence else "")


# --- what is in them ------------------------------------------------------------------------------------------


@pytest.fixture
def cgroups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folders of cgroups of both versions, as far as their names and their cgroup.procs go."""
    folders = tuple(tmp_path / name for name in ("cgroup", "cgroup/unified", "cgroup/systemd"))
    for folder in folders:
        (folder / "esc.slice").mkdir(parents=True)
    monkeypatch.setattr(scope, "HIERARCHIES", folders)
    return folders[0]


def put(folder: Path, *found: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cgroup.procs").write_text("".join(f"{pid}\n" for pid in found))


@pytest.mark.parametrize("version", ["", "unified", "systemd"])
def test_all_incarnations_and_what_they_divided(cgroups: Path, version: str) -> None:
    below = cgroups / version / "esc.slice"
    put(below / "esc-pgsql-0123abcd.scope", 11, 12)
    put(below / "esc-pgsql-0123abcd.scope/workers", 13)
    put(below / "esc-pgsql-deadbeef.scope", 14)
    put(below / "esc-pgsql-deadbeef-00000000.scope", 15)  # of a resource pgsql-deadbeef
    put(below / "esc-mona-01234567.scope", 16)
    put(below / "esc-empty-01234567.scope")
    put(below / "run-r1.scope", 17)
    put(below, 18)
    assert units_in_scopes() == {"pgsql": {11, 12, 13, 14}, "pgsql-deadbeef": {15}, "mona": {16}}


def test_all_scopes_of_a_unit_are_ended_by_the_kernel(cgroups: Path) -> None:
    below = cgroups / "esc.slice"
    ours = [below / "esc-pgsql-0123abcd.scope", below / "esc-pgsql-deadbeef.scope"]
    others = [below / "esc-pgsql-deadbeef-00000000.scope", below / "esc-mona-01234567.scope"]
    put(below / "esc-pgsql-00000000.scope", 11)  # of a kernel that has no such file
    for each in (*ours, *others):
        put(each, 12)
        (each / "cgroup.kill").touch()
    kill_scopes("pgsql")
    assert [(each / "cgroup.kill").read_text() for each in ours] == ["1", "1"]
    assert [(each / "cgroup.kill").read_text() for each in others] == ["", ""]
    assert not (below / "esc-pgsql-00000000.scope/cgroup.kill").exists()


def test_a_machine_without_any(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scope, "HIERARCHIES", (tmp_path / "none",))
    assert units_in_scopes() == {}


def test_a_process_that_left_everything_but_the_scope_behind_belongs_to_it(services: Services) -> None:
    _, stranger = services.start("sleep", "60", name="other")
    assert pids(look().members(services.prefix + "pgsql", None, {stranger.pid})) == {stranger.pid}
    assert pids(look().members(services.prefix + "pgsql", None)) == set()


def test_a_leader_without_a_mark_is_known_by_its_scope(services: Services) -> None:
    _, leader = services.start("sleep", "60", name="other")
    assert look().leaders("no-such-prefix:", {leader.pid: "pgsql"}) == {"pgsql": leader}


# --- the way into one -----------------------------------------------------------------------------------------


@pytest.fixture
def systemd_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A systemd-run of the test's own: what it is asked for, and the command behind it in the same process."""
    made = tmp_path / "systemd-run"
    made.write_text('#!/bin/sh\nuntil [ "$1" = -- ]; do shift; done\nshift\nexec "$@"\n')
    made.chmod(made.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setattr(scope, "SYSTEMD_RUN", str(made))
    return made


def launch(services: Services, *argv: str, **spec: object) -> int:
    child, leader = spawn(
        ProcessSpec(argv, **spec),  # type: ignore[arg-type]
        mark=services.prefix + "pgsql",
        log=services.log,
        environment={},
        scope=HERE,
    )
    services.started.append((services.prefix + "pgsql", child, leader))
    assert leader.pid == child.pid == os.getsid(child.pid)
    return child.wait(LIMIT)


@pytest.mark.usefixtures("systemd_run")
def test_as_another_user_with_its_groups(services: Services) -> None:
    assert launch(services, "sh", "-c", "id -u; id -G; echo $USER $HOME; pwd", user="nobody") == 0
    nobody = pwd.getpwnam("nobody")
    groups = " ".join(str(group) for group in os.getgrouplist("nobody", nobody.pw_gid))
    assert services.output.splitlines() == [str(nobody.pw_uid), groups, f"nobody {nobody.pw_dir}", "/"]


@pytest.mark.usefixtures("systemd_run")
def test_variables_for_the_loader_reach_the_service_alone(services: Services) -> None:
    settings = (("LD_LIBRARY_PATH", "/srv/a b"), ("WORD", "1"))
    assert launch(services, "sh", "-c", "echo $LD_LIBRARY_PATH,$WORD", environment=settings) == 0
    assert services.output == "/srv/a b,1\n"


@pytest.mark.usefixtures("systemd_run")
@pytest.mark.parametrize(
    ("program", "reason"), [("no-such-program", "No such file or directory"), ("/etc/passwd", "Permission denied")]
)
def test_what_cannot_be_executed_says_why(services: Services, program: str, reason: str) -> None:
    code = launch(services, program)
    assert why_not_launched(program, code, services.output) == f"cannot start {program}: {program}: {reason}"


@pytest.mark.parametrize(
    ("program", "words", "launching"),
    [
        ("SYSTEMD_RUN", HERE.around(["true"], None, {}), True),
        ("SYSTEMD_RUN", ["systemd-run", "--wait", "backup"], False),
        ("SETPRIV", ["setpriv", "--", "true"], True),
        ("", HERE.around(["true"], None, {}), False),
    ],
)
def test_while_systemd_has_not_answered_it_is_launching(
    services: Services, monkeypatch: pytest.MonkeyPatch, program: str, words: list[str], launching: bool
) -> None:
    if program:
        monkeypatch.setattr(scope, program, "/bin/sh")
    asks = f"import os; os.execv('/bin/sh', {[words[0], '-c', 'echo >there; sleep 60; :', *words[1:]]!r})"
    child, leader = services.start("python3", "-c", asks, working_directory=str(services.folder))
    wait_for((services.folder / "there").exists, "the program")
    assert is_launching(leader.pid) is launching
    child.kill()
    child.wait(LIMIT)
    assert not is_launching(leader.pid)
