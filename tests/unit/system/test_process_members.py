"""All that belongs to a service is found, wherever it went, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from escadm.system.process import identify, is_alive, signal_group
from escadm.system.processes import look
from tests.unit.system.services import DAEMON, LIMIT, PRELUDE, Services, found, mark_of, wait_for


def test_children_in_the_group(services: Services) -> None:
    child, leader = services.run("os.fork(); tell(str(os.getpid() == os.getsid(0))); rest()", until="False")
    assert found(services, leader) == {child.pid, services.pid("False")}


def test_a_daemon_that_left_session_and_parent(services: Services) -> None:
    child, leader = services.run(DAEMON + "rest()", until="daemon")
    daemon = services.pid("daemon")
    assert os.getsid(daemon) != leader.pid
    assert found(services, leader) == {child.pid, daemon}


def test_a_daemon_whose_leader_is_gone(services: Services) -> None:
    child, leader = services.run(DAEMON, until="daemon")
    assert child.wait(LIMIT) == 0
    assert found(services, leader) == {services.pid("daemon")}
    assert found(services, None) == {services.pid("daemon")}, "by its mark alone"


GROUP_OF_ITS_OWN = """
if os.fork() == 0:
    os.setpgid(0, 0)
    os.execve(sys.executable, ["python", "-S", "-c", AGAIN], {"FOLDER": folder})
rest()
"""


def test_a_process_that_changed_its_group_and_lost_its_mark(services: Services) -> None:
    again = f"AGAIN = {PRELUDE + 'tell(str(os.getpgid(0) == os.getpid())); rest()'!r}\n"
    child, leader = services.run(again + GROUP_OF_ITS_OWN, until="True")
    mover = services.pid("True")
    assert os.getpgid(mover) != leader.pid
    assert mark_of(mover) is None
    assert found(services, leader) == {child.pid, mover}


def test_a_grandchild_whose_leader_and_parent_are_gone(services: Services) -> None:
    code = "\nif os.fork():\n    sys.exit(3)\nif os.fork():\n    os._exit(0)\ntell('grandchild'); rest()"
    child, leader = services.run(code, until="grandchild")
    assert child.wait(LIMIT) == 3
    grandchild = services.pid("grandchild")
    wait_for(lambda: found(services, leader) == {grandchild}, "the grandchild alone")
    signal_group(leader, "SIGTERM")
    wait_for(lambda: found(services, leader) == set(), "the end of the group without its leader")


UNMARKED = """
def unmarked(code):
    os.execve(sys.executable, ["python", "-S", "-c", PRELUDE + code], {"FOLDER": folder})
"""


def unmarked(code: str) -> str:
    """The code with a function that goes on, as another program, without the mark."""
    return f"PRELUDE = {PRELUDE!r}\n{UNMARKED}\n{code}"


@pytest.mark.parametrize("place", ["", "os.setpgid(0, 0); "])
def test_what_stayed_in_the_session_without_mark_and_parent(services: Services, place: str) -> None:
    """In the leader's group, or in one of its own."""
    code = f"if os.fork():\n    sys.exit()\nunmarked({place + 'tell(chr(120)); rest()'!r})"
    child, leader = services.run(unmarked(code), until="x")
    assert child.wait(LIMIT) == 0
    orphan = services.pid("x")
    wait_for(lambda: found(services, leader) == {orphan}, "the orphan alone")
    assert found(services, None) == set(), "by its session alone"


def test_descendants_of_a_daemon_that_have_no_mark(services: Services) -> None:
    """Three generations, each in a session of its own; only the first one has the mark."""
    code = """
if os.fork():
    sys.exit()
os.setsid()
if os.fork() == 0:
    unmarked("os.setsid(); tell('child')\\nif os.fork() == 0:\\n    os.setsid(); tell('grandchild')\\nrest()")
tell("daemon")
rest()
"""
    child, leader = services.run(unmarked(code), until="grandchild")
    child.wait(LIMIT)
    wait_for((services.folder / "daemon").exists, "the daemon")
    assert found(services, leader) == {services.pid(name) for name in ("daemon", "child", "grandchild")}


def test_two_services_are_not_mixed_up(services: Services) -> None:
    one, first = services.start("sleep", "60", name="mona")
    two, second = services.start("sleep", "60", name="mona2")
    wait_for(lambda: found(services, first, "mona") == {one.pid}, "the first alone")
    wait_for(lambda: found(services, second, "mona2") == {two.pid}, "the second alone")
    assert os.getpid() not in found(services, identify(os.getpid()), "mona")


def test_leaders_by_the_beginning_of_their_mark(services: Services) -> None:
    _, first = services.run("os.fork(); tell(str(os.getpid() == os.getsid(0))); rest()", until="False", name="mona")
    _, second = services.start("sleep", "60", name="confd")
    dead, _ = services.start("true", name="etsi")
    wait_for(lambda: look().leaders(services.prefix) == {"mona": first, "confd": second}, "the leaders")
    assert look().leaders(services.prefix + "mo") == {"na": first}
    assert look().leaders("test-nobody") == {}
    dead.wait(LIMIT)


def test_nothing_is_left_running(tmp_path: Path) -> None:
    """The sweep of these tests is itself a test: it takes a daemon whose leader is gone."""
    made = Services(tmp_path)
    made.run(DAEMON, until="daemon")
    daemon = identify(made.pid("daemon"))
    assert daemon is not None
    made.sweep()
    assert not is_alive(daemon)
