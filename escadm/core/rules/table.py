"""The rules of the role as a table: on which facts each applies, and what follows. The first that fits applies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from escadm.core.reason import Reason
from escadm.core.rules.role import ENDANGERED, HANDED_OVER, HELD_BACK, SWITCHOVER, WAITS, is_waiting
from escadm.core.rules.trouble import faults
from escadm.core.situation import Situation
from escadm.core.states import Vrrp


@dataclass(frozen=True, slots=True)
class Rule:
    """``code`` is stable. ``when`` and ``then`` are for people; ``fits`` is the rule itself."""

    code: str
    when: str
    then: str
    fits: Callable[[Situation], bool]


def _gave_up(code: str) -> Callable[[Situation], bool]:
    return lambda seen: seen.kept.release is not None and seen.kept.release.code == code


RULES = (
    Rule(
        "standalone",
        "no virtual address is configured",
        "everything runs here, in the order of depend_on",
        lambda seen: not seen.plan.is_pair,
    ),
    Rule(
        "stopped",
        "an administrator has stopped this node",
        "everything stops in order, keepalived last; the peer takes over",
        lambda seen: not seen.wish.active,
    ),
    Rule(
        "unable",
        "its own address or interface is gone, or keepalived goes on saying what cannot be true",
        "keepalived is told FAULT at once, and the services of the primary stop",
        lambda seen: bool(faults(seen)),
    ),
    Rule(
        SWITCHOVER,
        "an administrator moves the role",
        "the services of the primary stop in order, then keepalived is told FAULT; the peer takes over",
        _gave_up(SWITCHOVER),
    ),
    Rule(
        ENDANGERED,
        "neither the peer nor a gateway is reached, or the peer has become primary, or only its disk is left",
        "the services stop and writes that wait are given up, whoever is there to take over",
        _gave_up(ENDANGERED),
    ),
    Rule(
        HANDED_OVER,
        "a service keeps failing, the data must not be served or no gateway answers; the peer is able, lacks no data",
        "the services of the primary stop in order, then keepalived is told FAULT; the peer takes over",
        _gave_up(HANDED_OVER),
    ),
    Rule(
        HELD_BACK,
        "the peer is primary and is heard, only not by VRRP; or neither the peer nor a gateway is reached",
        "nothing of the primary runs here, and keepalived is told FAULT until that is over",
        lambda seen: seen.kept.hold is not None,
    ),
    Rule(
        WAITS,
        "keepalived says MASTER, and the peer is heard and still runs something of the primary",
        "nothing of the primary is started until the peer has stopped it, or is silent",
        is_waiting,
    ),
    Rule(
        "primary",
        "keepalived says MASTER",
        "the volume is promoted and mounted, and the services start in the order of depend_on",
        lambda seen: seen.vrrp is Vrrp.MASTER,
    ),
    Rule(
        "standby",
        "keepalived says BACKUP",
        "nothing of the primary runs here",
        lambda seen: seen.vrrp is Vrrp.BACKUP,
    ),
    Rule(
        "no-part",
        "keepalived says FAULT or has ended, or has not spoken yet",
        "nothing of the primary runs here",
        lambda _: True,
    ),
)


def applied(seen: Situation) -> Reason:
    """The rule that applies, and when it does."""
    rule = next(rule for rule in RULES if rule.fits(seen))
    return Reason(rule.code, "", rule.when)
