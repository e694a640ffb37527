"""What a node tells of its copy of the data, and what is taken for it when it comes from the network."""

import json

import pytest

from escadm.core.drbd.evidence import LONGEST_WORD, MOST_BYTES, Evidence, decode, encode, evidence_of
from escadm.core.drbd.state import Replica

COPY = Evidence(
    "Primary",
    "StandAlone",
    "UpToDate",
    "Off",
    36864,
    "98482637A0B0074C",
    "2026-11-23T10:35:05Z",
    "2026-11-23T10:30:00Z",
    "Outdated",
)


def test_it_arrives_as_it_was_sent() -> None:
    assert decode(json.loads(json.dumps(encode(COPY)))) == COPY
    assert decode(json.loads(json.dumps(encode(Evidence())))) == Evidence()


def test_it_is_made_of_the_replica() -> None:
    replica = Replica("Primary", "StandAlone", "Unknown", "UpToDate", "DUnknown", "Off", 36864, 1 << 27)
    found = evidence_of(replica, "2026-11-23T10:30:00Z")
    assert (found.role, found.connection, found.disk, found.replication) == ("Primary", "StandAlone", "UpToDate", "Off")
    assert (found.out_of_sync, found.role_since, found.peer_disk) == (36864, "2026-11-23T10:30:00Z", "DUnknown")


@pytest.mark.parametrize("data", [None, "Primary", 7, [], [["role", "Primary"]], True])
def test_what_is_no_mapping_is_no_evidence(data: object) -> None:
    assert decode(data) is None


def test_what_is_missing_or_strange_is_not_known() -> None:
    strange: dict[str, object] = {key: [1] for key in encode(COPY)}
    assert decode({}) == decode(strange) == decode({"out_of_sync_bytes": True, "of_a_later_version": {}}) == Evidence()
    assert decode({"out_of_sync_bytes": -1}) == decode({"out_of_sync_bytes": 1.5}) == Evidence()


def test_texts_are_short_and_printable_and_figures_have_a_limit() -> None:
    found = decode({**dict.fromkeys(encode(COPY), "x\x1b[31m\n" + "y" * 60_000), "out_of_sync_bytes": 10**4000})
    assert found is not None
    words = (found.role, found.connection, found.disk, found.replication, found.generation, found.peer_disk)
    for word in (*words, found.last_write, found.role_since):
        assert word is not None
        assert word.isprintable()
        assert len(word) <= LONGEST_WORD
    assert found.out_of_sync == MOST_BYTES
