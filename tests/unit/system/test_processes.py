"""One look at all processes: whole in spite of what forks meanwhile, and of names and environments of any bytes."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import pytest

from escadm.system import processes
from escadm.system.process import command_name, identify
from escadm.system.processes import look
from tests.unit.system.services import DAEMON, LIMIT, PRELUDE, Services, found, wait_for

STRANGE = r"""
open("/proc/self/comm", "wb").write(b"\xff) S (\n1")
os.environb[b"\xfe"] = b"\xff"
if os.fork() == 0:
    os.setsid()
    os.execve(sys.executable, ["python", "-S", "-c", AGAIN], os.environb)
rest()
"""


def test_names_and_environments_that_are_no_text(services: Services) -> None:
    again = "open('/proc/self/comm', 'wb').write(b'\\xff) S (\\n1'); tell('child'); rest()"
    child, leader = services.run(f"AGAIN = {PRELUDE + again!r}\n{STRANGE}", until="child")
    assert found(services, leader) == {child.pid, services.pid("child")}
    assert command_name(child.pid) == "\ufffd) S (\n1"
    assert identify(child.pid) == leader


def test_what_is_forked_behind_the_look_is_found(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not in the first listing, as its parent still lived then, and that has ended when it is read."""
    child, leader = services.run(DAEMON, until="daemon")
    child.wait(LIMIT)
    daemon = services.pid("daemon")
    listings: list[list[str]] = []
    listdir = os.listdir

    def late(path: Path) -> list[str]:
        listings.append([name for name in listdir(path) if listings or name != str(daemon)])
        return listings[-1]

    monkeypatch.setattr(os, "listdir", late)
    assert found(services, leader) == {daemon}
    assert str(daemon) not in listings[0]


HOPS = """
for _ in range(100000):
    if os.fork():
        os._exit(0)
    os.setsid()
    if os.path.exists(folder + "/enough"):
        break
    tell("hops")
"""


def test_what_goes_on_as_a_child_of_its_own_again_and_again_is_found(services: Services) -> None:
    child, leader = services.run(HOPS, until="hops")
    child.wait(LIMIT)
    try:
        for _ in range(30):
            seen = look()
            assert seen.members(services.prefix + "pgsql", leader) or not seen.settled
    finally:
        (services.folder / "enough").touch()
    wait_for(lambda: not found(services, leader), "the end of it")


def test_a_look_is_not_settled_while_there_is_always_something_new(monkeypatch: pytest.MonkeyPatch) -> None:
    assert look().settled
    monkeypatch.setattr(processes, "MOST_LISTINGS", 1)
    assert not look().settled


def test_who_cannot_be_read_is_not_gone(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    """No descriptor is free, or no memory."""
    child, _ = services.start("sleep", "60")
    opened = os.open

    def refuses(path: str, flags: int) -> int:
        if path == f"/proc/{child.pid}/stat":
            raise OSError(errno.EMFILE, "Too many open files")
        return opened(path, flags)

    monkeypatch.setattr(os, "open", refuses)
    with pytest.raises(OSError, match="Too many"):
        look()


def test_an_environment_that_is_not_there_yet_is_read_again(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel shows it a moment after the start of a program; by then nothing else says whose it is."""
    child, _ = services.start("sleep", "60")
    content, asked = processes._content, []

    def late(pid: int, name: str) -> bytes | None:
        if (pid, name) == (child.pid, "environ"):
            asked.append(time.monotonic())
            if len(asked) == 1:
                return b""
        return content(pid, name)

    monkeypatch.setattr(processes, "_content", late)
    assert found(services, None) == {child.pid}
    assert len(asked) == 2


def test_a_zombie_is_no_member_but_holds_its_number(services: Services) -> None:
    child, leader = services.start("true")
    wait_for(lambda: identify(child.pid) is None, "its end")
    assert child.pid in look().stats
    assert found(services, leader) == set()
