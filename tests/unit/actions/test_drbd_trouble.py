"""The volume as health looks at it. What DRBD and the kernel say is recorded; who says it is the test's own."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from escadm.actions.drbd_trouble import both_copies, check_replication
from escadm.core.drbd.evidence import Evidence, Replication
from escadm.core.drbd.state import Replica
from escadm.core.problem import HostFacts
from escadm.core.states import Role
from escadm.core.status import Health, Snapshot, Verdict
from escadm.errors import EscadmError, Failed, NotPermitted
from escadm.system.host import Host
from escadm.system.run import Completed

SAMPLES = Path(__file__).parents[1] / "system/drbd/8.4"
HERE, BESIDE = HostFacts({}), HostFacts({}, strict=False)
SINCE, WRITTEN = "2026-11-23T10:30:00Z", "2026-11-23T10:35:05Z"
THERE = Evidence("Secondary", "StandAlone", "UpToDate", "Off", 36864, "EAF871EBEC294564", None, SINCE)
SECRETS = "drbd esc: Authentication of peer failed, trying again.\n"


class Kernel:
    """DRBD in a recorded state, and the kernel's log."""

    def __init__(self, state: str, log: str | EscadmError = "") -> None:
        lines = (SAMPLES / f"{state}.events2.txt").read_text().splitlines()
        generation = (SAMPLES / f"{state}.gi.txt").read_text()
        self.said = {
            "drbdsetup": "".join(f"{line.split(' ', 1)[1]}\n" for line in lines),
            "drbdadm": generation,
            "dmesg": log,
        }

    def __call__(
        self,
        argv: Sequence[str],
        *,
        timeout: float,
        input: str | None = None,  # noqa: A002
        env: Mapping[str, str] | None = None,
        ok: Container[int] = (0,),
        cwd: str | None = None,
    ) -> Completed:
        said = self.said[argv[-1] if argv[0] == "systemd-run" else argv[0]]
        if isinstance(said, EscadmError):
            raise said
        return Completed(tuple(argv), 0, said, "")


def snapshot(peer: Evidence | None = None) -> Snapshot:
    """What the agent has published."""
    replica = Replica("Primary", "StandAlone", last_write=WRITTEN)
    verdict = Verdict(0, Health.HEALTHY, "ESC Master Healthy")
    return Snapshot(verdict, Role.MASTER, SINCE, replication=Replication(replica, peer))


def trouble(state: str, log: str | EscadmError = "", peer: Evidence | None = None) -> str:
    with pytest.raises(Failed) as caught:
        check_replication(snapshot(peer), HERE, Host(run=Kernel(state, log)))
    return caught.value.message


def test_what_is_well_is_told_in_drbds_words() -> None:
    told = check_replication(snapshot(), HERE, Host(run=Kernel("primary.a")))
    assert told == "Connected Primary/Secondary UpToDate/UpToDate Established"
    assert both_copies(snapshot(), HERE, Host(run=Kernel("primary.a"))) == ()


def test_why_drbd_has_refused_the_peer_is_in_the_kernels_log() -> None:
    cut, stopped = "replication is not connected to the peer", "replication has stopped (StandAlone)"
    assert trouble("link-cut.a") == cut
    assert (
        trouble("link-cut.a", SECRETS)
        == f"{cut}; DRBD has refused the peer (dmesg): the shared secrets of the nodes differ"
    )
    assert trouble("link-cut.a", NotPermitted("dmesg: not for you")) == f"{cut}; dmesg may say why"
    assert trouble("split-brain.a") == f"{stopped}; dmesg may say why"
    assert trouble("resync.b", SECRETS).startswith("its data is Inconsistent: being brought up to date from the peer (")
    assert trouble("outdated.b").startswith(
        "its data is Outdated: the peer has newer data, or may have: start the peer, or, "
    )
    assert trouble("down.a") == "the volume is not up"


def test_a_primary_without_a_disk_is_told_what_to_do() -> None:
    assert trouble("diskless.a").endswith("move the role with escadm switchover, then see to the disk")


def test_both_copies_of_a_split_brain_and_the_way_out() -> None:
    kernel = Kernel("split-brain.a")
    assert trouble("split-brain.a", SECRETS, THERE).startswith(
        "split brain: both nodes have written without each other"
    )
    assert (
        "\n".join(both_copies(snapshot(THERE), HERE, Host(run=kernel)))
        == """\
             this node             the peer
role         Primary               Secondary
role since   2026-11-23T10:30:00Z  2026-11-23T10:30:00Z
connection   StandAlone            StandAlone
disk         UpToDate              UpToDate
generation   98482637A0B0074C      EAF871EBEC294564
last write   2026-11-23T10:35:05Z  not known
out of sync  36 KiB                36 KiB
On the node whose changes are to go:  sudo escadm drbd resolve --discard-local
On the other node, whose data stays:  sudo escadm drbd resolve --keep-local"""
    )


def test_one_side_that_has_stopped_is_enough() -> None:
    waiting = Kernel("split-brain-one-waits.b")
    assert len(both_copies(snapshot(THERE), HERE, Host(run=waiting))) == 10
    assert both_copies(snapshot(), HERE, Host(run=waiting)) == ()
    assert len(both_copies(snapshot(), HERE, Host(run=Kernel("split-brain.a")))) == 10


def test_a_peer_that_is_refused_for_another_reason_is_no_choice_between_two_copies() -> None:
    lines = both_copies(snapshot(replace(THERE, out_of_sync=0)), HERE, Host(run=Kernel("split-brain.a")))
    assert len(lines) == 8
    assert not any("resolve" in line for line in lines)


def test_beside_the_machine_nobody_is_asked() -> None:
    with pytest.raises(NotPermitted):
        check_replication(snapshot(), BESIDE, Host(run=Kernel("split-brain.a")))
    assert both_copies(snapshot(), BESIDE, Host(run=Kernel("split-brain.a"))) == ()
