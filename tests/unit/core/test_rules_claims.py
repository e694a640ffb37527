"""Who else has the virtual address, which this node has: when that is said, and of whom."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from escadm.core.claims import LASTS, SETTLE, Claim
from escadm.core.decide import decide
from escadm.core.interfaces import Interface
from escadm.core.rules.strangers import claimants, guards_address
from escadm.core.situation import Situation
from escadm.core.states import Role, Vrrp
from escadm.core.status import Health
from tests.unit.core.situations import ABLE, PLAN, PRIMARY, RULES, SILENT, VRRP

OTHER, OWN = "52:54:00:aa:bb:cc", "52:54:00:00:00:01"
NOW = 100.0
HERE = {"lo": Interface(addresses=(VRRP.vip,)), "eth1": Interface(hardware=OWN)}
CLAIM = Claim(NOW - SETTLE, NOW)
SEEN = replace(PRIMARY, now=NOW, interfaces=HERE, claims={OTHER: CLAIM})
V6 = ip_address("fd00::1")


def of_ipv6() -> dict[str, Any]:
    return {
        "plan": replace(PLAN, keepalived=replace(VRRP, vip=V6)),
        "interfaces": {"lo": Interface(addresses=(V6,))},
    }


def test_another_machine_with_the_address_is_named() -> None:
    (found,) = claimants(SEEN)
    assert (found.code, found.subject) == ("foreign-vip", OTHER)
    assert found.sentence == f"another machine, {OTHER}, has the virtual address 192.0.2.1"


@pytest.mark.parametrize(
    ("guarded", "changes"),
    [
        (True, {}),
        (True, {"peer": None}),
        (True, {"peer": SILENT}),
        (True, {"peer": replace(SILENT, vrrp=Vrrp.MASTER, role=Role.MASTER)}),
        (False, {"peer": RULES}),
        (False, {"peer": replace(ABLE, vrrp=Vrrp.MASTER)}),
        (False, {"peer": replace(ABLE, vrrp=Vrrp.UNKNOWN, role=Role.MASTER)}),
        (False, {"interfaces": {"lo": Interface(), "eth1": Interface(addresses=(VRRP.vip,))}}),
        (False, {"interfaces": None}),
        (False, {"plan": replace(PLAN, keepalived=None)}),
        (False, of_ipv6()),
    ],
    ids=[
        "a healthy primary",
        "no peer is known",
        "the peer is silent",
        "the peer was primary when it was heard last",
        "the peer is primary",
        "VRRP made the peer MASTER",
        "the peer is still primary",
        "the address is not here",
        "nobody has looked where the address is",
        "no pair",
        "IPv6",
    ],
)
def test_the_address_is_guarded_while_it_is_this_nodes_alone(guarded: bool, changes: dict[str, Any]) -> None:
    seen = replace(SEEN, **changes)
    assert guards_address(seen) is guarded
    assert [each.subject for each in claimants(seen)] == ([OTHER] if guarded else [])


@pytest.mark.parametrize(
    ("counts", "claim"),
    [
        (True, CLAIM),
        (False, Claim(NOW - SETTLE + 0.01, NOW)),
        (True, Claim(0.0, NOW - LASTS + 0.01)),
        (False, Claim(0.0, NOW - LASTS)),
    ],
    ids=["heard again", "heard once", "just fresh enough", "too old"],
)
def test_a_claim_counts_once_it_was_heard_again_and_for_a_while(counts: bool, claim: Claim) -> None:
    assert bool(claimants(replace(SEEN, claims={OTHER: claim}))) is counts


def test_this_machines_own_interfaces_are_no_strangers() -> None:
    assert claimants(replace(SEEN, claims={OWN: CLAIM})) == ()
    assert [each.subject for each in claimants(replace(SEEN, claims={OTHER: CLAIM, OWN: CLAIM, "0a": CLAIM}))] == [
        "0a",
        OTHER,
    ]


def test_it_degrades_the_verdict_and_leaves_the_role_alone() -> None:
    def others(seen: Situation) -> object:
        decided = decide(seen)
        return decided.fit, decided.role, decided.steps, decided.message, decided.kept, decided.guards_address

    decided = decide(SEEN)
    assert decided.verdict.health is Health.DEGRADED
    assert decided.verdict.text == f"ESC Master Degraded: another machine, {OTHER}, has the virtual address 192.0.2.1"
    assert others(SEEN) == others(replace(SEEN, claims={}))
    assert decided.guards_address
    assert not decide(replace(SEEN, interfaces={"lo": Interface()})).guards_address
