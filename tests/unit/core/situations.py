"""A healthy pair as each of its nodes sees it, and what a test may change about it."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

from escadm.core.drbd.state import Replica
from escadm.core.lifecycle import Life
from escadm.core.role import Peer
from escadm.core.situation import Kept, Situation
from escadm.core.specs import DrbdSpec, KeepalivedSpec
from escadm.core.states import Role, UnitState, Vrrp
from tests.unit.core.plans import LADDER, make_plan

LOW, HIGH = ip_address("192.0.2.8"), ip_address("192.0.2.9")
VRRP = KeepalivedSpec(ip_address("192.0.2.1"), "lo", "lo", 51, peer_paths=((LOW, HIGH),))
DRBD = DrbdSpec((LOW, HIGH), "/dev/vdb", "/dev/drbd1", 7789)
PLAN = replace(make_plan({**LADDER, "pgsql": ["filesystem"]}), keepalived=VRRP, drbd=DRBD)
UP = {name: Life(UnitState.RUNNING) for name in PLAN.units if name != "keepalived:master"}
BELOW = {name: UP[name] for name in ("drbd", "keepalived")}
BROKEN = Life(UnitState.FAILED, streak=4, failed=True, reason="exited with 1")

TOGETHER = Replica("Primary", "Connected", "Secondary", "UpToDate", "UpToDate")
STANDBY = Replica("Secondary", "Connected", "Primary", "UpToDate", "UpToDate")
ALONE = replace(TOGETHER, connection="Connecting", peer_role="Unknown", peer_disk="DUnknown")
ABLE = Peer(str(HIGH), heard=True, near=True, vrrp=Vrrp.BACKUP, role=Role.BACKUP, fit=True, settled=True)
SILENT = Peer(str(HIGH))
RULES = Peer(str(HIGH), heard=True, near=True, vrrp=Vrrp.MASTER, role=Role.MASTER, fit=True, settled=True)

PRIMARY = Situation(
    PLAN,
    lives=UP,
    units=PLAN.units,
    vrrp=Vrrp.MASTER,
    peer=ABLE,
    replica=TOGETHER,
    kept=Kept(role=Role.MASTER),
)
SECOND = replace(PRIMARY, lives=BELOW, vrrp=Vrrp.BACKUP, peer=RULES, replica=STANDBY, kept=Kept(role=Role.BACKUP))
FAILING = replace(PRIMARY, lives={**UP, "pgsql": BROKEN})
