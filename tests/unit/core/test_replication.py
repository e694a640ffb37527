"""What is made of DRBD's words: of those recorded from 8.4 on two machines, and of a few of 9 by its manual."""

from pathlib import Path

import pytest

from escadm.core.replication import (
    NO_MODULE,
    Gate,
    Replica,
    degradation,
    explain_refusal,
    last_words,
    may_promote,
    parse_events2,
    why_unfit,
)

SAMPLES = Path(__file__).parents[1] / "system" / "drbd" / "8.4"
SIZE = 131032 * 1024
STATES = {path.name.removesuffix(".events2.txt"): path for path in SAMPLES.glob("*.[ab].events2.txt")}


def recorded(state: str) -> Replica | None:
    """The samples were recorded with --timestamps, which escadm does not ask for: the first word goes."""
    lines = STATES[state].read_text().splitlines()
    return parse_events2("".join(f"{line.split(' ', 1)[1]}\n" for line in lines))


def said(what: str) -> str:
    """The complaint without the prompt in front and the exit code behind."""
    return "".join((SAMPLES / f"said.{what}.txt").read_text().splitlines(keepends=True)[1:-1])


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
        assert found is expected is None
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
    assert found.is_syncing == ("Sync" in words)


# By the documentation of DRBD 9 (drbdsetup-9.0(8), events2), written and not recorded.
NINE = """\
exists resource name:esc role:Secondary suspended:no force-io-failures:no may_promote:no promotion_score:10102
exists connection name:esc peer-node-id:1 conn-name:node-b connection:Connected role:Primary
exists path name:esc peer-node-id:1 conn-name:node-b local:ipv4:172.16.0.0:7789 peer:ipv4:172.16.1.0:7789 \
established:yes
exists device name:esc volume:0 minor:1 backing_dev:/dev/vdb disk:UpToDate client:no open:no quorum:yes size:131032 \
read:0 written:0
exists peer-device name:esc peer-node-id:1 conn-name:node-b volume:0 replication:Established peer-disk:UpToDate \
peer-client:no resync-suspended:no received:0 sent:0 out-of-sync:0
exists -
"""


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "Connected Secondary/Primary UpToDate/UpToDate Established"),
        (
            {
                "disk:UpToDate client": "disk:Inconsistent client",
                "replication:Established": "replication:SyncTarget",
                "out-of-sync:0": "out-of-sync:65516 done:50.00",
            },
            "Connected Secondary/Primary Inconsistent/UpToDate SyncTarget",
        ),
        (
            {
                "connection:Connected role:Primary": "connection:Unconnected role:Unknown",
                "replication:Established": "replication:Off",
                "peer-disk:UpToDate": "peer-disk:DUnknown",
            },
            "Connecting Secondary/Unknown UpToDate/DUnknown Off",
        ),
        (
            {
                "connection:Connected role:Primary": "connection:StandAlone role:Unknown",
                "replication:Established peer-disk:UpToDate": "replication:Off peer-disk:Outdated",
            },
            "StandAlone Secondary/Unknown UpToDate/Outdated Off",
        ),
    ],
)
def test_drbd_9_tells_the_same_in_the_same_words(changes: dict[str, str], words: str) -> None:
    text = NINE
    for old, new in changes.items():
        assert text.count(old) == 1
        text = text.replace(old, new)
    found = parse_events2(text)
    assert found is not None
    assert (found.words, found.size) == (words, SIZE)
    assert found.done == (0.5 if "done:50.00" in text else 1.0)


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
OUTDATED = "its data is Outdated: the peer has newer data"
DISKLESS = "it has no disk (Diskless): the disk was lost or never attached"
NOT_UP = "DRBD does not have the volume up"


def unfit_by_the_table(state: str) -> str:
    expected = TABLE[state]
    if expected is None:
        return NOT_UP
    disk = expected[0].split()[2].split("/")[0]
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
        (
            "Consistent",
            Gate.WAIT,
            "the data is consistent, but whether it is the newest only the peer knows: waiting for it",
            "",
        ),
        ("Failed", Gate.REFUSE, "its disk has failed", None),
        ("DUnknown", Gate.REFUSE, "the state of its disk is not known", None),
        ("Unknown", Gate.REFUSE, "the state of its disk is Unknown", None),
        ("Detaching", Gate.REFUSE, "the state of its disk is Detaching", None),
    ],
)
def test_states_of_the_disk_that_pass_quickly(disk: str, gate: Gate, why: str, unfit: str | None) -> None:
    assert may_promote(Replica(disk=disk)) == (gate, why)
    assert why_unfit(Replica(disk=disk)) == (why if unfit is None else unfit)


CUT = "replication is not connected to the peer"
STOPPED = "replication has stopped (StandAlone): after a split brain it needs escadm drbd resolve"
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
    "diskless-secondary.b": "the peer's disk is Diskless",
    "diskless.b": "the peer's disk is Diskless",
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


@pytest.mark.parametrize("state", [state for state in TABLE if not state.startswith(("resync.", "resync-paused."))])
def test_what_is_wrong_although_the_node_works(state: str) -> None:
    assert degradation(recorded(state)) == DEGRADED.get(state, "")


@pytest.mark.parametrize(
    ("state", "begin"),
    [
        ("resync.a", "the peer is being brought up to date ("),
        ("resync.b", "being brought up to date from the peer ("),
        ("resync-paused.a", "the peer is being brought up to date ("),
        ("resync-paused.b", "being brought up to date from the peer ("),
    ],
)
def test_a_resync_is_told_with_its_progress(state: str, begin: str) -> None:
    found = recorded(state)
    assert found is not None
    assert found.done is not None
    assert degradation(found) == f"{begin}{found.done:.0%}, {found.out_of_sync / 2**20:.0f} MiB to go)"


def test_a_resync_that_begins_and_one_that_has_not() -> None:
    fine = Replica("Primary", "Connected", "Secondary", "UpToDate", "UpToDate", "Established", 0, SIZE)
    assert degradation(fine) == ""
    beginning = Replica("Primary", "Connected", "Secondary", "UpToDate", "UpToDate", "WFBitMapS", SIZE, SIZE)
    assert degradation(beginning) == "the nodes agree on a resync (WFBitMapS)"
    waiting = Replica("Primary", "Connected", "Secondary", "UpToDate", "UpToDate", "Established", 4096, SIZE)
    assert degradation(waiting) == "4096 bytes are out of sync although nothing is being copied"
    unmeasured = Replica("Secondary", "Connected", "Primary", "Inconsistent", "UpToDate", "SyncTarget")
    assert degradation(unmeasured) == "being brought up to date from the peer"


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
    "primary.peer-not-outdated": ("the fencing policy wants to be sure that the peer is outdated first", False),
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
    names = {path.name.removeprefix("said.").removesuffix(".txt") for path in SAMPLES.glob("said.*.txt")}
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
