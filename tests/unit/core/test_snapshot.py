"""The snapshot as JSON and as lines."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from escadm.core.drbd.evidence import Evidence, Replication
from escadm.core.drbd.state import Replica
from escadm.core.reason import Reason
from escadm.core.snapshot import SnapshotError, decode, describe, encode, status_line
from escadm.core.states import Role, UnitState, Vrrp
from escadm.core.status import Health, ResourceStatus, RoleChange, Snapshot, Verdict
from escadm.core.trust import Acquaintance

FULL = Snapshot(
    Verdict(
        1,
        Health.DEGRADED,
        "ESC Master Degraded: peer 172.16.1.0 is not connected",
        (Reason("peer-silent", "172.16.1.0", "peer is gone"),),
    ),
    role=Role.MASTER,
    role_since="2024-05-01T10:00:00Z",
    resources=(
        ResourceStatus("pgsql", "running", 61397, "2024-05-01T10:00:01Z", "", 2),
        ResourceStatus("mona", "stopped", detail="waits for filesystem"),
    ),
    history=(RoleChange("BACKUP", "MASTER", "VRRP", "2024-05-01T10:00:00Z", {"mount": 0.25, "services": 3.0}),),
    replication=Replication(
        Replica(
            "Primary",
            "Connected",
            "Secondary",
            "UpToDate",
            "Inconsistent",
            "SyncSource",
            out_of_sync=73 << 20,
            size=128 << 20,
            generation="98482637A0B0074C",
            bytes_per_second=6.0 * (1 << 20),
        ),
        Evidence("Secondary", "Connected", "Inconsistent", "SyncTarget", 73 << 20, role_since="2024-05-01T10:00:00Z"),
    ),
    peer=Acquaintance("172.16.1.0", True, "SHA256:one", "SHA256:two", "somebody else speaks"),
    vrrp=Vrrp.MASTER,
    rule=Reason("primary", "", "keepalived says MASTER"),
)


def document() -> dict[str, object]:
    loaded: dict[str, object] = json.loads(json.dumps(encode(FULL)))
    return loaded


def test_encoded_keys_are_the_contract_in_its_order() -> None:
    assert list(encode(FULL)) == [
        "schema", "severity", "code", "text", "role", "role_since", "health", "reasons", "findings", "mode",
        "resources", "history", "replication", "peer", "vrrp", "rule",
    ]  # fmt: skip
    resource, change = document()["resources"][0], document()["history"][0]  # type: ignore[index]
    assert list(resource) == ["name", "state", "pgid", "since", "detail", "restarts"]
    assert list(change) == ["from", "to", "cause", "at", "phases"]
    assert document()["peer"] == {
        "address": "172.16.1.0",
        "heard": True,
        "node_key": "SHA256:one",
        "peer_key": "SHA256:two",
        "stranger": "somebody else speaks",
    }
    assert document()["replication"] == {
        "role": "Primary",
        "peer_role": "Secondary",
        "connection": "Connected",
        "disk": "UpToDate",
        "peer_disk": "Inconsistent",
        "replication": "SyncSource",
        "suspended": "",
        "out_of_sync_bytes": 73 << 20,
        "size_bytes": 128 << 20,
        "done": 1 - 73 / 128,
        "bytes_per_second": 6.0 * (1 << 20),
        "seconds_to_go": 73 / 6,
        "generation": "98482637A0B0074C",
        "last_write": None,
        "peer": {
            "role": "Secondary",
            "connection": "Connected",
            "disk": "Inconsistent",
            "replication": "SyncTarget",
            "generation": "",
            "last_write": None,
            "role_since": "2024-05-01T10:00:00Z",
            "peer_disk": "Unknown",
            "out_of_sync_bytes": 73 << 20,
        },
    }


def test_without_a_volume_there_is_no_replication_nor_in_a_document_of_before_there_was_such_a_key() -> None:
    assert encode(Snapshot(FULL.verdict))["replication"] is None
    old = document()
    del old["replication"]
    assert decode(old) == replace(FULL, replication=None)


def test_a_snapshot_survives_the_way_through_json() -> None:
    assert decode(document()) == FULL


names = st.text(min_size=1, max_size=20)
findings = st.lists(st.builds(Reason, names, names, names)).map(tuple)
resources = st.builds(
    ResourceStatus, names, st.sampled_from([*UnitState, "master", "disabled"]), st.integers(0), st.none() | names, names
)
snapshots = st.builds(
    Snapshot,
    st.builds(Verdict, st.integers(0, 3), st.sampled_from(Health), names, findings),
    st.none() | st.sampled_from(Role),
    st.none() | names,
    st.sampled_from(["OPERATION", "MAINTENANCE"]),
    st.lists(resources).map(tuple),
    st.lists(
        st.builds(RoleChange, names, names, names, names, st.dictionaries(names, st.floats(0, 1e6))), max_size=3
    ).map(tuple),
)


@given(snapshots)
def test_any_snapshot_survives_the_way_through_json(snapshot: Snapshot) -> None:
    assert decode(json.loads(json.dumps(encode(snapshot)))) == snapshot


def test_keys_of_a_later_version_are_passed_over() -> None:
    later = document() | {"colour": "green"}
    later["resources"][0]["weight"] = 3  # type: ignore[index]
    assert decode(later) == FULL


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema": 2}, "schema is 2, and this program reads schema 1"),
        ({"severity": 4}, "severity is 4, not 0 to 3"),
        ({"severity": True}, "severity is True"),
        ({"severity": "0"}, "severity is '0'"),
        ({"role": "PRIMARY"}, "role is 'PRIMARY'"),
        ({"health": "fine"}, "health is 'fine'"),
        ({"text": None}, "text is None"),
        ({"resources": [1]}, "a resource is not a mapping"),
        ({"resources": [{"name": "x"}]}, "state is missing"),
        ({"history": [{"phases": {"mount": "long"}}]}, "phase mount is 'long', not a number of seconds"),
    ],
)
def test_what_is_no_snapshot_is_refused_with_the_reason(changes: dict[str, object], message: str) -> None:
    with pytest.raises(SnapshotError) as caught:
        decode(document() | changes)
    assert str(caught.value) == message


@pytest.mark.parametrize("garbage", [None, [], "text", 3, {}])
def test_garbage_is_refused(garbage: object) -> None:
    with pytest.raises(SnapshotError):
        decode(garbage)


def test_status_line() -> None:
    assert status_line(Verdict(0, Health.HEALTHY, "ESC Master Healthy")) == "0 ESC status=0 ESC Master Healthy"
    assert status_line(Verdict(3, Health.UNKNOWN, "ESC Unknown: x")) == "3 ESC status=3 ESC Unknown: x"


@pytest.mark.parametrize(
    ("resource", "line"),
    [
        (ResourceStatus("pgsql", "running", 61397), "pgsql (pgid 61397) is running"),
        (ResourceStatus("drbd", "master"), "drbd (pgid 0) is master"),
        (ResourceStatus("keepalived", "backup", 12), "keepalived (pgid 12) is backup"),
        (ResourceStatus("snmp", "disabled"), "snmp is disabled at startup"),
        (ResourceStatus("mona", "stopped", detail="waits for filesystem"), "mona is stopped: waits for filesystem"),
        (ResourceStatus("mona", "stopped"), "mona is stopped"),
        (
            ResourceStatus("escmanager", "failed", detail="exited with code 3 (4 times in 60 s)"),
            "escmanager has failed: exited with code 3 (4 times in 60 s)",
        ),
        (
            ResourceStatus("vimmanager", "not installed", detail="no command, and no unit vimmanager.service"),
            "vimmanager is not installed: no command, and no unit vimmanager.service",
        ),
        (ResourceStatus("a", "starting", 7, detail="waits for port 80"), "a (pgid 7) is starting: waits for port 80"),
        (ResourceStatus("a", "stopping", 7), "a (pgid 7) is stopping"),
        (ResourceStatus("a", "killing", 7, detail="ignored SIGTERM"), "a (pgid 7) is being killed: ignored SIGTERM"),
        (ResourceStatus("a", "backoff", detail="again in 2 s"), "a is waiting to be restarted: again in 2 s"),
        (ResourceStatus("a", "unknown", detail="last known state: running"), "a is unknown: last known state: running"),
        (ResourceStatus("a", "resting"), "a is resting"),
    ],
)
def test_describe(resource: ResourceStatus, line: str) -> None:
    assert describe(resource) == line


def test_every_state_of_a_unit_has_words() -> None:
    for state in UnitState:
        assert describe(ResourceStatus("a", state)).startswith("a ")
