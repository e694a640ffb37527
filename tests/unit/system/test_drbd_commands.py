"""DRBD's commands against what the real ones said, and said with which exit code."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Container, Sequence
from pathlib import Path
from typing import Any

import pytest

from escadm.core.drbd.state import Replica
from escadm.core.specs import Secret
from escadm.errors import Failed, NotPermitted
from escadm.paths import Paths
from escadm.system.drbd import commands
from escadm.system.drbd.commands import Refused
from escadm.system.run import Completed

SAMPLES = Path(__file__).with_name("drbd") / "8.4"
NO_MODULE = "this kernel has no DRBD (module drbd)"


def said(what: str) -> tuple[int, str]:
    """A recorded exit code and complaint."""
    lines = (SAMPLES / f"said.{what}.txt").read_text().splitlines(keepends=True)
    match = re.fullmatch(r"exit code (\d+)\n?", lines[-1])
    assert match is not None
    return int(match[1]), "".join(lines[1:-1])


class Commands:
    """A run that answers each command by its words; others end well without a word."""

    def __init__(self, **answers: tuple[int, str]) -> None:
        self.answers = answers
        self.asked: list[str] = []
        self.stdout = ""

    def __call__(self, argv: Sequence[str], *, timeout: float, ok: Container[int] = (0,), **named: object) -> Completed:
        assert 0 < timeout <= 20
        self.asked.append(" ".join(argv))
        code, complaint = self.answers.get(argv[1], (0, ""))
        assert code in ok
        return Completed(tuple(argv), code, self.stdout, complaint)


def test_the_state_is_asked_for_and_parsed() -> None:
    run = Commands()
    lines = (SAMPLES / "primary.a.events2.txt").read_text().splitlines()
    run.stdout = "\n".join(line.split(" ", 1)[1] for line in lines)
    found = commands.read_replica(run)
    assert found is not None
    assert found.words == "Connected Primary/Secondary UpToDate/UpToDate Established"
    assert run.asked == ["drbdsetup events2 --now --statistics esc"]


@pytest.mark.parametrize(
    "answer",
    [
        (0, ""),
        (10, "esc: No such resource\n"),
        (10, "esc: Failure: (158) Unknown resource\n"),
        (10, "1: Failure: (127) Device minor not allocated\nadditional info from kernel:\nunknown minor\n"),
    ],
)
def test_what_is_not_up_has_no_state(answer: tuple[int, str]) -> None:
    assert commands.read_replica(Commands(events2=answer)) is None


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (said("no-module.events2"), NO_MODULE),
        (said("no-module.events2-84"), NO_MODULE),
        ((20, ""), "DRBD gave no reason"),
        ((1, "netlink: out of order\n"), "netlink: out of order"),
    ],
)
def test_a_state_that_cannot_be_asked_for_is_no_state_of_the_volume(answer: tuple[int, str], why: str) -> None:
    with pytest.raises(Failed) as caught:
        commands.read_replica(Commands(events2=answer))
    assert caught.value.message == f"cannot ask DRBD for the state of esc: {why}"


def test_bringing_up_loads_the_module_and_never_waits_for_the_peer() -> None:
    run = Commands()
    commands.bring_up(run)
    assert run.asked == ["modprobe drbd", "drbdadm adjust esc", "drbdadm resume-sync esc"]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (said("no-module.up"), NO_MODULE),
        (said("up.no-meta-data"), "the disk has no DRBD meta-data: a first installation begins with escadm drbd init"),
        (
            # written: the words of drbdmeta and drbdadm 9.22 for a disk that is not there
            (
                1,
                "open(/dev/vdb) failed: No such file or directory\n"
                "Command 'drbdmeta 1 v08 /dev/vdb internal apply-al' terminated with exit code 20\n",
            ),
            "the disk is not there: open(/dev/vdb) failed: No such file or directory",
        ),
        (
            said("attach.disk-error"),
            "pread(5,...,4096,134213632) in v08_md_disk_to_cpu failed: Input/output error",
        ),
        ((1, ""), "DRBD gave no reason"),
    ],
)
def test_why_the_volume_is_not_up(answer: tuple[int, str], why: str) -> None:
    run = Commands(drbd=(1, "modprobe: FATAL: Module drbd not found in directory /lib/modules/6.1.0\n"), adjust=answer)
    with pytest.raises(Failed) as caught:
        commands.bring_up(run)
    assert caught.value.message == f"cannot bring the volume up: {why}"


Act = Callable[[Commands], None]


@pytest.mark.parametrize("act", [commands.take_down, commands.demote])
@pytest.mark.parametrize(
    "answer",
    [
        (0, ""),
        said("no-module.down"),
        (20, said("no-module.events2-84")[1]),
        (10, "esc: No such resource\n"),
        (10, "1: Failure: (127) Device minor not allocated\nadditional info from kernel:\nunknown minor\n"),
    ],
)
def test_what_is_down_already_stays_down(act: Act, answer: tuple[int, str]) -> None:
    run = Commands(down=answer, secondary=answer, disconnect=answer)
    act(run)
    verbs = ["secondary", "disconnect", "down"] if act is commands.take_down else ["secondary"]
    assert run.asked == [f"drbdadm {verb} esc" for verb in verbs]


def test_a_device_that_is_held_open_is_told() -> None:
    run = Commands(down=said("down.held-open"), secondary=said("secondary.held-open"))
    with pytest.raises(Failed, match=r"^cannot take the volume down: something holds the device open$"):
        commands.take_down(run)
    with pytest.raises(Failed, match=r"^cannot become Secondary: something holds the device open$"):
        commands.demote(run)


def test_a_primary_that_is_in_use_keeps_its_connection() -> None:
    run = Commands(secondary=said("secondary.held-open"))
    with pytest.raises(Failed):
        commands.take_down(run)
    assert run.asked == ["drbdadm secondary esc"]


SHOWN = """resource esc {
    net {
        cram-hmac-alg   	"sha256";
        shared-secret   	"0a0a";
    }
}
"""


def test_the_secret_that_the_kernel_asks_for_is_looked_at() -> None:
    run = Commands()
    assert commands.read_secret(run) is None
    run.stdout = SHOWN
    assert commands.read_secret(run) == Secret("0a0a")
    assert run.asked == ["drbdsetup show esc"] * 2
    assert commands.read_secret(Commands(show=(10, "esc: No such resource\n"))) is None
    assert commands.read_secret(Commands(show=(20, "received netlink error reply: No such device\n"))) is None
    with pytest.raises(Failed, match=r"^cannot ask DRBD how esc is set up: "):
        commands.read_secret(Commands(show=(20, "something else\n")))


def test_of_all_that_an_adjust_would_do_the_options_of_the_connection_alone_are_taken_up() -> None:
    run = Commands()
    run.stdout = (
        "drbdsetup-84 net-options ipv4:10.0.0.2:7789 ipv4:10.0.0.1:7789 --set-defaults --shared-secret=0a0a\n"
        "drbdsetup-84 attach 1 /dev/vdb /dev/vdb internal\n"
        "drbdsetup-84 connect esc\n\n"
    )
    commands.apply_net_options(run)
    assert run.asked == [
        "drbdadm --dry-run adjust esc",
        "drbdsetup net-options ipv4:10.0.0.2:7789 ipv4:10.0.0.1:7789 --set-defaults --shared-secret=0a0a",
    ]


@pytest.mark.parametrize(
    "answers",
    [
        {"net-options": (20, "refused\n")},
        {"net-options": (20, "Command 'drbdsetup net-options esc 0 --shared-secret=0a0a' did not terminate\n")},
        {"--dry-run": (1, "")},
        {"--dry-run": (1, "cannot parse\n")},
    ],
)
def test_no_message_about_the_options_of_the_connection_shows_the_secret(answers: dict[str, tuple[int, str]]) -> None:
    run = Commands(**answers)
    run.stdout = "drbdsetup net-options esc 1 --shared-secret=0a0a\n"
    with pytest.raises(Failed, match=r"^cannot change the options of the connection: ") as refused:
        commands.apply_net_options(run)
    assert "0a0a" not in refused.value.message + refused.value.hint


def test_words_that_cannot_be_taken_apart_are_refused() -> None:
    run = Commands()
    run.stdout = "drbdsetup net-options esc 1 --shared-secret='0a0a\n"
    with pytest.raises(Failed, match=r"^cannot change the options of the connection: drbdsetup would get words with"):
        commands.apply_net_options(run)


@pytest.mark.parametrize("uid", [0, 1000])
def test_systemd_reads_the_kernels_log_where_the_agent_may_not(monkeypatch: pytest.MonkeyPatch, uid: int) -> None:
    class Locked(Commands):
        def __call__(self, argv: Sequence[str], **named: Any) -> Completed:
            if argv[0] == "dmesg":
                raise NotPermitted("dmesg: read kernel buffer failed: Operation not permitted")
            return super().__call__(argv, **named)

    monkeypatch.setattr(os, "geteuid", lambda: uid)
    run = Locked()
    run.stdout = "what it says"
    if uid == 0:
        assert commands.read_kernel_log(run) == "what it says"
        assert run.asked == ["systemd-run --quiet --collect --wait --pipe --no-ask-password dmesg"]
    else:
        with pytest.raises(NotPermitted):
            commands.read_kernel_log(run)
        assert not run.asked


def test_it_connects_where_it_has_stopped_to() -> None:
    run = Commands()
    commands.connect(run)
    assert run.asked == ["drbdadm connect esc"]


@pytest.fixture
def processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A /proc with a process of any name and one that has just ended."""
    monkeypatch.setattr(commands, "PROCESSES", tmp_path)
    monkeypatch.setattr(commands, "QUESTION_LIMIT", 0.2)
    for name, comm in {"1": b"\xff\xfe\n", "2": None, "uptime": b"drbd_async_h\n"}.items():
        (tmp_path / name).mkdir()
        if comm is not None:
            (tmp_path / name / "comm").write_bytes(comm)
    return tmp_path


def test_the_volume_goes_down_once_drbd_has_had_its_answer(processes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (processes / "7").mkdir()
    comm = processes / "7" / "comm"
    comm.write_bytes(b"drbd_async_h\n")
    monkeypatch.setattr(commands, "QUESTION_LIMIT", 60.0)
    monkeypatch.setattr(time, "sleep", lambda _seconds: comm.unlink())

    class Watches(Commands):
        def __call__(self, argv: Sequence[str], **named: Any) -> Completed:
            assert argv[1] != "down" or not comm.exists()
            return super().__call__(argv, **named)

    run = Watches()
    commands.take_down(run)
    assert run.asked == ["drbdadm secondary esc", "drbdadm disconnect esc", "drbdadm down esc"]


@pytest.mark.parametrize("comm", [b"drbd_async_h\n", b"escadm-fence-pe\n"])
def test_a_volume_about_whose_peer_drbd_asks_stays_up(processes: Path, comm: bytes) -> None:
    """DRBD 8.4 takes a late answer for one about a volume that is gone: the kernel panics."""
    (processes / "7").mkdir()
    (processes / "7" / "comm").write_bytes(comm)
    run = Commands()
    with pytest.raises(
        Failed,
        match=r"^cannot take the volume down: DRBD waits for what it asked about a peer, ",
    ):
        commands.take_down(run)
    assert "drbdadm down esc" not in run.asked


def test_the_handlers_name_is_what_the_kernel_leaves_of_it() -> None:
    names = {Paths().fence_peer.name.encode()[:15], b"drbd_async_h"}
    assert names == commands.ASKERS


def test_promotion_is_never_by_force() -> None:
    run = Commands(primary=said("primary.peer-silent-and-not-noticed"))
    commands.promote(run)
    assert run.asked == ["drbdadm primary esc"]


@pytest.mark.parametrize(
    ("what", "again", "why"),
    [
        ("primary.peer-is-primary", True, "the peer is Primary, or DRBD has not noticed yet that it is gone"),
        ("primary.peer-is-primary-resync", True, "the peer is Primary, or DRBD has not noticed yet that it is gone"),
        ("primary.inconsistent", False, "neither this node nor the peer offers UpToDate data"),
        ("primary.peer-not-outdated", True, "it is not known what the peer does, which DRBD has no connection to"),
        ("no-module.primary", False, NO_MODULE),
    ],
)
def test_a_refused_promotion_says_why_and_whether_to_try_again(what: str, again: bool, why: str) -> None:
    with pytest.raises(Refused) as caught:
        commands.promote(Commands(primary=said(what)))
    assert (caught.value.message, caught.value.again) == (f"cannot become Primary: {why}", again)


def test_connecting_and_giving_up_the_own_changes() -> None:
    run = Commands(disconnect=(10, "esc: No such resource\n"), connect=said("connect.discard-while-connecting"))
    commands.connect_discarding(run)
    assert run.asked == ["drbdadm disconnect esc", "drbdadm connect --discard-my-data esc"]
    with pytest.raises(Failed, match=r"^cannot connect: --discard-my-data not allowed when primary\.$"):
        commands.connect_discarding(Commands(connect=(10, "esc: (123)\n--discard-my-data not allowed when primary.\n")))


def test_the_listener_ends_with_its_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "drbdsetup"
    program.write_text('#!/bin/sh\necho "$*"; sed s/x/y/; echo no >&2\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with commands.open_events() as process:
        assert process.stdout is not None
        assert process.stdout.read() == b"events2 esc\n"
    assert process.returncode == 0


def test_the_replica_of_a_volume_that_is_down_is_not_an_empty_one() -> None:
    assert commands.read_replica(Commands(events2=(0, "exists -\n"))) is None
    assert Replica() != commands.read_replica(Commands())


FROZEN = """exists resource name:esc role:Primary suspended:fencing
exists connection name:esc peer-node-id:1 conn-name:peer connection:Connecting role:Unknown
exists device name:esc volume:0 minor:1 disk:{disk} size:65404
"""


class Leaving(Commands):
    """A volume whose disk is let go in steps: each look at it sees the next of ``disks``, the last one for ever."""

    def __init__(self, *disks: str) -> None:
        super().__init__()
        self.disks = list(disks)

    def __call__(self, argv: Sequence[str], **named: Any) -> Completed:
        if "events2" in argv:
            self.stdout = FROZEN.format(disk=self.disks.pop(0) if len(self.disks) > 1 else self.disks[0])
        return super().__call__(argv, **named)


@pytest.mark.parametrize(
    ("disks", "done"),
    [
        (["UpToDate", "Diskless"], ["detach", "events2", "resume-io"]),
        (["UpToDate", "Failed", "Failed", "Diskless"], ["detach", "events2", "events2", "events2", "resume-io"]),
        (["UpToDate", "Detaching", "Diskless"], ["detach", "events2", "events2", "resume-io"]),
        (["Failed", "Diskless"], ["detach", "events2", "resume-io"]),
        (["Diskless"], ["events2", "resume-io"]),  # its disk has failed, or an earlier attempt came half the way
    ],
)
def test_writes_that_are_given_up_do_not_reach_the_disk(disks: list[str], done: list[str]) -> None:
    run = Leaving(*disks)
    commands.abandon(run)
    assert [told.split()[1] for told in run.asked[1:]] == done


def test_writes_wait_for_as_long_as_the_disk_is_not_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """DRBD 8.4 writes a new generation to a disk that is still Failed, and has a split brain of it later."""
    monkeypatch.setattr(commands, "DETACH_LIMIT", 0.1)
    run = Leaving("UpToDate", "Failed")
    with pytest.raises(Failed, match=r"^cannot give up the writes that wait: the disk is not let go yet \(Failed\)$"):
        commands.abandon(run)
    assert "drbdadm resume-io esc" not in run.asked


def test_writes_are_not_let_go_to_a_disk_that_is_still_there() -> None:
    run = Commands(detach=(17, "State change failed: (-2) Need access to UpToDate data\n"))
    run.stdout = FROZEN.format(disk="UpToDate")
    with pytest.raises(Failed, match=r"^cannot give up the writes that wait: "):
        commands.abandon(run)
    assert run.asked[-1] == "drbdadm detach --force esc"


PARSE_ERROR = (10, "/etc/drbd.d/esc.res:22: Parse error: 'resync-rate' | 'c-max-rate' expected,\n\tbut got 'fencing'\n")
"""What drbdadm says of a file for 8.4 when it cannot ask the module for its version."""


def test_a_file_that_nobody_reads_without_the_module_is_no_mistake_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "PROC", tmp_path / "absent")
    with pytest.raises(Failed, match=re.escape(NO_MODULE)):
        commands.bring_up(Commands(adjust=PARSE_ERROR))
    commands.take_down(Commands(down=PARSE_ERROR, secondary=PARSE_ERROR))
    commands.demote(Commands(secondary=PARSE_ERROR))
    monkeypatch.setattr(commands, "PROC", tmp_path)
    with pytest.raises(Failed, match="but got 'fencing'"):
        commands.bring_up(Commands(adjust=PARSE_ERROR))
