"""``escadm drbd`` as the real program; DRBD's own commands are stand-ins in front of the search path."""

from __future__ import annotations

import os
import pty
import re
import subprocess
from pathlib import Path

import pytest

from tests.cli.program import PROGRAM, Outcome, environment, escadm

CONSENT = "discard the data of this node"
KEEP = "keep the data of this node"
PROMPT = f"Everything written on this node since the split will be lost. To go on, type: {CONSENT}\n"
NEXT = (
    "this node takes the peer's data as soon as that connects: "
    "on the other node, whose data stays: escadm drbd resolve --keep-local\n"
)
UP_TO_DATE = "this node's data is UpToDate from now on; when the peer comes back, it takes them from here\n"
SPLIT = """\
exists resource name:esc role:{role} suspended:no
exists connection name:esc peer-node-id:0 connection:{connection} role:Unknown
exists device name:esc volume:0 minor:1 disk:{disk} size:131032
exists peer-device name:esc peer-node-id:0 volume:0 replication:Off peer-disk:DUnknown out-of-sync:36
exists -
"""
AS_ROOT = ["unshare", "--user", "--map-root-user"]


class Stand:
    """drbdsetup with one state, drbdadm that notes what it is told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state("Secondary", "StandAlone")
        self.program("drbdsetup", f'echo "drbdsetup $*" >>{folder}/asked\ncat {folder}/state')
        self.program("drbdadm", f'[ "$1" != -c ] || shift 2; echo "$*" >>{folder}/told')
        self.program("modprobe", "exit 0")
        self.env = environment(PATH=f"{folder}:{os.environ['PATH']}")

    def program(self, name: str, script: str) -> None:
        file = self.folder / name
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)

    def state(self, role: str, connection: str, disk: str = "UpToDate") -> None:
        (self.folder / "state").write_text(SPLIT.format(role=role, connection=connection, disk=disk))

    @property
    def told(self) -> list[str]:
        file = self.folder / "told"
        return file.read_text().splitlines() if file.exists() else []

    def resolve(self, *words: str) -> Outcome:
        done = subprocess.run(
            [*AS_ROOT, *PROGRAM, "drbd", "resolve", *words],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, env=self.env, cwd="/",
        )  # fmt: skip
        return Outcome(done.returncode, done.stdout, done.stderr)

    def on_terminal(self, typed: bytes, *words: str) -> Outcome:
        """``resolve`` with somebody at the keyboard; to discard without a copy, if nothing else is said."""
        leader, follower = pty.openpty()
        process = subprocess.Popen(
            [*AS_ROOT, *PROGRAM, "drbd", "resolve", *(words or ("--discard-local", "--no-copy"))],
            stdin=follower, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self.env, cwd="/",
        )  # fmt: skip
        os.close(follower)
        os.write(leader, typed)
        out, err = process.communicate(timeout=60)
        os.close(leader)
        return Outcome(process.returncode, out, err)


@pytest.fixture
def stand(root: Path) -> Stand:
    return Stand(root)


GIVEN_UP = ["disconnect esc", "connect --discard-my-data esc"]
NOT_GIVEN = f"nothing was done: the consent was not given\n  type it, or give it with --yes '{CONSENT}'"


def test_the_consent_for_scripts(stand: Stand) -> None:
    assert stand.resolve("--discard-local", "--no-copy", "--yes", CONSENT) == Outcome(0, NEXT)
    assert stand.told == GIVEN_UP


@pytest.mark.parametrize("yes", ["yes", CONSENT.upper(), CONSENT[:-1], f"{CONSENT}.", CONSENT.replace(" ", "  ", 1)])
def test_a_consent_that_is_not_word_for_word(stand: Stand, yes: str) -> None:
    found = stand.resolve("--discard-local", "--yes", yes)
    assert (found.code, found.out) == (1, "")
    assert NOT_GIVEN in found.err
    assert stand.told == []


def test_nobody_to_ask_is_no_consent(stand: Stand) -> None:
    found = stand.resolve("--discard-local")
    assert (found.code, found.out) == (1, "")
    assert NOT_GIVEN in found.err
    assert stand.told == []


def test_the_consent_is_typed(stand: Stand) -> None:
    assert stand.on_terminal(f"{CONSENT}\n".encode()) == Outcome(0, PROMPT + NEXT)
    assert stand.told == GIVEN_UP


@pytest.mark.parametrize("typed", [b"yes\n", b"\n", b"\x04", b"discard\n"])
def test_another_word_is_typed(stand: Stand, typed: bytes) -> None:
    found = stand.on_terminal(typed)
    assert (found.code, found.out) == (1, PROMPT)
    assert NOT_GIVEN in found.err
    assert stand.told == []


@pytest.mark.parametrize(
    ("role", "connection", "why"),
    [
        ("Secondary", "Connected", "cannot resolve: the nodes are connected: there is nothing to decide"),
        ("Primary", "StandAlone", "cannot resolve: this node is Primary: it is the one in use"),
    ],
)
def test_what_is_refused_is_refused_before_anybody_is_asked(stand: Stand, role: str, connection: str, why: str) -> None:
    stand.state(role, connection)
    found = stand.on_terminal(b"")
    assert (found.code, found.out) == (1, "")
    assert why in found.err
    found = stand.resolve("--discard-local", "--yes", CONSENT)
    assert (found.code, found.out) == (1, "")
    assert stand.told == []


@pytest.mark.parametrize("words", [(), ("--discard-local", "--keep-local"), ("--keep-local", "--no-copy")])
def test_what_is_to_become_of_the_data_must_be_said(stand: Stand, words: tuple[str, ...]) -> None:
    found = stand.resolve(*words, "--yes", CONSENT)
    assert (found.code, found.out) == (2, "")
    wanted = "--no-copy goes with --discard-local" if "--no-copy" in words else "exactly one of --discard-local and"
    assert wanted in found.err
    assert not (stand.folder / "asked").exists()


@pytest.mark.parametrize("disk", ["Consistent", "Outdated"])
def test_to_keep_what_may_be_old_needs_a_consent(stand: Stand, disk: str) -> None:
    stand.state("Secondary", "Connecting", disk)
    found = stand.resolve("--keep-local", "--yes", CONSENT)
    assert (found.code, found.out) == (1, "")
    assert f"nothing was done: the consent was not given\n  type it, or give it with --yes '{KEEP}'" in found.err
    assert stand.told == []
    assert stand.resolve("--keep-local", "--yes", KEEP) == Outcome(0, UP_TO_DATE)
    assert "primary --force esc" in stand.told
    found = stand.on_terminal(f"{KEEP}\n".encode(), "--keep-local")
    assert (found.code, found.out.splitlines()[1:]) == (0, UP_TO_DATE.splitlines())


def test_the_survivor_of_a_split_brain_is_not_asked(stand: Stand) -> None:
    found = stand.resolve("--keep-local")
    assert found.code == 1
    assert "cannot connect: DRBD has stopped the replication again" in found.err
    assert stand.told == ["adjust esc", "resume-sync esc"]
    stand.state("Secondary", "Connected")
    assert stand.resolve("--keep-local").out == "already done: the nodes are connected: there is nothing to decide\n"


def test_half_a_copy_is_not_kept(stand: Stand) -> None:
    stand.state("Secondary", "Connecting", "Inconsistent")
    found = stand.resolve("--keep-local", "--yes", KEEP)
    assert (found.code, found.out) == (1, "")
    assert "its data is Inconsistent, half a copy of the peer's" in found.err


def test_a_volume_that_is_not_up_and_a_drbd_that_cannot_be_asked(stand: Stand) -> None:
    (stand.folder / "state").write_text("exists -\n")
    assert "cannot resolve: the volume is not up here" in stand.resolve("--discard-local", "--yes", CONSENT).err
    stand.program("drbdsetup", "echo 'Failed to modprobe drbd (No such file or directory)' >&2; exit 20")
    found = stand.resolve("--discard-local", "--yes", CONSENT)
    assert found.code == 1
    assert "cannot ask DRBD for the state of esc: this kernel has no DRBD (module drbd)\n  load it, or" in found.err
    assert stand.told == []


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("init",), "prepare a disk"),
        (("resolve", "--discard-local"), "decide about data"),
        (("resolve", "--keep-local"), "decide about data"),
    ],
)
def test_only_root(words: tuple[str, ...], what: str) -> None:
    found = escadm("drbd", *words, nobody=True)
    assert (found.code, found.out) == (4, "")
    assert f"cannot {what}: only root may do this" in found.err


@pytest.mark.parametrize("words", [("init",), ("init", "--primary"), ("resolve", "--discard-local", "--yes", CONSENT)])
def test_a_disk_belongs_to_the_machine(root: Path, words: tuple[str, ...]) -> None:
    found = escadm("--root", root, "drbd", *words)
    assert (found.code, found.out) == (2, "")
    assert "below --root" in found.err
    assert found.err.endswith("  leave --root (ESCADM_ROOT) out\n")
    assert list(root.iterdir()) == []


def test_the_help_names_both() -> None:
    found = escadm("drbd", "--help")
    assert found.code == 0
    assert re.search(r"^  init ", found.out, re.MULTILINE)
    assert re.search(r"^  resolve ", found.out, re.MULTILINE)
