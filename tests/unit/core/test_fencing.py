"""What a node may do about the role while it cannot hear its peer, or DRBD cannot: tables, and two nodes at once."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from escadm.core.drbd.evidence import Evidence, evidence_of
from escadm.core.drbd.fencing import (
    ISOLATED,
    NO_GATEWAY,
    UNCERTAIN,
    UNSERVABLE,
    Answer,
    Hold,
    answer,
    hold,
    is_behind,
    is_left_alone,
    loses,
    may_take,
    outdates_itself,
    sees_more,
    waits,
)
from escadm.core.drbd.state import CONSISTENT, Gate, Replica
from escadm.core.role import Peer
from escadm.core.states import Role, Vrrp

THERE = "192.0.2.12"
SPOILT = ("Diskless", "Failed", "Inconsistent", "Outdated")
STANDBY = Replica("Secondary", "Connected", "Primary", "UpToDate", "UpToDate", "Established")
ALONE = Replica("Secondary", "Connecting", "Unknown", "UpToDate", "DUnknown")
PRIMARY = replace(ALONE, role="Primary")
FROZEN = replace(PRIMARY, suspended="fencing")

SILENT = Peer(THERE)


def heard(
    role: str = "Secondary",
    disk: str = "UpToDate",
    connection: str = "Connecting",
    *,
    has_volume: bool = True,
    asks: bool = False,
    stale: bool = False,
    knows: str = "DUnknown",
) -> Peer:
    replica = Evidence(role, connection, disk, peer_disk=knows)
    return Peer(THERE, heard=True, replica=replica, has_volume=has_volume, asks=asks, stale=stale)


WITHOUT_DRBD = Peer(THERE, heard=True)

# --- what is known of a lost peer -------------------------------------------------------------------------

ANSWERS: list[tuple[Replica | None, Peer | None, bool | None, Answer | None]] = [
    # a silent peer is dead, unless it is this node that is cut off
    (FROZEN, SILENT, True, Answer.DEAD),
    (FROZEN, SILENT, None, Answer.DEAD),
    (FROZEN, SILENT, False, None),
    (ALONE, SILENT, True, Answer.DEAD),
    (ALONE, SILENT, False, None),
    (FROZEN, None, None, Answer.DEAD),
    (FROZEN, None, False, None),
    # a peer that can be heard says what it is, whatever the gateway does
    *((FROZEN, heard(disk=disk), gateway, Answer.OUTDATED) for disk in SPOILT for gateway in (True, False)),
    (FROZEN, heard(), True, None),
    (FROZEN, heard(disk="Consistent"), True, None),
    (FROZEN, heard("Primary"), True, None),
    (FROZEN, heard("Primary", "Outdated"), True, Answer.OUTDATED),
    # what it said of its data while it was connected may have been mended by a resync since
    (FROZEN, heard(disk="Inconsistent", connection="Connected"), True, None),
    (FROZEN, heard(disk="Outdated", connection="Connected"), True, None),
    (ALONE, heard("Primary"), True, Answer.ACTIVE),
    (ALONE, heard("Primary"), False, Answer.ACTIVE),
    (ALONE, heard("Primary", "Diskless"), True, Answer.OUTDATED),
    # it may have left the role since it said that it has it, and have lost its power then
    (ALONE, heard("Primary", connection="Connected"), True, None),
    (ALONE, heard("Primary", connection="Connected"), False, None),
    # DRBD has seen more of it since it said this: before that connection, which is lost again
    (ALONE, heard("Primary", stale=True), True, None),
    *((FROZEN, heard(disk=disk, stale=True), True, None) for disk in SPOILT),
    (FROZEN, heard(has_volume=False, stale=True), True, None),
    # without a volume it serves none; with one of which nothing is told yet, one waits
    (FROZEN, heard(has_volume=False), False, Answer.DEAD),
    (FROZEN, WITHOUT_DRBD, True, None),
    # nor does a volume of one's own that is not up
    (None, heard(), True, None),
    (None, heard("Primary"), True, None),
    (None, heard(disk="Outdated"), True, None),
]


@pytest.mark.parametrize(("replica", "peer", "gateway", "known"), ANSWERS)
def test_what_is_known_of_a_lost_peer(
    replica: Replica | None, peer: Peer | None, gateway: bool | None, known: Answer | None
) -> None:
    assert answer(replica, peer, gateway) is known


def test_what_is_said_in_public() -> None:
    """Between the agent and its handler, and to people: a change is one of the documentation as well."""
    assert list(Answer) == ["peer outdated", "peer dead", "peer active"]
    assert UNCERTAIN == "it is not known yet what the peer does: DRBD has no connection to it"
    assert ISOLATED == "neither the peer nor the gateway can be reached"
    assert NO_GATEWAY == "the gateway cannot be reached"


ACTIVE = "the peer is Primary, and DRBD has no connection to it"


@pytest.mark.parametrize(
    ("replica", "peer", "gateway", "verdict"),
    [
        (STANDBY, SILENT, False, (Gate.GO, "")),  # connected: whether the peer is Primary DRBD finds out by trying
        (ALONE, SILENT, True, (Gate.GO, "")),
        (ALONE, SILENT, None, (Gate.GO, "")),
        (ALONE, SILENT, False, (Gate.WAIT, UNCERTAIN)),
        (ALONE, heard(), True, (Gate.WAIT, UNCERTAIN)),
        (ALONE, heard(disk="Outdated"), False, (Gate.GO, "")),
        (ALONE, heard("Primary"), True, (Gate.WAIT, ACTIVE)),
        (ALONE, heard("Primary", connection="Connected"), True, (Gate.WAIT, UNCERTAIN)),
        (ALONE, heard(has_volume=False), True, (Gate.GO, "")),
        (ALONE, heard(has_volume=False, stale=True), True, (Gate.WAIT, UNCERTAIN)),
        (ALONE, heard(disk="Outdated", stale=True), True, (Gate.WAIT, UNCERTAIN)),
        (replace(ALONE, disk="Consistent"), SILENT, True, (Gate.WAIT, f"{CONSISTENT}: waiting for it")),
        (replace(ALONE, disk="Attaching"), SILENT, True, (Gate.WAIT, "the disk is Attaching")),
        # what is wrong with its own data comes first
        (replace(ALONE, disk="Failed"), SILENT, False, (Gate.REFUSE, "its disk has failed")),
        (replace(ALONE, disk="Failed"), heard("Primary"), True, (Gate.REFUSE, "its disk has failed")),
        (replace(ALONE, disk="Attaching"), heard("Primary"), True, (Gate.WAIT, "the disk is Attaching")),
        (None, SILENT, True, (Gate.REFUSE, "DRBD does not have the volume up")),
    ],
)
def test_whether_it_may_become_primary(
    replica: Replica | None, peer: Peer | None, gateway: bool | None, verdict: tuple[Gate, str]
) -> None:
    assert may_take(replica, peer, gateway) == verdict


@pytest.mark.parametrize("disk", ["Outdated", "Inconsistent", "Failed", "Diskless"])
@pytest.mark.parametrize("peer", [None, SILENT, heard(disk="Outdated"), heard(has_volume=False)])
def test_nothing_known_of_the_peer_makes_bad_data_good(disk: str, peer: Peer | None) -> None:
    assert may_take(replace(ALONE, disk=disk), peer, True)[0] is Gate.REFUSE


# --- a standby that the primary goes on without ------------------------------------------------------------

OUTDATES: list[tuple[Replica | None, Peer | None, bool, bool]] = [
    (ALONE, heard("Primary"), False, True),
    (ALONE, heard("Primary"), True, True),
    (ALONE, heard(asks=True), False, True),
    (ALONE, heard(asks=True), True, False),
    (ALONE, heard(), False, False),
    (replace(ALONE, disk="Consistent"), heard("Primary"), False, True),
    # for a peer that has gone on without it, and is Secondary again
    *((ALONE, heard(knows=disk), asks, True) for disk in SPOILT for asks in (True, False)),
    *((ALONE, heard(disk=disk, knows="Outdated"), False, False) for disk in SPOILT),
    # one that has gone on itself yields to a Primary alone
    *((replace(ALONE, peer_disk=disk), heard(asks=True), False, False) for disk in SPOILT),
    (replace(ALONE, peer_disk="Outdated"), heard("Primary", asks=True), False, False),
    (replace(ALONE, peer_disk="Outdated"), heard("Primary"), False, True),
    (replace(ALONE, peer_disk="Outdated"), heard(), False, False),
    # both have: the data has parted, and one of the two has to be served
    (replace(ALONE, peer_disk="Outdated"), heard(asks=True, knows="Outdated"), False, True),
    (replace(ALONE, peer_disk="Outdated"), heard(asks=True, knows="Outdated"), True, False),
    (replace(ALONE, peer_disk="Outdated"), heard(knows="Outdated"), False, False),
    (replace(ALONE, peer_disk="Outdated"), heard("Primary", knows="Outdated"), False, True),
    # not where it is connected, stopped for a split brain, or has nothing to outdate
    (STANDBY, heard("Primary"), False, False),
    (ALONE, heard("Primary", connection="Connected"), False, False),
    (replace(ALONE, connection="StandAlone"), heard("Primary"), False, False),
    *((replace(ALONE, disk=disk), heard("Primary"), False, False) for disk in ("Outdated", "Inconsistent", "Diskless")),
    (None, heard("Primary"), False, False),
    # not for a peer that has no better data, and never while it is Primary itself
    *((ALONE, heard("Primary", disk), False, False) for disk in SPOILT),
    (PRIMARY, heard("Primary"), False, False),
    (PRIMARY, heard(asks=True), False, False),
    # not on a guess, nor on what the peer said before DRBD has seen more of it
    (ALONE, heard("Primary", stale=True), False, False),
    (ALONE, heard(asks=True, stale=True), False, False),
    (ALONE, SILENT, False, False),
    (ALONE, replace(heard("Primary"), heard=False), False, False),
    (ALONE, None, False, False),
    (replace(ALONE, connection="StandAlone"), None, False, False),
    (ALONE, WITHOUT_DRBD, False, False),
]


@pytest.mark.parametrize(("replica", "peer", "asks", "outdates"), OUTDATES)
def test_whether_it_declares_its_own_data_outdated(
    replica: Replica | None, peer: Peer | None, asks: bool, outdates: bool
) -> None:
    assert outdates_itself(replica, peer, asks=asks) is outdates


# --- a standby that is cut off from everybody ---


@pytest.mark.parametrize(
    ("before", "replica", "behind"),
    [
        # a connected standby of a primary writes what the primary writes, until the connection is lost
        *((before, STANDBY, True) for before in (True, False)),
        (True, ALONE, True),
        *((before, replace(STANDBY, peer_role="Secondary"), False) for before in (True, False)),
        (False, ALONE, False),
        # its own data is the newest, or does not count in any case; who makes it count afterwards knows why
        (True, PRIMARY, False),
        *((True, replace(ALONE, disk=disk), False) for disk in ("Outdated", "Consistent", "Inconsistent", "Diskless")),
        # a volume that is not up tells nothing new
        *((before, None, before) for before in (True, False)),
    ],
)
def test_whether_the_peer_may_have_written_what_is_not_here(
    before: bool, replica: Replica | None, behind: bool
) -> None:
    assert is_behind(before, replica) is behind


@pytest.mark.parametrize(
    ("replica", "peer", "cut_off", "behind", "left"),
    [
        (ALONE, SILENT, True, True, True),
        # not where it was in touch all the time, can ask somebody, or the peer cannot have written since
        (ALONE, SILENT, False, True, False),
        (ALONE, heard("Primary"), True, True, False),
        (STANDBY, SILENT, True, True, False),
        (ALONE, SILENT, True, False, False),
        # nor the newest copy there is, nor one that waits for somebody's word
        *((replace(ALONE, peer_disk=disk), SILENT, True, True, False) for disk in sorted(UNSERVABLE)),
        (replace(ALONE, connection="StandAlone"), SILENT, True, True, False),
        (None, SILENT, True, True, False),
        (ALONE, None, True, True, False),
    ],
)
def test_whether_a_standby_was_left_alone(
    replica: Replica | None, peer: Peer | None, cut_off: bool, behind: bool, left: bool
) -> None:
    assert is_left_alone(replica, peer, cut_off=cut_off, behind=behind) is left


# --- words and facts ---


@pytest.mark.parametrize(
    ("before", "now", "more"),
    [
        (None, STANDBY, True),
        (ALONE, STANDBY, True),
        (STANDBY, replace(STANDBY, peer_role="Secondary"), True),
        (STANDBY, replace(STANDBY, peer_disk="Inconsistent"), True),
        # only of itself, or nothing
        (STANDBY, replace(STANDBY, disk="Outdated", out_of_sync=4096), False),
        (STANDBY, STANDBY, False),
        # a loss is nothing seen of the peer, which may have noticed it first and said so
        (STANDBY, ALONE, False),
        (None, ALONE, False),
        (STANDBY, None, False),
    ],
)
def test_what_drbd_has_seen_of_the_peer_makes_its_words_old(
    before: Replica | None, now: Replica | None, more: bool
) -> None:
    assert sees_more(before, now) is more


# --- a primary that is cut off -----------------------------------------------------------------------------


def test_writes_wait_for_the_peer_and_not_for_other_reasons() -> None:
    assert waits(FROZEN)
    assert waits(replace(FROZEN, suspended="user,fencing"))
    assert not any(waits(each) for each in (None, PRIMARY, replace(FROZEN, suspended="no-data")))


DISKLESS = replace(PRIMARY, disk="Diskless")
MEANWHILE = f"the peer {THERE} has become Primary meanwhile"


@pytest.mark.parametrize(
    ("replica", "peer", "gateway", "why"),
    [
        (FROZEN, SILENT, False, ISOLATED),
        (PRIMARY, SILENT, False, ISOLATED),
        (None, SILENT, False, ISOLATED),
        (None, None, False, ISOLATED),
        # one of the three voices is enough to stay
        (FROZEN, SILENT, True, ""),
        (FROZEN, SILENT, None, ""),
        (FROZEN, heard(), False, ""),
        (STANDBY, SILENT, False, ""),
        # writes that wait are lost once the peer has gone on
        (FROZEN, heard("Primary"), True, MEANWHILE),
        (FROZEN, heard("Primary"), False, MEANWHILE),
        (PRIMARY, heard("Primary"), True, ""),
        *((FROZEN, heard(knows=disk), True, MEANWHILE) for disk in SPOILT),
        (FROZEN, heard(disk="Outdated", knows="Outdated"), True, ""),
        (FROZEN, heard(knows="Outdated", stale=True), True, ""),
        (replace(FROZEN, peer_disk="Outdated"), heard(knows="Outdated"), True, MEANWHILE),
        (PRIMARY, heard(knows="Outdated"), True, ""),
        (FROZEN, WITHOUT_DRBD, True, ""),
        # not by what it said as the primary before it handed the role to this node
        (FROZEN, heard("Primary", connection="Connected"), True, ""),
        (FROZEN, heard("Primary", stale=True), True, ""),
        (FROZEN, replace(heard("Primary"), heard=False), True, ""),
        # a standby has no role that could go
        (replace(FROZEN, role="Secondary"), heard("Primary"), True, ""),
        (replace(DISKLESS, role="Secondary"), heard(), True, ""),
        # what this node cannot do any more, the peer can: it has every write
        (DISKLESS, heard(), True, "this node has no disk, and DRBD has no connection to the peer's"),
        (DISKLESS, heard(disk="Outdated"), True, ""),
        (DISKLESS, WITHOUT_DRBD, True, ""),
        (DISKLESS, None, True, ""),
        (replace(DISKLESS, connection="Connected"), heard(connection="Connected"), True, ""),
    ],
)
def test_why_the_role_has_to_go(replica: Replica | None, peer: Peer | None, gateway: bool | None, why: str) -> None:
    assert loses(replica, peer, gateway) == why


# --- what holds a node back --------------------------------------------------------------------------------

TOLD = f"the peer {THERE} has the role and can be heard, but VRRP does not hear it"
FAR = Peer(THERE, heard=True, vrrp=Vrrp.MASTER, role=Role.MASTER)
NEAR = replace(FAR, near=True)
CLAIMS = replace(FAR, role=Role.BACKUP)
BY_VRRP, BY_VRRP_NEAR = Hold(TOLD, by_vrrp=True), Hold(TOLD, by_vrrp=True, near=True)
ALONE_HERE = Hold(ISOLATED)

Case = tuple[Hold | None, Role | None, Vrrp, Peer | None, bool | None, bool, Hold | None]
HOLDS: list[Case] = [
    # before, role, vrrp, peer, gateway, precedes -> now
    (None, Role.BACKUP, Vrrp.BACKUP, SILENT, False, False, ALONE_HERE),
    (ALONE_HERE, Role.FAULT, Vrrp.FAULT, SILENT, False, True, ALONE_HERE),
    (ALONE_HERE, Role.FAULT, Vrrp.FAULT, SILENT, True, False, None),
    (ALONE_HERE, Role.FAULT, Vrrp.FAULT, replace(FAR, vrrp=Vrrp.BACKUP), False, False, None),
    (None, Role.BACKUP, Vrrp.BACKUP, SILENT, None, False, None),
    (None, Role.MASTER, Vrrp.MASTER, SILENT, False, False, None),  # the primary is judged by loses()
    (None, Role.STANDALONE, Vrrp.MASTER, None, False, False, None),
    # VRRP elects this node although the primary can be heard on another path
    (None, Role.BACKUP, Vrrp.MASTER, FAR, True, False, BY_VRRP),
    (None, Role.BACKUP, Vrrp.MASTER, FAR, True, True, BY_VRRP),
    (None, Role.BACKUP, Vrrp.MASTER, NEAR, True, False, BY_VRRP_NEAR),
    (None, Role.BACKUP, Vrrp.BACKUP, FAR, True, False, None),
    (None, Role.BACKUP, Vrrp.MASTER, replace(FAR, vrrp=Vrrp.BACKUP), True, False, None),
    # neither is the primary yet: the one that VRRP does not prefer stands back
    (None, Role.BACKUP, Vrrp.MASTER, CLAIMS, True, False, BY_VRRP),
    (None, Role.BACKUP, Vrrp.MASTER, CLAIMS, True, True, None),
    # both are the primary, after a split, and hear each other, though not by VRRP: as VRRP would settle it
    (None, Role.MASTER, Vrrp.MASTER, FAR, True, False, BY_VRRP),
    (None, Role.MASTER, Vrrp.MASTER, FAR, True, True, None),
    (None, Role.MASTER, Vrrp.MASTER, CLAIMS, True, False, None),
    (None, Role.MASTER, Vrrp.FAULT, FAR, True, False, None),
    (BY_VRRP, Role.MASTER, Vrrp.MASTER, FAR, True, False, BY_VRRP),
    # once held it stays held, in fault too, until VRRP's own path is heard again or the peer is no primary any more
    (BY_VRRP, Role.FAULT, Vrrp.FAULT, FAR, True, False, BY_VRRP),
    (BY_VRRP, Role.FAULT, Vrrp.FAULT, NEAR, True, False, None),
    (BY_VRRP_NEAR, Role.FAULT, Vrrp.FAULT, NEAR, True, False, BY_VRRP_NEAR),
    (BY_VRRP_NEAR, Role.FAULT, Vrrp.FAULT, replace(NEAR, vrrp=Vrrp.FAULT), True, False, None),
    (BY_VRRP, Role.FAULT, Vrrp.FAULT, SILENT, True, False, None),
    (BY_VRRP, Role.FAULT, Vrrp.FAULT, SILENT, False, False, ALONE_HERE),
    # nothing of that for one that nobody could be heard by: it begins anew
    (ALONE_HERE, Role.FAULT, Vrrp.FAULT, FAR, True, False, None),
    (ALONE_HERE, Role.FAULT, Vrrp.MASTER, FAR, True, False, BY_VRRP),
]


@pytest.mark.parametrize("case", HOLDS)
def test_what_holds_a_node_back(case: Case) -> None:
    before, role, vrrp, peer, gateway, precedes, now = case
    assert hold(before, role, vrrp, peer, gateway, precedes=precedes) == now


def test_what_vrrp_may_mend_by_itself_has_to_last() -> None:
    assert BY_VRRP.lasts
    assert not ALONE_HERE.lasts


# --- two nodes ---------------------------------------------------------------------------------------------

DISKS = ("UpToDate", "Consistent", "Outdated", "Inconsistent", "Diskless", "Failed", "Attaching", "Negotiating")
replicas = st.builds(
    Replica,
    role=st.sampled_from(("Primary", "Secondary")),
    connection=st.sampled_from(("Connected", "Connecting", "StandAlone")),
    peer_role=st.sampled_from(("Primary", "Secondary", "Unknown")),
    disk=st.sampled_from(DISKS),
    peer_disk=st.sampled_from((*DISKS, "DUnknown")),
    suspended=st.sampled_from(("", "fencing", "user,fencing")),
)
gateways = st.sampled_from((True, False, None))


def as_heard(replica: Replica, asks: bool = False) -> Peer:
    return Peer(str(ip_address(THERE)), heard=True, replica=evidence_of(replica, None), asks=asks)


@given(replicas, replicas, gateways, gateways)
def test_of_two_that_hear_each_other_one_at_most_goes_on_and_the_other_ones_data_is_not_served(
    one: Replica, two: Replica, gateway_one: bool | None, gateway_two: bool | None
) -> None:
    goes_on = (Answer.OUTDATED, Answer.DEAD)
    first, second = answer(one, as_heard(two), gateway_one), answer(two, as_heard(one), gateway_two)

    if first in goes_on:
        assert two.disk in UNSERVABLE
    if second in goes_on:
        assert one.disk in UNSERVABLE
    assert not (first is Answer.ACTIVE and second is Answer.ACTIVE)


@given(replicas, replicas, gateways, gateways)
def test_of_two_that_hear_each_other_and_are_not_connected_one_at_most_may_be_promoted(
    one: Replica, two: Replica, gateway_one: bool | None, gateway_two: bool | None
) -> None:
    one, two = (replace(each, connection="Connecting", role="Secondary") for each in (one, two))
    first, second = may_take(one, as_heard(two), gateway_one)[0], may_take(two, as_heard(one), gateway_two)[0]

    assert (first, second) != (Gate.GO, Gate.GO)


@given(replicas, replicas, gateways)
def test_a_standby_that_hears_a_primary_with_good_data_is_never_promoted_beside_it(
    one: Replica, two: Replica, gateway: bool | None
) -> None:
    one = replace(one, connection="Connecting", role="Secondary")
    two = replace(two, role="Primary", disk="UpToDate")

    assert may_take(one, as_heard(two), gateway)[0] is not Gate.GO


@given(replicas, replicas, st.booleans(), st.booleans())
@example(ALONE, ALONE, True, True)
@example(ALONE, ALONE, True, False)
def test_never_do_both_declare_their_data_outdated(one: Replica, two: Replica, asks_one: bool, asks_two: bool) -> None:
    first = outdates_itself(one, as_heard(two, asks_two), asks=asks_one)
    second = outdates_itself(two, as_heard(one, asks_one), asks=asks_two)

    assert not (first and second)
    if first:
        assert two.disk not in UNSERVABLE, "nobody could serve the data any more"


@given(replicas, replicas, gateways)
def test_who_asks_gets_its_answer_once_the_peer_has_done_its_part(
    one: Replica, two: Replica, gateway: bool | None
) -> None:
    """A question does not wait for ever between two healthy agents: the peer outdates itself, or is the primary. Or who
    asks has to make way: the peer has gone on before."""
    one = replace(one, connection="Connecting", disk="UpToDate")
    two = replace(two, connection="Connecting", role="Secondary")
    if outdates_itself(two, as_heard(one, asks=True), asks=False):
        two = replace(two, disk="Outdated")
    one = replace(one, suspended="fencing" if one.is_primary else "")
    makes_way = outdates_itself(one, as_heard(two), asks=True) or loses(one, as_heard(two), gateway)
    if two.disk not in ("Attaching", "Negotiating") and not makes_way:
        assert answer(one, as_heard(two), gateway) is Answer.OUTDATED


@given(st.sampled_from(Role), st.sampled_from(Role), st.booleans(), gateways, gateways)
def test_of_two_that_vrrp_made_primary_one_is_held_back(
    role: Role, other: Role, precedes: bool, gateway_one: bool | None, gateway_two: bool | None
) -> None:
    """They hear each other, only not by VRRP. Who is held and who is not is settled by role, then by precedence."""
    one = Peer(THERE, heard=True, vrrp=Vrrp.MASTER, role=other)
    two = replace(one, role=role)
    first = hold(None, one.role, one.vrrp, two, gateway_one, precedes=precedes)
    second = hold(None, two.role, two.vrrp, one, gateway_two, precedes=not precedes)

    assert (first is not None) != (second is not None)
    if role is not other and Role.MASTER in (role, other):
        assert (first is None) is (other is Role.MASTER)


def test_a_node_that_has_stopped_replicating_outdates_itself_only_for_writes_that_wait() -> None:
    alone = Replica(role="Secondary", connection="StandAlone", disk="UpToDate")
    for asks in (True, False):
        peer = Peer("192.0.2.12", heard=True, asks=asks, replica=Evidence("Primary", "Connecting", "UpToDate"))
        assert outdates_itself(alone, peer, asks=False) is asks


@pytest.mark.parametrize(
    ("peer", "outdates"),
    [
        (heard(), False),
        (heard(knows="Outdated"), False),
        (heard(asks=True), False),
        (heard("Primary", asks=True), False),
        # another one that goes on, or that asks and was alone as well
        (heard("Primary"), True),
        (heard(asks=True, knows="Outdated"), True),
    ],
)
def test_data_that_somebody_has_declared_the_good_one_yields_to_no_older_claim(peer: Peer, outdates: bool) -> None:
    assert outdates_itself(ALONE, peer, asks=False, declared=True) is outdates
