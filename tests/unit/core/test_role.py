"""Which role was reached, who gives it up, and that two failing nodes do not pass it to and fro."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from ipaddress import IPv4Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from escadm.core.drbd.state import Replica
from escadm.core.plan import Plan
from escadm.core.reconcile import Live
from escadm.core.role import Peer, gives_up, is_drained, master_units, reached, why_not_take_over, why_peer_lacks_data
from escadm.core.specs import KeepalivedSpec
from escadm.core.states import Role, UnitState, Vrrp
from tests.unit.core.plans import LADDER, make_plan, make_unit

VIP = KeepalivedSpec(IPv4Address("10.0.0.1"), interface="eth0", vip_interface="eth0", virtual_router_id=51)
NEEDS = {**LADDER, "pgsql": ["filesystem"], "portal": ["keepalived:master"], "monitor": []}
PAIR = Plan(make_plan(NEEDS).units, keepalived=VIP)
ALONE = Plan(make_plan({"pgsql": [], "filesystem": []}).units)
ROLES = (None, *Role)
DOWN = (UnitState.STOPPED, UnitState.BACKOFF, UnitState.FAILED)


def live(**states: str) -> dict[str, Live]:
    """``drbd_master`` stands for ``drbd:master``."""
    names = {name.replace("_", ":"): UnitState(state) for name, state in states.items()}
    return {name: Live(make_unit(name, NEEDS.get(name, ())), state) for name, state in names.items()}


def test_units_of_the_master_stand_on_the_condition() -> None:
    assert master_units(PAIR, {}) == {"drbd:master", "filesystem", "pgsql", "portal"}


def test_units_of_the_master_that_the_plan_forgot_still_count() -> None:
    without = Plan({name: unit for name, unit in PAIR.units.items() if name != "pgsql"}, keepalived=VIP)
    remaining = live(pgsql="stopping")
    assert "pgsql" in master_units(without, remaining)
    assert not is_drained(without, remaining)
    assert reached(without, Vrrp.BACKUP, remaining, Role.MASTER) is Role.MASTER


@pytest.mark.parametrize(("vrrp", "before"), list(itertools.product(Vrrp, ROLES)))
def test_without_a_vip_the_node_is_standalone(vrrp: Vrrp, before: Role | None) -> None:
    assert reached(ALONE, vrrp, live(pgsql="running"), before) is Role.STANDALONE


UP = {"drbd_master": "running", "filesystem": "running"}


@pytest.mark.parametrize("before", ROLES)
@pytest.mark.parametrize("services", [{}, {"pgsql": "starting"}, {"pgsql": "failed", "portal": "running"}])
def test_master_as_soon_as_promoted_and_mounted(before: Role | None, services: dict[str, str]) -> None:
    assert reached(PAIR, Vrrp.MASTER, live(**UP, **services), before) is Role.MASTER


@pytest.mark.parametrize("vrrp", [vrrp for vrrp in Vrrp if vrrp is not Vrrp.MASTER])
@pytest.mark.parametrize("before", [None, Role.BACKUP, Role.FAULT])
def test_promoted_and_mounted_is_no_master_against_the_word_of_vrrp(vrrp: Vrrp, before: Role | None) -> None:
    assert reached(PAIR, vrrp, live(**UP), before) is not Role.MASTER


NOT_YET = [
    {},
    {"drbd_master": "starting"},
    {"drbd_master": "running"},
    {"drbd_master": "running", "filesystem": "starting"},
    {"drbd_master": "running", "filesystem": "backoff"},
    {"drbd_master": "failed"},
]


@pytest.mark.parametrize("states", NOT_YET)
@pytest.mark.parametrize(
    ("before", "expected"),
    [
        (None, Role.FAULT),
        (Role.FAULT, Role.FAULT),
        (Role.STANDALONE, Role.FAULT),
        (Role.BACKUP, Role.BACKUP),
        (Role.MASTER, Role.MASTER),
    ],
)
def test_on_the_way_to_master_the_last_role_stands(states: dict[str, str], before: Role | None, expected: Role) -> None:
    assert reached(PAIR, Vrrp.MASTER, live(**states), before) is expected


def test_a_pair_without_replication_is_master_at_the_word_of_vrrp() -> None:
    plan = Plan(make_plan({"keepalived": [], "keepalived:master": ["keepalived"]}).units, keepalived=VIP)
    assert reached(plan, Vrrp.MASTER, {}, Role.BACKUP) is Role.MASTER


@pytest.mark.parametrize(
    ("vrrp", "expected"),
    [
        (Vrrp.BACKUP, Role.BACKUP),
        (Vrrp.FAULT, Role.FAULT),
        (Vrrp.STOP, Role.FAULT),
        (Vrrp.UNKNOWN, Role.FAULT),
    ],
)
@pytest.mark.parametrize("before", ROLES)
@pytest.mark.parametrize("rest", [{}, {"monitor": "running"}, {"pgsql": "failed", "filesystem": "backoff"}])
def test_a_drained_node_has_the_role_that_vrrp_says(
    vrrp: Vrrp, expected: Role, before: Role | None, rest: dict[str, str]
) -> None:
    below = {"drbd": "running", "keepalived": "running"}
    assert reached(PAIR, vrrp, live(**below, **rest), before) is expected


STATES = st.sampled_from([state.value for state in UnitState])


@given(
    st.sampled_from(Vrrp),
    st.fixed_dictionaries({}, optional={"drbd_master": STATES, "filesystem": STATES, "pgsql": STATES}),
    st.sampled_from(ROLES),
)
def test_backup_is_never_reached_while_anything_of_the_master_remains(
    vrrp: Vrrp, states: dict[str, str], before: Role | None
) -> None:
    role = reached(PAIR, vrrp, live(**states), before)
    remains = any(UnitState(state) not in DOWN for state in states.values())
    if role is Role.BACKUP and before is not Role.BACKUP:
        assert not remains
        assert vrrp is Vrrp.BACKUP
    if role is Role.MASTER and before is not Role.MASTER:
        assert vrrp is Vrrp.MASTER
        assert states.get("drbd_master") == states.get("filesystem") == "running"


# --- giving up and taking over ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("peer", "sentence"),
    [
        (None, "the peer's address is not known (no drbd.nodes and no keepalived.unicast_peers)"),
        (Peer("10.0.0.3"), "the peer 10.0.0.3 does not answer"),
        (Peer("10.0.0.3", fit=True, vrrp=Vrrp.BACKUP), "the peer 10.0.0.3 does not answer"),
        (Peer("10.0.0.3", True, Vrrp.MASTER, fit=True), "the peer 10.0.0.3 already is the primary"),
        (
            Peer("10.0.0.3", True, Vrrp.BACKUP, reasons=("pgsql has failed", "disk is full")),
            "the peer 10.0.0.3 is not fit: pgsql has failed; disk is full",
        ),
        (Peer("10.0.0.3", True, Vrrp.FAULT, fit=True), "the peer 10.0.0.3 is not fit: its keepalived says FAULT"),
        (Peer("10.0.0.3", True, Vrrp.BACKUP, fit=True), ""),
    ],
)
def test_why_the_peer_could_not_take_over(peer: Peer | None, sentence: str) -> None:
    assert why_not_take_over(peer) == sentence


@pytest.mark.parametrize(("heard", "vrrp", "fit"), list(itertools.product([True, False], Vrrp, [True, False])))
def test_the_role_is_given_up_only_to_a_peer_that_is_able(heard: bool, vrrp: Vrrp, fit: bool) -> None:
    peer = Peer("10.0.0.3", heard, vrrp, fit=fit)
    able = heard and fit and vrrp in (Vrrp.MASTER, Vrrp.BACKUP)
    assert gives_up({"pgsql"}, peer) is able
    assert gives_up((), peer) is False


def test_nobody_is_given_the_role_when_there_is_no_peer() -> None:
    assert gives_up({"pgsql"}, None) is False


# --- a pair of nodes, each asking the same question -------------------------------------------------------


@dataclass
class Node:
    """A node on which ``pgsql`` does not stay up while ``broken``; a verdict stays until a good run."""

    broken: bool = False
    failing: bool = False
    fault: bool = False
    alive: bool = True
    vrrp: Vrrp = Vrrp.BACKUP
    peer: Peer | None = None


@dataclass
class Pair:
    """VRRP with nopreempt; messages arrive when the history says so. ``moves``: who became primary."""

    nodes: tuple[Node, Node] = field(default_factory=lambda: (Node(), Node()))
    moves: list[int] = field(default_factory=list)

    def happen(self, what: str, who: int) -> None:
        node, other = self.nodes[who], self.nodes[1 - who]
        if what == "message" and other.alive:
            node.peer = Peer("10.0.0.3", True, other.vrrp, fit=not other.failing and not other.fault)
        elif what == "run" and node.vrrp is Vrrp.MASTER:
            node.failing = node.broken
        elif what == "decide":
            node.fault = gives_up({"pgsql"} if node.failing else (), node.peer)
        self.elect()

    def elect(self) -> None:
        for node in self.nodes:
            if not node.alive or node.fault:
                node.vrrp = Vrrp.FAULT
            elif node.vrrp is Vrrp.FAULT:
                node.vrrp = Vrrp.BACKUP
        for number, node in enumerate(self.nodes):
            if node.vrrp is Vrrp.BACKUP and all(each.vrrp is not Vrrp.MASTER for each in self.nodes):
                node.vrrp = Vrrp.MASTER
                self.moves.append(number)

    def round(self) -> None:
        for what in ("message", "run", "message", "decide"):
            for who in (0, 1):
                self.happen(what, who)


HAPPENINGS = st.lists(st.tuples(st.sampled_from(["message", "run", "decide"]), st.integers(0, 1)), max_size=80)


@settings(max_examples=300)
@given(HAPPENINGS)
def test_two_nodes_on_which_the_same_service_fails_do_not_play_ping_pong(history: list[tuple[str, int]]) -> None:
    """In any order of messages, failures and decisions: the role moves a few times at most, then it stays."""
    pair = Pair((Node(broken=True), Node(broken=True)))
    for what, who in history:
        pair.happen(what, who)
    for _ in range(5):
        pair.round()
    rested = list(pair.moves)
    for _ in range(20):
        pair.round()
    assert pair.moves == rested
    assert len(rested) <= 3
    assert [node.vrrp for node in pair.nodes].count(Vrrp.MASTER) == 1, "somebody goes on trying"


@settings(max_examples=300)
@given(HAPPENINGS, st.integers(0, 1))
def test_the_role_ends_on_the_node_that_can_hold_it(history: list[tuple[str, int]], sound: int) -> None:
    nodes = (Node(broken=True), Node(broken=True))
    nodes[sound].broken = False
    pair = Pair(nodes)
    for what, who in history:
        pair.happen(what, who)
    for _ in range(5):
        pair.round()
    assert nodes[sound].vrrp is Vrrp.MASTER


def test_a_failing_node_takes_the_role_back_when_its_peer_is_gone() -> None:
    pair = Pair((Node(broken=True), Node()))
    for _ in range(3):
        pair.round()
    assert pair.moves == [0, 1]
    pair.nodes[1].alive = False
    pair.nodes[0].peer = Peer("10.0.0.3")
    pair.happen("decide", 0)
    assert pair.moves == [0, 1, 0]


@pytest.mark.parametrize(
    ("replica", "words"),
    [
        (Replica("Primary", "Connected", "Secondary", "UpToDate", "UpToDate", "Established"), ""),
        (Replica("Primary", "Connected", "Secondary", "Diskless", "UpToDate", "Established"), ""),
        (Replica("Primary", "Connected", "Secondary", "UpToDate", "Inconsistent", "SyncSource"), "is Inconsistent"),
        (Replica("Primary", "StandAlone", "Unknown", "UpToDate", "DUnknown", "Off"), "not connected"),
        (None, "not connected"),
    ],
)
def test_the_role_is_not_moved_to_a_peer_that_lacks_data(replica: Replica | None, words: str) -> None:
    told = why_peer_lacks_data(replica, replicates=True)
    assert words in told
    assert bool(told) == bool(words)
    assert why_peer_lacks_data(replica, replicates=False) == ""
