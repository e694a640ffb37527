"""Files that cannot be written any more, on real file systems: no word that others go by outlives its truth."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest

from escadm.lab import Lab
from escadm.lab.node import Node
from tests.lab.conftest import NewLab
from tests.lab.pair import PATIENCE, wait_healthy, wait_text

ROLE = "/opt/cisco/esc/keepalived_state"
FOLDER = "/opt/cisco/esc"


def word(node: Node) -> str:
    """What a script on the node reads; empty where there is nothing to be read."""
    return node.exec(["sh", "-c", f"cat {ROLE} 2>/dev/null || :"]).stdout.strip()


def words(lab: Lab) -> list[str]:
    return sorted(word(node) for node in lab.nodes)


def fill(node: Node, folder: str) -> None:
    """A small file system of memory over the folder, with what was in it, and not a byte left."""
    lines = f"cp -a {folder} /tmp/{node.hostname} && mount -t tmpfs -o size=256k tmpfs {folder}"
    node.exec(["sh", "-c", f"{lines} && cp -a /tmp/{node.hostname}/. {folder} && rm -r /tmp/{node.hostname}"])
    node.exec(["sh", "-c", f"dd if=/dev/zero of={folder}/filler bs=4k 2>/dev/null || :"])


@contextmanager
def run_that_fills_up(node: Node) -> Iterator[None]:
    """/run with not a byte left, and somebody who takes each one that becomes free."""
    node.exec(["mount", "-o", "remount,size=1m", "/run"])
    command = node.up.enter(["sh", "-c", "exec 2>/dev/null; while :; do printf %4096s >>/run/filler; done"])
    with subprocess.Popen(command, start_new_session=True) as filler:
        try:
            yield
        finally:
            os.killpg(filler.pid, signal.SIGKILL)
            node.exec(["rm", "-f", "/run/filler"])


def is_full(node: Node) -> bool:
    return node.exec(["stat", "--file-system", "--format=%a", "/run"]).stdout.strip() == "0"


def make_read_only(node: Node, folder: str) -> None:
    node.exec(["sh", "-c", f"mount --bind {folder} {folder} && mount -o remount,bind,ro {folder}"])


def full_disk(node: Node) -> None:
    fill(node, FOLDER)


def read_only_disk(node: Node) -> None:
    node.exec(["mkdir", "-p", f"{FOLDER}/esc_database"])
    make_read_only(node, FOLDER)


@pytest.mark.parametrize("spoil", [full_disk, read_only_disk])
def test_switchover_leaves_one_master_written(new_lab: NewLab, spoil: Callable[[Node], None]) -> None:
    lab = new_lab()
    primary, standby = wait_healthy(lab)
    assert (word(primary), word(standby)) == ("MASTER", "BACKUP")
    for node in lab.nodes:
        spoil(node)
    primary.escadm("switchover")
    lab.wait_for(lambda: words(lab) == ["BACKUP", "MASTER"], PATIENCE, f"the true words, not {words(lab)}")
    assert (word(primary), word(standby)) == ("BACKUP", "MASTER")
    assert wait_healthy(lab) == (standby, primary)


def test_power_on_finds_no_word_of_before(new_lab: NewLab) -> None:
    lab = new_lab()
    primary, standby = wait_healthy(lab)
    lab.fault("power-cut", primary.name)
    lab.wait_for(lambda: word(standby) == "MASTER", PATIENCE, "the standby takes over")
    lab.require().agent = False
    lab.power_on(primary.name)
    found = primary.exec(["cat", ROLE], check=False)
    assert (found.code, found.stdout) == (1, "")
    assert "No such file or directory" in found.stderr


def test_memory_that_is_read_only_has_no_old_word(new_lab: NewLab) -> None:
    lab = new_lab()
    primary, standby = wait_healthy(lab)
    make_read_only(primary, "/run/escadm")
    lab.fault("keepalived-kill", primary.name)
    lab.wait_for(lambda: word(standby) == "MASTER", PATIENCE, "the standby takes over")
    lab.wait_for(lambda: word(primary) == "", PATIENCE, "no word where it cannot be kept true")
    wait_text(lab, primary, lambda text: text.startswith("ESC Unknown"), "doubts what it has published")
    primary.exec(["umount", "/run/escadm"])
    assert wait_healthy(lab) == (standby, primary)
    make_read_only(standby, "/run/escadm")
    lab.fault("agent-kill", standby.name)
    lab.wait_for(lambda: word(standby) == "", PATIENCE, "no word of an agent that cannot begin")
    lab.wait_for(lambda: standby.agent() is None, PATIENCE, "its end")
    standby.exec(["umount", "/run/escadm"])
    lab.fault("agent-start", standby.name)  # the lab's init, unlike systemd, leaves an agent that ended by itself
    assert wait_healthy(lab) == (standby, primary)
    assert words(lab) == ["BACKUP", "MASTER"]


def test_switchover_with_a_run_that_fills_up(new_lab: NewLab) -> None:
    lab = new_lab()
    primary, standby = wait_healthy(lab)
    with ExitStack() as stack:
        for node in lab.nodes:
            stack.enter_context(run_that_fills_up(node))
        lab.wait_for(lambda: all(map(is_full, lab.nodes)), PATIENCE, "no room in /run")
        assert "the primary is now" in primary.escadm("switchover").stdout
        lab.wait_for(lambda: (word(primary), word(standby)) == ("BACKUP", "MASTER"), PATIENCE, "the true words")
        assert primary.status()["role"] in ("BACKUP", None)  # a status that found no room is no false one
        assert standby.status()["role"] in ("MASTER", None)
    assert wait_healthy(lab) == (standby, primary)


def role_check(node: Node) -> tuple[bool, str]:
    """What health says of the role's file."""
    checks = json.loads(node.escadm("health", "--json", check=False).stdout)["checks"]
    return next((each["passed"], each["detail"]) for each in checks if each["name"] == "keepalived_state")


def test_plain_file_of_an_older_version(new_lab: NewLab) -> None:
    lab = new_lab()
    primary, standby = wait_healthy(lab)
    assert role_check(primary) == (True, "it says MASTER, as the agent does, keepalived and the virtual address")
    lab.fault("agent-stop", standby.name)
    wait_text(lab, standby, lambda text: text == "ESC Stopped", "stopped")
    standby.exec(["rm", ROLE])
    standby.write(ROLE, "MASTER\n")
    make_read_only(standby, FOLDER)
    lab.fault("agent-start", standby.name)
    text = wait_text(lab, standby, lambda text: "Degraded" in text, "doubts the word")
    told = f"cannot make the link {ROLE}: the file system is read-only; {ROLE} has the word MASTER"
    assert text == f"ESC Backup Degraded: {told}"
    no_link = f"{ROLE} is no link to /run/escadm/keepalived_state: what is written there does not go with the power"
    assert role_check(standby) == (False, f"{no_link}; it has the word MASTER")
    standby.exec(["umount", FOLDER])
    assert wait_healthy(lab) == (primary, standby)
    assert words(lab) == ["BACKUP", "MASTER"]
    assert standby.exec(["readlink", ROLE]).stdout == "/run/escadm/keepalived_state\n"
    assert role_check(standby)[0]
