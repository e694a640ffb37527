"""The rules of the data, one by one: whom this node asks, what it does about its copy, when it may be promoted."""

from __future__ import annotations

from dataclasses import replace

import pytest

from escadm.core.decide import decide
from escadm.core.drbd.evidence import Evidence
from escadm.core.drbd.fencing import UNSERVABLE
from escadm.core.drbd.state import Gate, Replica
from escadm.core.lifecycle import Life
from escadm.core.plan import PROMOTION
from escadm.core.role import Peer
from escadm.core.rules.data import (
    asks_for_peer,
    awaits_gateway,
    data_act,
    gateway_for_sure,
    is_cut_off,
    is_declared,
    peer_lacks,
    promotion_gate,
    why_lost,
)
from escadm.core.situation import Gateway, Kept, Situation
from escadm.core.states import UnitState
from tests.unit.core.situations import ALONE, BELOW, PRIMARY, RULES, SECOND, SILENT, STANDBY, TOGETHER

NONE, UNKNOWN, THERE, GONE = Gateway(), Gateway(True, None), Gateway(True, True, answered_at=0.0), Gateway(True, False)
WAS_CUT_OFF = "this node was cut off from everybody, and does not hear the peer yet"
CUT_OFF = "neither the peer nor the gateway can be reached"
LEFT = replace(ALONE, role="Secondary")
GOES_ON = replace(RULES, replica=Evidence("Primary", "Connecting", "UpToDate"))


def test_of_a_peer_without_replication_nothing_is_lacking() -> None:
    alone = replace(PRIMARY, replica=None)
    assert peer_lacks(alone) == "the replication to the peer is not connected: it lacks what was written here since"
    assert peer_lacks(replace(alone, plan=replace(PRIMARY.plan, drbd=None))) == ""


@pytest.mark.parametrize(
    ("gateway", "now", "known"),
    [
        (NONE, 3.5, None),
        (UNKNOWN, 3.5, False),
        (THERE, 3.5, True),
        (GONE, 3.5, False),
        # the agent has only begun to listen
        (NONE, 3.4, False),
        (THERE, 3.4, False),
    ],
)
def test_what_the_gateway_says_for_sure(gateway: Gateway, now: float, known: bool | None) -> None:
    assert gateway_for_sure(replace(PRIMARY, gateway=gateway, now=now, sure_at=3.5)) is known


@pytest.mark.parametrize(
    ("before", "replica", "gateway", "heard_at", "cut_off"),
    [
        (False, LEFT, GONE, 98.0, True),
        (False, LEFT, GONE, None, True),
        (False, None, GONE, 98.0, True),
        # the gateway was there all the time, there is none, or nobody knows yet
        *((False, LEFT, gateway, 98.0, False) for gateway in (THERE, NONE, UNKNOWN)),
        # one that answers again says nothing of a peer that is still silent
        (True, LEFT, THERE, 98.0, True),
        # in touch with the peer
        *((before, LEFT, GONE, 98.2, False) for before in (True, False)),
        *((before, STANDBY, GONE, 90.0, False) for before in (True, False)),
    ],
)
def test_whether_this_node_was_cut_off_from_everybody(
    before: bool, replica: Replica | None, gateway: Gateway, heard_at: float | None, cut_off: bool
) -> None:
    seen = replace(SECOND, now=100.0, replica=replica, gateway=gateway, heard_at=heard_at, kept=Kept(cut_off=before))
    assert is_cut_off(seen) is cut_off


def test_the_agents_datagrams_count_however_rare_the_adverts_are() -> None:
    """They come once a second at least, and the gateway is asked as often."""
    spec = PRIMARY.plan.keepalived
    assert spec is not None
    plan = replace(PRIMARY.plan, keepalived=replace(spec, advert_interval=40.0))
    seen = replace(SECOND, plan=plan, now=100.0, replica=LEFT, gateway=GONE, heard_at=98.0)
    assert is_cut_off(seen)
    assert not is_cut_off(replace(seen, heard_at=98.2))


@pytest.mark.parametrize("before", [True, False])
def test_an_agent_that_has_only_begun_to_listen_was_not_cut_off_by_that(before: bool) -> None:
    seen = replace(SECOND, now=3.4, sure_at=3.5, replica=LEFT, gateway=GONE, kept=Kept(cut_off=before))
    assert is_cut_off(seen) is before
    assert is_cut_off(replace(seen, now=3.5))


@pytest.mark.parametrize(
    ("before", "disk", "replica", "declared"),
    [
        *((False, disk, LEFT, True) for disk in ("Outdated", "Consistent")),
        *((False, disk, LEFT, False) for disk in ("", "UpToDate", "Inconsistent", "Attaching")),
        (True, "UpToDate", LEFT, True),
        (True, "UpToDate", None, True),
        (False, "Outdated", None, False),
        # the peer is there again, or the copy does not count any more
        (True, "UpToDate", STANDBY, False),
        (False, "Outdated", STANDBY, False),
        (True, "UpToDate", replace(LEFT, disk="Outdated"), False),
    ],
)
def test_whether_somebody_has_said_that_this_data_is_the_one_to_go_on_with(
    before: bool, disk: str, replica: Replica | None, declared: bool
) -> None:
    seen = replace(SECOND, replica=replica, kept=Kept(declared=before, disk=disk))
    assert is_declared(seen) is declared


def test_what_somebody_has_declared_is_served_once_the_gateway_answers() -> None:
    """A node that was cut off and whose peer is lost for good: escadm drbd resolve --keep-local."""
    old = replace(SECOND, replica=replace(LEFT, disk="Outdated"), peer=SILENT, gateway=THERE, kept=Kept(cut_off=True))
    first = decide(old)
    assert first.kept.cut_off
    seen = replace(old, replica=LEFT, kept=first.kept)
    assert decide(seen).act is None
    assert promotion_gate(replace(seen, kept=decide(seen).kept), LEFT) == (Gate.GO, "")


def test_after_that_the_gateway_is_no_witness_unless_the_peers_copy_does_not_count() -> None:
    seen = replace(SECOND, replica=LEFT, gateway=THERE, kept=Kept(cut_off=True))
    assert gateway_for_sure(seen) is False
    assert gateway_for_sure(replace(seen, replica=None)) is False
    for disk in sorted(UNSERVABLE):
        assert gateway_for_sure(replace(seen, replica=replace(LEFT, peer_disk=disk))) is True


@pytest.mark.parametrize(
    ("peer", "heard_at", "answered_at", "interval", "awaits"),
    [
        # from when on the peer is silent
        (SILENT, 95.0, 98.4, 1.0, True),
        (SILENT, 95.0, 98.5, 1.0, False),
        (SILENT, 99.0, 99.6, 0.2, True),
        (SILENT, 99.0, 99.75, 0.2, False),
        (SILENT, 95.0, 98.5, 40.0, False),
        (SILENT, 95.0, None, 1.0, True),
        # an agent that has never heard its peer has listened for a while
        (SILENT, None, 91.9, 1.0, True),
        (SILENT, None, 92.0, 1.0, False),
        (RULES, 99.0, 90.0, 1.0, False),
        (None, None, 90.0, 1.0, False),
    ],
)
def test_the_gateways_answer_counts_if_the_peer_was_missed_before_it(
    peer: Peer | None, heard_at: float | None, answered_at: float | None, interval: float, awaits: bool
) -> None:
    """What answered before this node's own cables were cut is no witness."""
    spec = PRIMARY.plan.keepalived
    assert spec is not None
    plan = replace(PRIMARY.plan, keepalived=replace(spec, advert_interval=interval))
    gateway = replace(THERE, answered_at=answered_at)
    seen = replace(SECOND, plan=plan, peer=peer, replica=LEFT, now=100.0, sure_at=93.0, heard_at=heard_at)
    seen = replace(seen, gateway=gateway)
    assert awaits_gateway(seen) is decide(seen).awaits_gateway is awaits
    if peer is not None:
        assert gateway_for_sure(seen) is not awaits
    for other in (NONE, UNKNOWN, replace(gateway, reached=False)):
        assert not awaits_gateway(replace(seen, gateway=other))


@pytest.mark.parametrize("disk", sorted(UNSERVABLE))
def test_no_answer_is_awaited_where_the_peers_copy_does_not_count(disk: str) -> None:
    seen = replace(SECOND, peer=SILENT, replica=replace(LEFT, peer_disk=disk), gateway=replace(THERE, answered_at=None))
    assert gateway_for_sure(seen) is True


@pytest.mark.parametrize(
    ("peer", "suspended", "gateway", "why"),
    [
        (SILENT, "fencing", THERE, WAS_CUT_OFF),
        (SILENT, "fencing", GONE, CUT_OFF),
        (SILENT, "", THERE, ""),
        (RULES, "fencing", THERE, ""),
        (None, "fencing", THERE, ""),
    ],
)
def test_a_primary_that_was_cut_off_does_not_let_its_writes_wait_for_ever(
    peer: Peer | None, suspended: str, gateway: Gateway, why: str
) -> None:
    seen = replace(PRIMARY, replica=replace(ALONE, suspended=suspended), gateway=gateway, peer=peer)
    assert why_lost(replace(seen, kept=Kept(cut_off=True))) == why
    assert why_lost(replace(seen, gateway=THERE, kept=Kept())) == ""


@pytest.mark.parametrize(
    ("replica", "promotion", "asked", "acting", "asks"),
    [
        (LEFT, UnitState.STARTING, False, False, True),
        (LEFT, UnitState.RUNNING, False, False, False),
        (replace(LEFT, connection="Connected"), UnitState.STARTING, False, False, False),
        (None, UnitState.STARTING, False, False, False),
        # DRBD waits to be told
        (LEFT, UnitState.RUNNING, True, False, True),
        (TOGETHER, UnitState.RUNNING, True, False, True),
        (replace(ALONE, suspended="fencing"), UnitState.RUNNING, False, False, True),
        # its own copy is being outdated
        (LEFT, UnitState.STARTING, True, True, False),
    ],
)
def test_whether_it_is_about_to_go_on_without_the_peers_copy(
    replica: Replica | None, promotion: UnitState, asked: bool, acting: bool, asks: bool
) -> None:
    lives = {**BELOW, PROMOTION: Life(promotion)}
    assert asks_for_peer(replace(SECOND, lives=lives, replica=replica, asked=asked, acting=acting)) is asks


FROZEN = replace(
    PRIMARY, peer=SILENT, replica=replace(ALONE, suspended="fencing"), gateway=GONE, kept=Kept(behind=False)
)
WAS_ALONE = replace(RULES, replica=Evidence("Secondary", "Connecting", "UpToDate", peer_disk="Outdated"))
GOES_ON_WITHOUT = "the peer goes on without this node"
WAITS = replace(RULES, asks=True, replica=Evidence("Secondary", "Connecting", "UpToDate"))


@pytest.mark.parametrize(
    ("seen", "asks", "act", "why"),
    [
        (replace(SECOND, replica=LEFT, peer=GOES_ON), False, "outdate", "the peer goes on without this node"),
        (replace(SECOND, replica=LEFT, peer=GOES_ON, acting=True), False, None, ""),
        # somebody has said that the data here is the one to go on with
        (replace(SECOND, replica=LEFT, peer=WAS_ALONE, kept=Kept(behind=False)), False, "outdate", GOES_ON_WITHOUT),
        (replace(SECOND, replica=LEFT, peer=WAS_ALONE, kept=Kept(behind=False, declared=True)), False, None, ""),
        # two that are about to go on: neither outdates its copy for the other
        (replace(SECOND, replica=LEFT, peer=WAITS), True, None, ""),
        (replace(SECOND, replica=LEFT, peer=WAITS), False, "outdate", "the peer goes on without this node"),
        (
            replace(SECOND, replica=LEFT, peer=SILENT, kept=Kept(cut_off=True)),
            False,
            "outdate",
            "it was cut off from everybody, and the peer may have gone on without it",
        ),
        (replace(SECOND, replica=LEFT, peer=SILENT), False, None, ""),
        (replace(SECOND, replica=LEFT, peer=SILENT, kept=Kept(behind=False, cut_off=True)), False, None, ""),
        (FROZEN, False, "abandon", CUT_OFF),
        (replace(FROZEN, acting=True), False, None, ""),
        (replace(FROZEN, replica=ALONE), False, None, ""),
        (replace(FROZEN, gateway=THERE), False, None, ""),
        # to the end, once they were given up
        (replace(FROZEN, gateway=THERE, kept=Kept(abandoned="for good", behind=False)), False, "abandon", "for good"),
        (PRIMARY, False, None, ""),
    ],
)
def test_what_is_done_about_the_data(seen: Situation, asks: bool, act: str | None, why: str) -> None:
    assert data_act(seen, asks=asks) == (act, why)


@pytest.mark.parametrize(
    ("peer", "gateway", "abandoned", "why"),
    [
        (SILENT, GONE, "", CUT_OFF),
        (SILENT, THERE, "", ""),
        (SILENT, GONE, "for good", "for good"),
        (SILENT, THERE, "for good", "for good"),
    ],
)
def test_why_the_role_has_to_go(peer: Peer, gateway: Gateway, abandoned: str, why: str) -> None:
    assert why_lost(replace(PRIMARY, peer=peer, replica=ALONE, gateway=gateway, kept=Kept(abandoned=abandoned))) == why


@pytest.mark.parametrize(
    ("replica", "gateway", "now", "gate"),
    [
        (LEFT, replace(THERE, answered_at=2.5), 3.5, Gate.GO),
        (LEFT, NONE, 3.5, Gate.GO),
        (LEFT, replace(THERE, answered_at=2.5), 3.4, Gate.WAIT),
        # it has not answered since the peer should have been heard
        (LEFT, replace(THERE, answered_at=2.4), 3.5, Gate.WAIT),
        (LEFT, UNKNOWN, 3.5, Gate.WAIT),
        # it is the look just before that counts
        (None, THERE, 3.5, Gate.REFUSE),
    ],
)
def test_whether_a_promotion_may_be_tried(replica: Replica | None, gateway: Gateway, now: float, gate: Gate) -> None:
    seen = replace(SECOND, peer=SILENT, replica=TOGETHER, gateway=gateway, now=now, sure_at=3.5)
    assert promotion_gate(seen, replica)[0] is gate
