"""What is made of DRBD's words: of those recorded from 8.4 on two machines, and of a few of 9 by its manual."""

import pytest

from escadm.core.drbd.state import (
    NO_MODULE,
    Gate,
    Replica,
    explain_refusal,
    last_words,
    may_promote,
    parse_events2,
    parse_generation,
    why_unfit,
)
from tests.unit.core.recorded import SAMPLES, SIZE, STATES, STATES_OF_9, of_9, recorded, said

# state and node: the replica in words, and what is out of sync in KiB
TABLE = {
    "after-refused-down.a": ("Connected Primary/Secondary UpToDate/UpToDate Established", 0),
    "after-refused-down.b": ("Connected Secondary/Primary UpToDate/UpToDate Established", 0),
    "alone-inconsistent.a": ("Connecting Secondary/Unknown Inconsistent/DUnknown Off", 131032),
    "alone-inconsistent.b": None,
    "both-primary.a": ("Connecting Primary/Unknown UpToDate/DUnknown Off", 36),
    "both-primary.b": ("Connecting Primary/Unknown UpToDate/DUnknown Off", 36),
    "connected-inconsistent.a": ("Connected Secondary/Secondary Inconsistent/Inconsistent Established", 131032),
    "connected-inconsistent.b": ("Connected Secondary/Secondary Inconsistent/Inconsistent Established", 131032),
    "connected-secondary.a": ("Connected Secondary/Secondary UpToDate/UpToDate Established", 0),
    "connected-secondary.b": ("Connected Secondary/Secondary UpToDate/UpToDate Established", 0),
    "disconnected.a": ("Connecting Primary/Unknown UpToDate/DUnknown Off", 0),
    "disconnected.b": ("StandAlone Secondary/Unknown UpToDate/DUnknown Off", 0),
    "diskless-alone.a": ("Connecting Secondary/Unknown Diskless/DUnknown Off", 0),
    "diskless-alone.b": ("Connecting Secondary/Unknown UpToDate/DUnknown Off", 36),
    "diskless-secondary.a": ("Connected Secondary/Secondary Diskless/UpToDate Established", 0),
    "diskless-secondary.b": ("Connected Secondary/Secondary UpToDate/Diskless Established", 36),
    "diskless.a": ("Connected Primary/Secondary Diskless/UpToDate Established", 0),
    "diskless.b": ("Connected Secondary/Primary UpToDate/Diskless Established", 32),
    "down.a": None,
    "down.b": None,
    "fencing.a": ("Connecting Secondary/Unknown UpToDate/DUnknown Off", 0),
    "fencing.b": ("Connecting Secondary/Unknown UpToDate/DUnknown Off", 0),
    "link-cut.a": ("Connecting Primary/Unknown UpToDate/DUnknown Off", 0),
    "link-cut.b": ("Connecting Secondary/Unknown UpToDate/DUnknown Off", 0),
    "outdated.a": ("Connecting Primary/Unknown UpToDate/DUnknown Off", 0),
    "outdated.b": ("Connecting Secondary/Unknown Outdated/DUnknown Off", 0),
    "primary.a": ("Connected Primary/Secondary UpToDate/UpToDate Established", 0),
    "primary.b": ("Connected Secondary/Primary UpToDate/UpToDate Established", 0),
    "resync-interrupted.a": ("Connecting Primary/Unknown UpToDate/Inconsistent Off", None),
    "resync-interrupted.b": ("Connecting Secondary/Unknown Inconsistent/DUnknown Off", None),
    "resync-paused.a": ("Connected Primary/Secondary UpToDate/Inconsistent PausedSyncS", None),
    "resync-paused.b": ("Connected Secondary/Primary Inconsistent/UpToDate PausedSyncT", None),
    "resync.a": ("Connected Primary/Secondary UpToDate/Inconsistent SyncSource", None),
    "resync.b": ("Connected Secondary/Primary Inconsistent/UpToDate SyncTarget", None),
    "split-brain-one-waits.a": ("StandAlone Primary/Unknown UpToDate/DUnknown Off", 36),
    "split-brain-one-waits.b": ("Connecting Secondary/Unknown UpToDate/DUnknown Off", 36),
    "split-brain.a": ("StandAlone Primary/Unknown UpToDate/DUnknown Off", 36),
    "split-brain.b": ("StandAlone Primary/Unknown UpToDate/DUnknown Off", 36),
    "unconfigured.a": None,
    "unconfigured.b": None,
}


def test_every_sample_is_in_the_table() -> None:
    assert sorted(STATES) == sorted(TABLE)


@pytest.mark.parametrize("state", TABLE)
def test_a_recorded_state(state: str) -> None:
    found, expected = recorded(state), TABLE[state]
    if found is None or expected is None:
        assert (found, expected) == (None, None)
        return
    words, out_of_sync = expected
    assert (found.words, found.size) == (words, SIZE)
    if out_of_sync is None:  # in the midst of a resync the recording has another figure each time
        assert 0 < found.out_of_sync < SIZE
        assert found.done == 1 - found.out_of_sync / SIZE
    else:
        assert found.out_of_sync == out_of_sync * 1024
    assert found.is_connected == words.startswith("Connected ")
    assert found.is_primary == (" Primary/" in words)
    assert found.is_syncing == (" Sync" in words)


NINE = (SAMPLES / "9" / "secondary.events2.txt").read_text()

# state: the replica in words, out of sync in KiB
TABLE_OF_9 = {
    "secondary": ("Connected Secondary/Primary UpToDate/UpToDate Established", 0),
    "primary": ("Connected Primary/Secondary UpToDate/UpToDate Established", 0),
    "sync-source": ("Connected Primary/Secondary UpToDate/Inconsistent SyncSource", 74752),
    "sync-target": ("Connected Secondary/Primary Inconsistent/UpToDate SyncTarget", 65516),
    "verify": ("Connected Primary/Secondary UpToDate/UpToDate VerifyS", 0),
    "alone": ("Connecting Primary/Unknown UpToDate/Outdated Off", 148),
    "frozen": ("Connecting Primary/Unknown UpToDate/DUnknown Off suspended:fencing", 4),
    "consistent": ("Connecting Secondary/Unknown Consistent/DUnknown Off", 0),
    "split-brain": ("StandAlone Primary/Unknown UpToDate/DUnknown Off", 148),
    "diskless": ("Connected Primary/Secondary Diskless/UpToDate Established", 0),
    "down": None,
}


def test_every_state_of_9_is_in_the_table() -> None:
    assert sorted(STATES_OF_9) == sorted(TABLE_OF_9)


@pytest.mark.parametrize("state", TABLE_OF_9)
def test_drbd_9_tells_the_same_in_the_same_words(state: str) -> None:
    found, expected = of_9(state), TABLE_OF_9[state]
    if found is None or expected is None:
        assert (found, expected) == (None, None)
        return
    assert (found.words, found.out_of_sync // 1024, found.size) == (*expected, SIZE)


@pytest.mark.parametrize("told", ["Connecting", "Unconnected", "Timeout", "BrokenPipe", "NetworkFailure"])
def test_what_is_on_the_way_to_a_connection_is_connecting(told: str) -> None:
    found = parse_events2(NINE.replace("connection:Connected", f"connection:{told}"))
    assert found is not None
    assert found.connection == "Connecting"


def test_a_resource_that_is_just_being_made_has_parts_that_are_not_known() -> None:
    found = parse_events2("create resource name:esc role:Secondary suspended:no\n")
    assert found == Replica(role="Secondary", connection="StandAlone")
    assert found.done is None


@pytest.mark.parametrize(("told", "suspended"), [("no", ""), ("fencing", "fencing"), ("user,no-data", "user,no-data")])
def test_why_writes_wait(told: str, suspended: str) -> None:
    found = parse_events2(NINE.replace(" suspended:no", f" suspended:{told}"))
    assert found is not None
    assert found.suspended == suspended


@pytest.mark.parametrize(
    "text", ["", "\n \nexists\n", "exists -\n", "exists device name:esc disk:UpToDate\n", "\0 x y z"]
)
def test_without_a_resource_there_is_no_replica(text: str) -> None:
    assert parse_events2(text) is None


def test_figures_that_are_none_count_as_nothing() -> None:
    found = parse_events2("exists resource role:Primary x\nexists device size:much out-of-sync:-1\n")
    assert found is not None
    assert (found.size, found.out_of_sync, found.done) == (0, 0, None)
    assert Replica(out_of_sync=20, size=10).done == 0.0


# --- what follows from it ---

INCONSISTENT = "its data is Inconsistent: a sync from the peer has not been completed"
OUTDATED = "its data is Outdated: the peer has newer data, or may have"
DISKLESS = "it has no disk (Diskless): the disk was lost or never attached"
NOT_UP = "DRBD does not have the volume up"
STOPPED = "replication has stopped (StandAlone), and the peer may have newer data"
UNKNOWN_AGE = "the data is consistent, but whether it is the newest only the peer knows"


def unfit_by_the_table(state: str) -> str:
    expected = TABLE[state]
    if expected is None:
        return NOT_UP
    connection, role, disks = expected[0].split()[:3]
    disk = disks.split("/")[0]
    if (connection, role, disk) == ("StandAlone", "Secondary/Unknown", "UpToDate"):
        return STOPPED
    return {"UpToDate": "", "Inconsistent": INCONSISTENT, "Outdated": OUTDATED, "Diskless": DISKLESS}[disk]


@pytest.mark.parametrize("state", TABLE)
def test_the_gate_is_open_for_up_to_date_data_alone(state: str) -> None:
    """DRBD itself says the same for all of the refused ones, so the reason comes from here."""
    why = unfit_by_the_table(state)
    assert why_unfit(recorded(state)) == why
    assert may_promote(recorded(state)) == ((Gate.REFUSE, why) if why else (Gate.GO, ""))


@pytest.mark.parametrize(
    ("disk", "gate", "why", "unfit"),
    [
        ("Attaching", Gate.WAIT, "the disk is Attaching", ""),
        ("Negotiating", Gate.WAIT, "the disk is Negotiating", ""),
        ("Failed", Gate.REFUSE, "its disk has failed", None),
        ("DUnknown", Gate.REFUSE, "the state of its disk is not known", None),
        ("Unknown", Gate.REFUSE, "the state of its disk is Unknown", None),
        ("Detaching", Gate.REFUSE, "the state of its disk is Detaching", None),
    ],
)
def test_states_of_the_disk_that_pass_quickly(disk: str, gate: Gate, why: str, unfit: str | None) -> None:
    assert may_promote(Replica(disk=disk)) == (gate, why)
    assert why_unfit(Replica(disk=disk)) == (why if unfit is None else unfit)


def test_consistent_data_is_not_served_before_the_peer_has_been_asked() -> None:
    """DRBD makes it UpToDate or Outdated as soon as the nodes are connected."""
    waits = (Gate.WAIT, f"{UNKNOWN_AGE}: waiting for it")
    assert may_promote(Replica(disk="Consistent", connection="Connected")) == waits
    assert may_promote(Replica(disk="Consistent", connection="Connecting")) == waits
    assert may_promote(Replica(disk="Consistent", connection="StandAlone")) == (Gate.REFUSE, UNKNOWN_AGE)
    assert why_unfit(Replica(disk="Consistent", connection="Connected")) == ""
    assert why_unfit(Replica(disk="Consistent", connection="Connecting")) == UNKNOWN_AGE


def test_a_standby_that_has_stopped_replicating_is_unfit_and_a_primary_is_not() -> None:
    assert why_unfit(Replica("Secondary", "StandAlone", disk="UpToDate")) == STOPPED
    assert may_promote(Replica("Secondary", "StandAlone", disk="UpToDate")) == (Gate.REFUSE, STOPPED)
    assert why_unfit(Replica("Primary", "StandAlone", disk="UpToDate")) == ""
    assert why_unfit(Replica("Secondary", "StandAlone", disk="Attaching")) == ""


@pytest.mark.parametrize(
    ("replica", "quiet"),
    [
        (Replica("Primary", "Connected", replication="Established"), True),
        (Replica("Primary", "Connected", replication="Established", out_of_sync=4096), False),
        (Replica("Primary", "Connected", replication="SyncSource"), False),
        (Replica("Primary", "Connected", replication="VerifyS"), False),
        (Replica("Primary", "Connecting"), False),
        (Replica("Primary", "StandAlone"), False),
    ],
)
def test_only_a_pair_at_rest_changes_by_events_alone(replica: Replica, quiet: bool) -> None:
    assert replica.is_quiet is quiet


def test_a_primary_may_work_over_its_peers_disk() -> None:
    uses = {state for state in STATES if (found := recorded(state)) and found.uses_peers_disk}
    assert uses == {"diskless.a"}
    assert not Replica("Primary", "Connected", disk="Diskless", peer_disk="Inconsistent").uses_peers_disk


@pytest.mark.parametrize(
    ("text", "generation"),
    [
        ("829BFB1B0E1CDDE6:0000000000000000:98492637A0B0074C:98492637A0B0074C:1:1:0:0:0:0:0\n", "829BFB1B0E1CDDE6"),
        ("98482637A0B0074D:EAF871EBEC294565:78F658D15D71668F:78F558D15D71668F:1:1:1:0:0:0:0", "98482637A0B0074C"),
        ("pread(5,...,4096,134213632) in v08_md_disk_to_cpu failed: Input/output error\n", ""),
        ("", ""),
        ("829BFB1B0E1CDDE:", ""),
    ],
)
def test_the_generation_of_the_data(text: str, generation: str) -> None:
    assert parse_generation(text) == generation


def test_both_nodes_of_a_pair_in_sync_have_one_generation_and_those_of_a_split_pair_have_two() -> None:
    def generation(state: str) -> str:
        return parse_generation((SAMPLES / "8.4" / f"{state}.gi.txt").read_text())

    assert generation("primary.a") == generation("primary.b") == "5AB4AFCC08D28A8C"
    assert generation("split-brain.a") != generation("split-brain.b")


# --- refusals ---

NEEDS_DATA = ("neither this node nor the peer offers UpToDate data", False)
PEER_PRIMARY = ("the peer is Primary, or DRBD has not noticed yet that it is gone", True)
HELD = ("something holds the device open", False)

SAID = {
    "attach.disk-error": ("pread(5,...,4096,134213632) in v08_md_disk_to_cpu failed: Input/output error", False),
    "create-md.file-system": ("Operation refused.", False),
    "create-md.meta-data": ("stdin not a TTY, not waiting for confirmation", False),
    "create-md.small-file-system": ("stdin not a TTY, not waiting for confirmation", False),
    "down.held-open": HELD,
    "no-module.down": (NO_MODULE, False),
    "no-module.events2": (NO_MODULE, False),
    "no-module.events2-84": (NO_MODULE, False),
    "no-module.primary": (NO_MODULE, False),
    "no-module.role": (NO_MODULE, False),
    "no-module.status": (NO_MODULE, False),
    "no-module.up": (NO_MODULE, False),
    "primary.diskless": NEEDS_DATA,
    "primary.inconsistent": NEEDS_DATA,
    "primary.inconsistent-alone": NEEDS_DATA,
    "primary.interrupted-resync": NEEDS_DATA,
    "primary.outdated": NEEDS_DATA,
    "primary.peer-is-primary": PEER_PRIMARY,
    "primary.peer-is-primary-resync": PEER_PRIMARY,
    "primary.peer-not-outdated": ("it is not known what the peer does, which DRBD has no connection to", True),
    "secondary.held-open": HELD,
    "up.again": ("Device '1' is configured!", False),
    "up.no-meta-data": ("No valid meta data found", False),
}
NO_REFUSALS_OF_DRBD = {
    "connect.discard-while-connecting",
    "mount.secondary",
    "no-module.create-md",
    "no-module.proc",
    "outdate.primary",
    "primary.peer-silent-and-not-noticed",
    "split-brain.kernel",
}


def test_every_recorded_refusal_is_in_the_table() -> None:
    names = {path.name.removeprefix("said.").removesuffix(".txt") for path in (SAMPLES / "8.4").glob("said.*.txt")}
    assert names == set(SAID) | NO_REFUSALS_OF_DRBD


@pytest.mark.parametrize("what", SAID)
def test_a_recorded_refusal_in_plain_words(what: str) -> None:
    assert explain_refusal(said(what)) == SAID[what]


@pytest.mark.parametrize(
    ("text", "again"),
    [
        ("esc: State change failed: (-19) Concurrent state changes detected and aborted", True),
        ("esc: State change failed: (-18) In transient state, retry after next state change", True),
        ("esc: State change failed: (-20) Timeout in operation", True),
        ("esc: State change failed: (-10) State change was refused by peer node", False),
        ("esc: State change failed: (-22) Peer may not become primary while device is opened read-only", False),
    ],
)
def test_other_words_of_drbdsetup(text: str, again: bool) -> None:
    """The words as they are in drbdsetup 9.22 (written, not recorded; the numbers in brackets do not matter)."""
    meaning, told = explain_refusal(text)
    assert told is again
    assert "State change failed" not in meaning


def test_words_that_nobody_knows_are_told_as_they_are() -> None:
    assert explain_refusal("one\n two \n\n") == ("two", False)
    assert explain_refusal(" \n") == ("DRBD gave no reason", False)
    assert last_words("Command 'x' terminated with exit code 1\n") == "Command 'x' terminated with exit code 1"
    assert last_words("") == ""


def test_what_drbdadm_says_of_a_command_it_ran_is_no_telling_and_never_shows_the_secret() -> None:
    ended = "Command 'drbdsetup net-options esc 0 --shared-secret=0a0a' did not terminate within 5 seconds"
    assert last_words(f"it is busy\n{ended}\n") == "it is busy"
    assert last_words(ended) == ended.replace("0a0a'", "***")
