from __future__ import annotations

import pytest

from escadm.actions.drbd_resolve import drbd_resolve, why_not_resolve
from escadm.core.replication import Replica
from escadm.errors import Failed
from escadm.system import replication

WAITS = Replica("Secondary", "Connecting", "Unknown", "UpToDate", "DUnknown", "Off", 36864, 1 << 27)
SPLIT = Replica("Secondary", "StandAlone", "Unknown", "UpToDate", "DUnknown", "Off", 36864, 1 << 27)
REFUSED = {
    None: "the volume is not up here",
    Replica("Secondary", "Connected"): "the nodes are connected: there is no split brain",
    Replica("Primary", "Connected"): "the nodes are connected: there is no split brain",
    Replica("Primary", "StandAlone"): (
        "this node is Primary: it is the one in use. Stop it first (escadm stop), or resolve on the other node"
    ),
}


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    done: list[str] = []
    monkeypatch.setattr(replication, "connect_discarding", lambda: done.append("connect_discarding"))
    return done


@pytest.mark.parametrize("replica", REFUSED)
def test_what_is_refused(replica: Replica | None, told: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replication, "read_replica", lambda: replica)
    assert why_not_resolve(replica) == REFUSED[replica]
    with pytest.raises(Failed) as caught:
        drbd_resolve()
    assert caught.value.message == f"cannot resolve: {REFUSED[replica]}"
    assert told == []


@pytest.mark.parametrize("replica", [SPLIT, WAITS])
def test_the_end_of_a_split_brain(replica: Replica, told: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replication, "read_replica", lambda: replica)
    assert why_not_resolve(replica) == ""
    words = "this node takes the peer's data; if the peer says StandAlone, run there: drbdadm connect esc"
    assert drbd_resolve() == words
    assert told == ["connect_discarding"]
