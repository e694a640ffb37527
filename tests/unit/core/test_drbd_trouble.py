"""What is wrong with the replication although the node works, told for people."""

from dataclasses import replace

import pytest

from escadm.core.drbd import trouble
from escadm.core.drbd.evidence import Evidence, evidence_of
from escadm.core.drbd.state import Replica
from escadm.core.drbd.trouble import (
    clock,
    degradation,
    has_refused_for_its_secret,
    is_split,
    last_refusal,
    progress,
    side_by_side,
    size,
    unfitness,
)
from escadm.core.reason import Reason
from tests.unit.core.recorded import SIZE, STATES, STATES_OF_9, of_9, recorded, said

CUT, SPLIT, STOPPED = trouble.CUT.sentence, trouble.SPLIT.sentence, trouble.STOPPED.sentence
MIB = 1 << 20
FINE = Replica("Primary", "Connected", "Secondary", "UpToDate", "UpToDate", "Established", 0, SIZE)
NO_DISK = (
    "it has no disk (Diskless) and works over the peer's: move the role with escadm switchover, then see to the disk"
)
PEER_WITHOUT = "the peer has no disk (Diskless): what is written is on this node alone"


def told_by(reason: Reason | None) -> str:
    """The sentence, empty where there is none; a reason has a code and says what it is about."""
    assert reason is None or (reason.code and reason.subject == "drbd")
    return reason.sentence if reason else ""


DEGRADED = {
    "alone-inconsistent.a": CUT,
    "both-primary.a": CUT,
    "both-primary.b": CUT,
    "connected-inconsistent.a": "the peer's disk is Inconsistent",
    "connected-inconsistent.b": "the peer's disk is Inconsistent",
    "disconnected.a": CUT,
    "disconnected.b": STOPPED,
    "diskless-alone.a": CUT,
    "diskless-alone.b": CUT,
    "diskless-secondary.b": PEER_WITHOUT,
    "diskless.a": NO_DISK,
    "diskless.b": PEER_WITHOUT,
    "fencing.a": CUT,
    "fencing.b": CUT,
    "link-cut.a": CUT,
    "link-cut.b": CUT,
    "outdated.a": CUT,
    "outdated.b": CUT,
    "resync-interrupted.a": CUT,
    "resync-interrupted.b": CUT,
    "split-brain-one-waits.a": STOPPED,
    "split-brain-one-waits.b": CUT,
    "split-brain.a": STOPPED,
    "split-brain.b": STOPPED,
}


@pytest.mark.parametrize("state", [state for state in STATES if not state.startswith(("resync.", "resync-paused."))])
def test_what_is_wrong_although_the_node_works(state: str) -> None:
    assert told_by(degradation(recorded(state))) == DEGRADED.get(state, "")


DEGRADED_OF_9 = {
    "alone": CUT,
    "consistent": CUT,
    "diskless": NO_DISK,
    "frozen": "writes wait until it is known what the peer does (suspended:fencing)",
    "split-brain": STOPPED,
    "sync-source": "the peer is being brought up to date (42%, 73 MiB to go)",
    "sync-target": "its data is Inconsistent: being brought up to date from the peer (50%, 64 MiB to go)",
}


@pytest.mark.parametrize("state", STATES_OF_9)
def test_the_same_of_drbd_9(state: str) -> None:
    assert told_by(degradation(of_9(state))) == DEGRADED_OF_9.get(state, "")


@pytest.mark.parametrize(
    ("state", "begin"),
    [
        ("resync.a", "the peer is being brought up to date ("),
        ("resync.b", "its data is Inconsistent: being brought up to date from the peer ("),
        ("resync-paused.a", "bringing the peer up to date is paused ("),
        ("resync-paused.b", "being brought up to date from the peer is paused ("),
    ],
)
def test_a_resync_is_told_with_its_progress(state: str, begin: str) -> None:
    found = recorded(state)
    assert found is not None
    assert told_by(degradation(found)).startswith(begin)
    assert told_by(degradation(found)).endswith(f"{progress(found)}")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, ""),
        ({"replication": "WFBitMapS", "out_of_sync": SIZE}, "the nodes agree on a resync (WFBitMapS)"),
        ({"out_of_sync": 4096}, "4096 bytes are out of sync although nothing is being copied"),
        ({"replication": "VerifyS"}, ""),
        ({"replication": "VerifyT"}, ""),
        (
            {"replication": "VerifyT", "out_of_sync": 4096},
            "4096 bytes differ between the nodes: an online verify has found them",
        ),
        (
            {"replication": "Ahead", "peer_disk": "Consistent", "out_of_sync": SIZE // 2},
            "the link cannot keep up: the peer is behind, and will be brought up to date (50%, 64 MiB to go)",
        ),
        (
            {"replication": "Behind", "out_of_sync": SIZE // 2},
            "the link cannot keep up: behind the primary (50%, 64 MiB to go)",
        ),
        ({"peer_disk": "Outdated"}, "the peer's data is Outdated"),
        ({"peer_disk": "Failed"}, "the peer's disk has failed: what is written is on this node alone"),
        (
            {"suspended": "user"},
            "writes wait because somebody has suspended them: drbdadm resume-io esc (suspended:user)",
        ),
        (
            {"suspended": "no-data,fencing"},
            "writes wait because neither node offers UpToDate data (suspended:no-data,fencing)",
        ),
        ({"suspended": "tea"}, "writes wait (tea) (suspended:tea)"),
    ],
)
def test_states_that_are_rarely_seen(changes: dict[str, object], told: str) -> None:
    assert told_by(degradation(replace(FINE, **changes))) == told  # type: ignore[arg-type]


def test_nothing_is_wrong_with_a_volume_that_is_not_there() -> None:
    assert told_by(degradation(None)) == ""


def test_the_time_to_go_is_told_where_it_is_known_and_100_only_of_what_is_done() -> None:
    syncing = replace(FINE, replication="SyncSource", out_of_sync=73 * MIB, bytes_per_second=6.0 * MIB)
    assert told_by(degradation(syncing)) == "the peer is being brought up to date (42%, 73 MiB to go, 0:12)"
    assert progress(replace(syncing, out_of_sync=4096)) == " (99%, 4 KiB to go, 0:00)"
    assert progress(replace(syncing, size=0)) == ""


@pytest.mark.parametrize(
    ("count", "told"),
    [
        (0, "nothing"),
        (4096, "4 KiB"),
        (MIB, "1.0 MiB"),
        (73 * MIB, "73 MiB"),
        (3 << 29, "1.5 GiB"),
        (1 << 41, "2.0 TiB"),
    ],
)
def test_bytes_for_people(count: int, told: str) -> None:
    assert size(count) == told


@pytest.mark.parametrize(("seconds", "told"), [(0.4, "0:00"), (72, "1:12"), (3599.6, "1:00:00"), (3723, "1:02:03")])
def test_seconds_for_people(seconds: float, told: str) -> None:
    assert clock(seconds) == told


# --- data that must not be served ---

LOST = "start the peer, or, if it is lost for good: escadm drbd resolve --keep-local"
ASK = "escadm health says more"
UNKNOWN_AGE = "the data is consistent, but whether it is the newest only the peer knows"
OUTDATED = "its data is Outdated: the peer has newer data, or may have"


@pytest.mark.parametrize(
    ("connection", "disk", "heard", "told"),
    [
        ("Connecting", "UpToDate", False, ""),
        ("Connecting", "Consistent", False, f"{UNKNOWN_AGE}: {LOST}"),
        ("Connecting", "Consistent", True, UNKNOWN_AGE),
        ("Connecting", "Outdated", False, f"{OUTDATED}: {LOST}"),
        ("Connecting", "Outdated", True, OUTDATED),
        ("StandAlone", "Outdated", False, f"{OUTDATED}: {ASK}"),
        (
            "StandAlone",
            "UpToDate",
            True,
            f"replication has stopped (StandAlone), and the peer may have newer data: {ASK}",
        ),
        ("Connecting", "Inconsistent", False, "its data is Inconsistent: a sync from the peer has not been completed"),
        ("StandAlone", "Failed", False, "its disk has failed"),
        ("Connected", "Diskless", True, "it has no disk (Diskless): the disk was lost or never attached"),
    ],
)
def test_data_that_must_not_be_served_and_the_way_out(connection: str, disk: str, heard: bool, told: str) -> None:
    replica = Replica("Secondary", connection, disk=disk)
    assert told_by(unfitness(replica, Evidence("Primary") if heard else None)) == told


def test_a_standby_in_a_split_brain_is_told_as_that() -> None:
    standby = Replica("Secondary", "StandAlone", disk="UpToDate", out_of_sync=4096)
    assert told_by(unfitness(standby, Evidence("Primary", "StandAlone", "UpToDate", out_of_sync=4096))) == SPLIT


def test_data_that_somebody_is_at_work_on_is_told_as_that() -> None:
    syncing, diskless = recorded("resync.b"), recorded("diskless.a")
    assert syncing is not None
    assert diskless is not None
    assert told_by(unfitness(syncing, None)) == told_by(unfitness(diskless, None)) == ""


# --- the peer's word ---

ALONE = replace(FINE, connection="Connecting", peer_role="Unknown", peer_disk="DUnknown", replication="Off")
HERE = replace(ALONE, connection="StandAlone", out_of_sync=36864)


@pytest.mark.parametrize(
    ("own", "peer", "told"),
    [
        (HERE, Evidence("Primary", "StandAlone", "UpToDate", out_of_sync=4096), SPLIT),
        (HERE, Evidence("Secondary", "Connecting", "UpToDate", out_of_sync=4096), SPLIT),
        (replace(HERE, connection="Connecting"), Evidence("Primary", "StandAlone", out_of_sync=4096), SPLIT),
        (HERE, Evidence("Secondary", "StandAlone", "UpToDate"), STOPPED),
        (HERE, None, STOPPED),
        (
            ALONE,
            Evidence("Secondary", "StandAlone"),
            "the peer has stopped the replication (StandAlone): escadm health says more",
        ),
        (ALONE, Evidence("Secondary", "Connecting"), CUT),
        (replace(HERE, connection="Connecting"), Evidence("Primary", "Connecting", out_of_sync=4096), CUT),
        (
            replace(FINE, out_of_sync=4096),
            Evidence("Secondary", "StandAlone", out_of_sync=1),
            "4096 bytes are out of sync although nothing is being copied",
        ),
    ],
)
def test_both_sides_together_tell_a_split_brain_from_a_cut(own: Replica, peer: Evidence | None, told: str) -> None:
    assert told_by(degradation(own, peer)) == told
    assert is_split(own, peer) is (told == SPLIT)


def test_the_recorded_split_brain() -> None:
    one, other = recorded("split-brain.a"), recorded("split-brain.b")
    assert one is not None
    assert other is not None
    assert is_split(one, evidence_of(other, None))


def test_both_copies_side_by_side() -> None:
    own = Evidence("Primary", "StandAlone", "UpToDate", "Off", 36864, "98482637A0B0074C", "2026-11-23T10:35:05Z", None)
    peer = Evidence("Secondary", "Connecting", "UpToDate", "Off", 0)
    assert (
        "\n".join(side_by_side(own, peer))
        == """\
             this node             the peer
role         Primary               Secondary
role since   not known             not known
connection   StandAlone            Connecting
disk         UpToDate              UpToDate
generation   98482637A0B0074C      not known
last write   2026-11-23T10:35:05Z  not known
out of sync  36 KiB                nothing"""
    )
    assert {line.split("  ")[-1].strip() for line in side_by_side(own, None)[1:]} == {"not known"}


# --- the kernel's log ---


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("block drbd1: The peer's disk size is too small!", "the peer's disk is smaller than what is in use here"),
        (
            "drbd r0/0 drbd1 node-b: The peer's disk size is too small! (67110832 < 67127216 sectors)",
            "the peer's disk is smaller than what is in use here",
        ),
        (
            "drbd esc: incompatible protocol settings",
            "the peer has another setting of protocol: compare /etc/drbd.d/esc.res of both nodes",
        ),
        (
            "drbd esc: incompatible after-sb-0pri settings",
            "the peer has another setting of after-sb-0pri: compare /etc/drbd.d/esc.res of both nodes",
        ),
        ("drbd esc: Authentication of peer failed, trying again.", "the shared secrets of the nodes differ"),
        (
            "drbd esc: expected AuthChallenge packet, received: ReportProtocol (0x000b)",
            "the peer has no shared secret, and this node has one",
        ),
        ("block drbd1: Unrelated data, aborting!", "the two disks do not come from one first installation"),
        ("someone: Unrelated data, aborting!", ""),
        ("drbd esc: conn( Unconnected -> WFConnection )", ""),
    ],
)
def test_why_drbd_has_refused_the_peer(line: str, told: str) -> None:
    log = f"[  1.0] block drbd1: disk( Attaching -> UpToDate )\n[  2.0] {line}\n[  3.0] drbd esc: Connection closed\n"
    assert last_refusal(log) == told


def test_the_recorded_log_of_a_split_brain() -> None:
    assert last_refusal(said("split-brain.kernel")) == "split brain: both nodes have written without each other"


def test_the_last_refusal_counts() -> None:
    log = "drbd esc: Authentication of peer failed\nblock drbd1: Unrelated data, aborting!\n"
    assert last_refusal(log) == "the two disks do not come from one first installation"
    assert last_refusal("") == ""


REFUSED = "drbd esc: Authentication of peer failed\n"


@pytest.mark.parametrize(
    ("log", "refused"),
    [
        (REFUSED, True),
        ("drbd esc: expected AuthChallenge packet, received: ReportProtocol (0x000b)", True),
        (
            f"{REFUSED}drbd esc: conn( WFConnection -> Disconnecting )\ndrbd esc: conn( Disconnecting -> StandAlone )",
            True,
        ),
        (f"{REFUSED}drbd r0: conn( WFReportParams -> Connected )\nblock drbd7: conn( X -> WFBitMapS )", True),
        # it has been connected since, or has begun to connect again, or went beyond that
        (f"{REFUSED}drbd esc/0 drbd1: conn( WFReportParams -> Connected )", False),
        (f"{REFUSED}drbd esc: conn( StandAlone -> Unconnected )", False),
        (f"{REFUSED}drbd esc: Peer authenticated using 32 bytes HMAC\ndrbd esc: State change failed", False),
        # the network, another volume, another reason
        ("drbd esc: Authentication of peer failed, trying again.", False),
        (REFUSED.replace("esc", "r0"), False),
        ("drbd esc: Split-Brain detected but unresolved, dropping connection!", False),
        ("drbd esc: conn( Connected -> Disconnecting )", False),
        ("", False),
    ],
)
def test_whether_the_peer_has_not_proven_to_have_the_secret(log: str, refused: bool) -> None:
    assert has_refused_for_its_secret(log) is refused


@pytest.mark.parametrize(
    "connected",
    [
        "block drbd1: peer( Unknown -> Secondary ) conn( WFReportParams -> Connected ) pdsk( DUnknown -> UpToDate )",
        "block drbd1: conn( WFReportParams -> WFBitMapS ) pdsk( DUnknown -> Consistent )",
        "drbd esc node-b: conn( Connecting -> Connected ) peer( Unknown -> Secondary )",
    ],
)
def test_what_was_refused_before_the_nodes_were_connected_again_is_history(connected: str) -> None:
    assert last_refusal(f"drbd esc: Authentication of peer failed\n{connected}\n") == ""
    assert last_refusal(f"{connected}\ndrbd esc: Authentication of peer failed\n") != ""
