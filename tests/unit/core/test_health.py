"""The verdict of a node and the sentence of a resource, shape by shape as the contract prints them."""

from dataclasses import replace
from ipaddress import ip_address

import pytest

from escadm.core.drbd.evidence import Evidence
from escadm.core.drbd.fencing import ISOLATED, NO_GATEWAY
from escadm.core.drbd.state import Replica, why_unfit
from escadm.core.health import Facts, describe_unit, judge
from escadm.core.lifecycle import Life
from escadm.core.plan import MASTER_CONDITION, PROMOTION, Plan, Unit
from escadm.core.reason import Reason
from escadm.core.reconcile import Intent
from escadm.core.role import Peer
from escadm.core.snapshot import describe, status_line
from escadm.core.specs import DrbdSpec, KeepalivedSpec, Kind, SystemdSpec
from escadm.core.states import Role, UnitState, Vrrp
from escadm.core.status import Health, ResourceStatus
from escadm.core.trust import Acquaintance
from tests.unit.core.plans import LADDER, make_plan, make_unit

VIP = KeepalivedSpec(ip_address("172.16.2.0"), "eth0", "eth0", 51)
PEER = Peer("172.16.1.0", heard=True, vrrp=Vrrp.BACKUP, role=Role.BACKUP, fit=True, settled=True)
RUNNING, STOPPED, STARTING = Life(UnitState.RUNNING), Life(), Life(UnitState.STARTING)
FAILED = Life(UnitState.FAILED, streak=4, failed=True, reason="exited with code 3 (4 times in 60 s)")
BACKOFF = Life(UnitState.BACKOFF, streak=1, reason="exited with code 3")
SERVICES = {"pgsql": ("filesystem",), "mona": ("filesystem",), "escmanager": ("pgsql",)}
RUNGS = {**LADDER, **SERVICES}


def pair_plan() -> Plan:
    return Plan(make_plan(RUNGS).units, keepalived=VIP)


def master(**lives: Life) -> Facts:
    """A healthy primary, but for ``lives``."""
    plan = pair_plan()
    alive = {name: RUNNING for name in plan.units if name != MASTER_CONDITION}
    return Facts(
        plan,
        Intent(master=True),
        {**alive, **lives},
        Role.MASTER,
        Vrrp.MASTER,
        PEER,
        True,
        pairing={"vip": "172.16.2.0"},
    )


def backup(**lives: Life) -> Facts:
    """A healthy standby, but for ``lives``."""
    up = {"drbd": RUNNING, "keepalived": RUNNING}
    peer = replace(PEER, vrrp=Vrrp.MASTER, role=Role.MASTER)
    return Facts(pair_plan(), Intent(), {**up, **lives}, Role.BACKUP, Vrrp.BACKUP, peer, False)


def standalone(**lives: Life) -> Facts:
    plan = make_plan({"pgsql": (), "mona": (), "escmanager": ("pgsql",)})
    return Facts(plan, Intent(), {**dict.fromkeys(plan.units, RUNNING), **lives}, Role.STANDALONE)


def line(facts: Facts) -> str:
    return status_line(judge(facts))


def stopped(facts: Facts, **lives: Life) -> Facts:
    return replace(facts, intent=replace(facts.intent, active=False), lives=lives)


def by_hand(facts: Facts, *names: str) -> Facts:
    return replace(facts, intent=replace(facts.intent, down=frozenset(names)))


def told(facts: Facts, name: str) -> tuple[str, str]:
    return describe_unit(facts, facts.plan.units[name])


# --- the line ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("facts", "wanted"),
    [
        (master(), "0 ESC status=0 ESC Master Healthy"),
        (backup(), "0 ESC status=0 ESC Backup Healthy"),
        (standalone(), "0 ESC status=0 ESC Standalone Healthy"),
        (master(pgsql=STARTING, mona=STOPPED), "1 ESC status=1 ESC Master Starting: mona, pgsql"),
        (standalone(escmanager=STOPPED), "1 ESC status=1 ESC Standalone Starting: escmanager"),
        (
            replace(master(), peer=replace(PEER, heard=False)),
            "1 ESC status=1 ESC Master Degraded: peer 172.16.1.0 is not connected",
        ),
        (
            master(escmanager=FAILED),
            "2 ESC status=2 ESC Master Failed: escmanager exited with code 3 (4 times in 60 s)",
        ),
        (standalone(pgsql=FAILED), "2 ESC status=2 ESC Standalone Failed: pgsql exited with code 3 (4 times in 60 s)"),
        (stopped(master()), "2 ESC status=2 ESC Stopped"),
        (stopped(standalone()), "2 ESC status=2 ESC Stopped"),
        (stopped(standalone(), pgsql=Life(UnitState.STOPPING)), "1 ESC status=1 ESC Standalone Stopping: pgsql"),
        (
            replace(backup(pgsql=Life(UnitState.KILLING)), role=Role.MASTER),
            "1 ESC status=1 ESC Master Stopping: pgsql",
        ),
        (
            replace(backup(), role=Role.FAULT, vrrp=Vrrp.FAULT),
            "2 ESC status=2 ESC Fault Failed: keepalived reports a fault (see its log)",
        ),
        (
            replace(master(), vip_here=False),
            "1 ESC status=1 ESC Master Degraded: the virtual address 172.16.2.0 is not on eth0",
        ),
        (
            replace(master(), peer=replace(PEER, role=Role.MASTER, vrrp=Vrrp.MASTER)),
            "2 ESC status=2 ESC Master Failed: the peer 172.16.1.0 is primary as well (split)",
        ),
        (
            replace(standalone(), role=None, lives={}),
            "1 ESC status=1 ESC Node Starting: mona, pgsql, escmanager",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_line(facts: Facts, wanted: str) -> None:
    assert line(facts) == wanted


def test_health_follows_severity() -> None:
    assert [judge(each).health for each in (master(), master(mona=STARTING), stopped(master()))] == [
        Health.HEALTHY,
        Health.DEGRADED,
        Health.UNHEALTHY,
    ]
    assert judge(master()).reasons == ()


def test_gravest_finding_is_in_the_line_and_all_are_in_the_reasons() -> None:
    facts = replace(master(escmanager=FAILED, mona=STARTING), peer=replace(PEER, heard=False), vip_here=False)
    verdict = judge(facts)
    assert verdict.text == "ESC Master Failed: escmanager exited with code 3 (4 times in 60 s)"
    assert verdict.reasons == (
        "escmanager exited with code 3 (4 times in 60 s)",
        "peer 172.16.1.0 is not connected",
        "the virtual address 172.16.2.0 is not on eth0",
    )


def test_starting_comes_before_degraded() -> None:
    facts = replace(master(mona=STARTING), peer=replace(PEER, heard=False))
    assert judge(facts).text == "ESC Master Starting: mona"
    assert judge(facts).reasons == ("peer 172.16.1.0 is not connected",)


def test_stopping_comes_before_stopped_and_failed_does_not_count_on_a_stopped_node() -> None:
    facts = stopped(master(), pgsql=Life(UnitState.STOPPING), mona=replace(FAILED, state=UnitState.STOPPED))
    assert line(facts) == "1 ESC status=1 ESC Master Stopping: pgsql"
    facts = stopped(master(), mona=replace(FAILED, state=UnitState.STOPPED))
    assert line(facts) == "2 ESC status=2 ESC Stopped"


def test_what_cannot_be_stopped_is_a_failure() -> None:
    facts = backup(filesystem=Life(UnitState.STOPPING, reason="cannot unmount /db: held by 7 (sh)"))
    assert judge(facts).text == "ESC Backup Failed: filesystem cannot be stopped: cannot unmount /db: held by 7 (sh)"


def test_a_failed_service_that_runs_again_is_degraded_until_its_good_run() -> None:
    facts = master(escmanager=replace(FAILED, state=UnitState.RUNNING))
    assert line(facts).startswith("1 ESC status=1 ESC Master Degraded: escmanager exited with code 3")


def test_file_that_cannot_be_written_is_told() -> None:
    told = "cannot write /run/escadm/state.json: the disk is full"
    assert line(replace(master(), unwritten=(told,))) == f"1 ESC status=1 ESC Master Degraded: {told}"
    assert line(replace(standalone(), unwritten=(told,))) == f"1 ESC status=1 ESC Standalone Degraded: {told}"


def test_service_between_two_attempts_is_starting_with_its_reason() -> None:
    verdict = judge(master(escmanager=BACKOFF))
    assert verdict.text == "ESC Master Starting: escmanager"
    assert verdict.reasons == ("escmanager exited with code 3",)


def test_service_that_is_kept_up_for_ever_never_fails_the_node() -> None:
    facts = backup(monitor=replace(BACKOFF, streak=50))
    units = {**facts.plan.units, "monitor": replace(make_unit("monitor"), run_forever=True)}
    assert line(replace(facts, plan=replace(facts.plan, units=units))).startswith(
        "1 ESC status=1 ESC Backup Starting: monitor"
    )


def test_keepalived_that_cannot_be_kept_up_fails_the_node() -> None:
    """It has no verdict of its own, and nothing that should run needs it on a standby."""
    failing = replace(BACKOFF, reason="exited with code 1: its last words", streak=4)
    facts = backup(keepalived=failing)
    units = {**facts.plan.units, "keepalived": replace(facts.plan.units["keepalived"], run_forever=True)}
    facts = replace(facts, plan=replace(facts.plan, units=units), role=Role.FAULT, vrrp=Vrrp.STOP)
    assert line(facts) == "2 ESC status=2 ESC Fault Failed: keepalived exited with code 1: its last words"
    once = replace(facts, lives={**facts.lives, "keepalived": replace(failing, streak=1)})
    assert line(once) == "1 ESC status=1 ESC Fault Starting: keepalived"
    stopped = replace(facts, intent=replace(facts.intent, down=frozenset({"keepalived"})))
    assert "Failed" not in line(
        replace(stopped, lives={**facts.lives, "keepalived": replace(failing, state=UnitState.STOPPED)})
    )


def test_keepalived_is_starting_until_its_word_has_been_reached() -> None:
    assert judge(backup(keepalived=STARTING)).text == "ESC Backup Starting: keepalived"
    assert judge(replace(backup(), role=Role.FAULT)).text == "ESC Fault Starting: keepalived"


def test_released_role_tells_why() -> None:
    facts = replace(
        backup(escmanager=replace(FAILED, state=UnitState.STOPPED)),
        role=Role.FAULT,
        vrrp=Vrrp.FAULT,
        release=Reason("handed-over", "escmanager", "gave the role up: escmanager exited with code 3"),
    )
    verdict = judge(facts)
    assert verdict.text == "ESC Fault Failed: escmanager exited with code 3 (4 times in 60 s)"
    assert "gave the role up: escmanager exited with code 3" in verdict.reasons
    switching = replace(
        backup(), role=Role.FAULT, vrrp=Vrrp.FAULT, release=Reason("switchover", "", "the role is handed to the peer")
    )
    assert line(switching) == "1 ESC status=1 ESC Fault Degraded: the role is handed to the peer"


def test_a_node_that_is_held_back_tells_why() -> None:
    silent = Peer("172.16.1.0")
    held = replace(
        backup(), role=Role.FAULT, vrrp=Vrrp.FAULT, peer=silent, held=Reason("held-back", "", ISOLATED), gateway=False
    )
    assert line(held) == f"1 ESC status=1 ESC Fault Degraded: {ISOLATED}"
    assert judge(held).reasons == (ISOLATED, NO_GATEWAY, "peer 172.16.1.0 is not connected")
    elected = replace(held, role=Role.BACKUP, vrrp=Vrrp.MASTER)
    assert line(elected) == f"1 ESC status=1 ESC Backup Degraded: {ISOLATED}"


@pytest.mark.parametrize("facts", [master(), backup()])
def test_a_gateway_that_is_lost_is_told_on_both_nodes_while_all_else_works(facts: Facts) -> None:
    assert judge(replace(facts, gateway=False)).reasons == (NO_GATEWAY,)
    assert not judge(replace(facts, gateway=True)).reasons


def test_vip_counts_on_a_primary_alone_and_only_if_looked_at() -> None:
    assert judge(replace(master(), vip_here=None)).severity == 0
    assert judge(replace(backup(), vip_here=False)).severity == 0
    assert judge(replace(master(), vrrp=Vrrp.BACKUP, vip_here=False)).text == "ESC Master Starting: keepalived"


def test_groups_are_named_only_when_nothing_else_is_late() -> None:
    plan = make_plan({"pgsql": (), "esc_service": ("pgsql",)}, {"esc_service": Kind.GROUP})
    facts = Facts(plan, Intent(), {}, Role.STANDALONE)
    assert judge(facts).text == "ESC Standalone Starting: pgsql"
    assert judge(replace(facts, lives={"pgsql": RUNNING})).text == "ESC Standalone Starting: esc_service"


# --- the peer ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("peer", "wanted"),
    [
        (None, ()),
        (PEER, ()),
        (replace(PEER, fit=False, reasons=("pgsql died", "mona died")), ("is not fit: pgsql died; mona died",)),
        (replace(PEER, fit=False), ("is not fit: its keepalived takes no part",)),
        (replace(PEER, pairing={"vip": "172.16.2.9"}), ("is configured differently: vip",)),
        (replace(PEER, pairing={"vip": "172.16.2.0", "of a later version": "1"}), ()),
        (replace(PEER, pairing={}), ()),
        (replace(PEER, heard=False, fit=False, pairing={"vip": "x"}), ("is not connected",)),
    ],
)
def test_peer(peer: Peer | None, wanted: tuple[str, ...]) -> None:
    assert judge(replace(master(), peer=peer)).reasons == tuple(f"peer 172.16.1.0 {each}" for each in wanted)


def test_a_stranger_is_named_and_nothing_else_changes() -> None:
    stranger = "somebody else speaks with the peer's address 172.16.1.0, without a key"
    for facts in (master(), backup(), replace(master(), peer=replace(PEER, heard=False))):
        named = judge(replace(facts, known=Acquaintance("172.16.1.0", True, stranger=stranger)))
        assert named.reasons == (stranger, *judge(facts).reasons)
        assert named.severity == 1
        assert judge(replace(facts, known=Acquaintance("172.16.1.0", True))) == judge(facts)


def test_primary_peer_with_a_failing_service_is_its_own_concern() -> None:
    facts = replace(backup(), peer=replace(PEER, vrrp=Vrrp.MASTER, role=Role.MASTER, fit=False, reasons=("x",)))
    assert judge(facts).severity == 0


def test_a_primary_that_makes_way_for_the_other_one_tells_why() -> None:
    facts = replace(
        master(), peer=replace(PEER, role=Role.MASTER, vrrp=Vrrp.MASTER), held=Reason("held-back", "", "so it is")
    )
    assert line(facts) == "1 ESC status=1 ESC Master Degraded: so it is"


def test_silent_peer_that_was_primary_is_no_split() -> None:
    facts = replace(master(), peer=replace(PEER, heard=False, role=Role.MASTER))
    assert judge(facts).severity == 1


# --- absent, switched off, stopped by hand, no longer there -------------------------------------------------


def with_absent(*, mentioned: bool = False, needed: bool = False, startup: bool = True) -> Facts:
    plan = make_plan({"pgsql": (), "portal": (), "web": ("portal",) if needed else ()})
    portal = Unit("portal", Kind.UNIT, spec=SystemdSpec("portal.service", implied=True), startup=startup)
    plan = replace(plan, units={**plan.units, "portal": replace(portal, mentioned=mentioned)})
    lives = {"pgsql": RUNNING, "web": STOPPED if needed else RUNNING}
    return Facts(plan, Intent(absent=frozenset({"portal"})), lives, Role.STANDALONE)


def test_absent_unit_is_of_concern_if_it_was_named_or_is_needed() -> None:
    assert judge(with_absent()).severity == 0
    assert judge(with_absent(mentioned=True)).text == "ESC Standalone Degraded: portal is not installed"
    assert judge(with_absent(needed=True)).text == "ESC Standalone Degraded: portal is not installed"
    assert judge(with_absent(mentioned=True, startup=False)).severity == 0


def test_absent_unit_and_what_stands_on_it() -> None:
    facts = with_absent(needed=True)
    assert told(facts, "portal") == ("not installed", "no command, and no unit portal.service")
    assert told(facts, "web") == ("stopped", "waits for portal, which is not installed")


def test_absence_is_of_no_concern_to_a_group_or_to_what_is_absent_or_off_itself() -> None:
    units = dict(with_absent(needed=True).plan.units)
    for other in (
        replace(units["web"], kind=Kind.GROUP),
        replace(units["web"], startup=False),
        replace(units["web"], name="absent"),
    ):
        plan = Plan({"portal": units["portal"], other.name: other})
        facts = Facts(plan, Intent(absent=frozenset({"portal", "absent"})), {other.name: RUNNING}, Role.STANDALONE)
        assert judge(facts).severity == 0, other


def test_stopped_by_hand() -> None:
    facts = by_hand(master(mona=STOPPED), "mona")
    assert line(facts) == "1 ESC status=1 ESC Master Degraded: mona is stopped by hand"
    assert told(facts, "mona") == ("stopped", "by hand")


def test_failed_service_that_was_then_stopped_by_hand_is_stopped() -> None:
    facts = by_hand(master(escmanager=replace(FAILED, state=UnitState.STOPPED)), "escmanager")
    assert line(facts) == "1 ESC status=1 ESC Master Degraded: escmanager is stopped by hand"
    assert judge(facts).reasons == ("escmanager is stopped by hand",)
    assert told(facts, "escmanager") == ("stopped", "by hand")


def test_failed_service_that_a_reload_took_away_is_nobodys_concern() -> None:
    assert judge(master(removed=replace(FAILED, state=UnitState.STOPPED))).severity == 0


def test_removed_service_that_does_not_end_is_a_failure() -> None:
    facts = master(removed=Life(UnitState.KILLING, reason="does not end, not even by SIGKILL"))
    assert judge(facts).text.endswith("Failed: removed cannot be stopped: does not end, not even by SIGKILL")


# --- one resource -----------------------------------------------------------------------------------------


def shown(facts: Facts, name: str, pgid: int = 0) -> str:
    state, detail = told(facts, name)
    return describe(ResourceStatus(name, state, pgid, detail=detail))


def off(facts: Facts, name: str) -> Facts:
    units = {**facts.plan.units, name: replace(facts.plan.units[name], startup=False)}
    return replace(facts, plan=replace(facts.plan, units=units))


def test_lines_of_the_contract() -> None:
    assert shown(master(), "pgsql", 61397) == "pgsql (pgid 61397) is running"
    assert shown(master(), "drbd") == "drbd (pgid 0) is master"
    assert shown(backup(), "drbd") == "drbd (pgid 0) is backup"
    assert shown(master(), "keepalived", 60838) == "keepalived (pgid 60838) is running"
    assert shown(off(backup(), "mona"), "mona") == "mona is disabled at startup"
    assert shown(backup(), "mona") == "mona is stopped: waits for filesystem"
    assert shown(master(escmanager=FAILED), "escmanager") == (
        "escmanager has failed: exited with code 3 (4 times in 60 s)"
    )
    assert shown(with_absent(), "portal") == "portal is not installed: no command, and no unit portal.service"


def test_verdict_stays_while_attempts_go_on() -> None:
    for state in UnitState:
        wanted = "running" if state is UnitState.RUNNING else "failed"
        assert told(master(escmanager=replace(FAILED, state=state)), "escmanager")[0] == wanted


def test_detail_of_each_state() -> None:
    reason = "exited with code 3"
    for state in (UnitState.STARTING, UnitState.STOPPING, UnitState.KILLING, UnitState.BACKOFF):
        assert told(master(mona=Life(state, streak=1, reason=reason)), "mona") == (state.value, reason)
    assert told(master(mona=Life(UnitState.RUNNING, streak=1, reason=reason)), "mona") == ("running", "")


def test_what_a_stopped_resource_waits_for() -> None:
    assert told(backup(), PROMOTION) == ("stopped", f"waits for {MASTER_CONDITION}")
    assert told(master(pgsql=STARTING, escmanager=STOPPED), "escmanager") == ("stopped", "waits for pgsql")
    assert told(master(mona=STOPPED), "mona") == ("stopped", "")
    assert told(stopped(master()), "mona") == ("stopped", "")


def test_switched_off_but_started_by_name_is_like_any_other() -> None:
    facts = off(master(mona=RUNNING), "mona")
    assert told(replace(facts, intent=replace(facts.intent, up=frozenset({"mona"}))), "mona") == ("running", "")
    assert told(facts, "mona") == ("running", "")


# --- replication ------------------------------------------------------------------------------------------

DRBD = DrbdSpec((ip_address("172.16.0.0"), ip_address("172.16.1.0")), "/dev/vdb", "/dev/drbd1", 7789)
MIB = 1 << 20
SYNCED = Replica("Primary", "Connected", "Secondary", "UpToDate", "UpToDate", "Established", 0, 128 * MIB)
STANDBY = replace(SYNCED, role="Secondary", peer_role="Primary")
SYNCING = replace(
    SYNCED, peer_disk="Inconsistent", replication="SyncSource", out_of_sync=73 * MIB, bytes_per_second=6.0 * MIB
)
ALONE = replace(SYNCED, connection="StandAlone", peer_role="Unknown", peer_disk="DUnknown", replication="Off")
PROGRESS = "the peer is being brought up to date (42%, 73 MiB to go, 0:12)"


def replicated(facts: Facts, replica: Replica, copy: Evidence | None = None) -> Facts:
    """The same node with a volume."""
    assert facts.peer is not None
    plan, peer = replace(facts.plan, drbd=DRBD), replace(facts.peer, replica=copy)
    return replace(facts, plan=plan, replica=replica, unfit=why_unfit(replica), peer=peer)


@pytest.mark.parametrize(
    ("facts", "wanted", "volume"),
    [
        (replicated(master(), SYNCED), "0 ESC status=0 ESC Master Healthy", "drbd (pgid 0) is master"),
        (replicated(backup(), STANDBY), "0 ESC status=0 ESC Backup Healthy", "drbd (pgid 0) is backup"),
        (
            replicated(master(), replace(SYNCED, replication="VerifyS")),
            "0 ESC status=0 ESC Master Healthy",
            "drbd (pgid 0) is master",
        ),
        (
            replicated(master(), SYNCING),
            f"1 ESC status=1 ESC Master Degraded: {PROGRESS}",
            f"drbd (pgid 0) is master: {PROGRESS}",
        ),
        (
            replicated(master(), replace(SYNCED, disk="Diskless")),
            "1 ESC status=1 ESC Master Degraded: it has no disk (Diskless) and works over the peer's: "
            "move the role with escadm switchover, then see to the disk",
            "drbd (pgid 0) is master: it has no disk (Diskless) and works over the peer's: "
            "move the role with escadm switchover, then see to the disk",
        ),
        (
            replicated(backup(), replace(ALONE, role="Secondary")),
            "2 ESC status=2 ESC Backup Failed: replication has stopped (StandAlone), and the peer may have newer data: "
            "escadm health says more",
            "drbd (pgid 0) is backup: replication has stopped (StandAlone), and the peer may have newer data: "
            "escadm health says more",
        ),
        (
            replicated(
                master(), replace(ALONE, out_of_sync=4096), Evidence("Secondary", "StandAlone", out_of_sync=4096)
            ),
            "1 ESC status=1 ESC Master Degraded: split brain: both nodes have written without each other: "
            "escadm health shows both sides",
            "drbd (pgid 0) is master: split brain: both nodes have written without each other: "
            "escadm health shows both sides",
        ),
        (
            replicated(master(), replace(ALONE, connection="Connecting"), Evidence("Secondary", "StandAlone")),
            "1 ESC status=1 ESC Master Degraded: the peer has stopped the replication (StandAlone): "
            "escadm health says more",
            "drbd (pgid 0) is master: the peer has stopped the replication (StandAlone): escadm health says more",
        ),
    ],
    ids=["master", "backup", "verify", "syncing", "diskless", "standby stopped", "split", "peer stopped"],
)
def test_the_volume_in_the_line_and_in_its_own(facts: Facts, wanted: str, volume: str) -> None:
    assert line(facts) == wanted
    assert shown(facts, "drbd") == volume


def test_a_standby_that_is_being_brought_up_to_date_has_not_failed() -> None:
    """Its fitness keeps it out of the election: keepalived says FAULT."""
    syncing = replace(STANDBY, disk="Inconsistent", replication="SyncTarget", out_of_sync=73 * MIB)
    facts = replace(replicated(backup(), syncing), role=Role.FAULT, vrrp=Vrrp.FAULT)
    told = "its data is Inconsistent: being brought up to date from the peer (42%, 73 MiB to go)"
    assert facts.unfit
    assert line(facts) == f"1 ESC status=1 ESC Fault Degraded: {told}"
    assert shown(facts, "drbd") == f"drbd (pgid 0) is backup: {told}"


def test_a_split_brain_counts_for_more_than_an_unfit_peer() -> None:
    facts = replicated(
        master(), replace(ALONE, out_of_sync=4096), Evidence("Secondary", "StandAlone", out_of_sync=4096)
    )
    assert facts.peer is not None
    found = judge(replace(facts, peer=replace(facts.peer, fit=False, reasons=("its data is old",))))
    assert found.text.startswith("ESC Master Degraded: split brain: ")
    assert found.reasons[1] == "peer 172.16.1.0 is not fit: its data is old"


def test_a_diskless_primary_whose_peer_is_gone_has_failed() -> None:
    lost = replace(ALONE, connection="Connecting", disk="Diskless")
    assert line(replicated(master(), lost)).startswith("2 ESC status=2 ESC Master Failed: it has no disk (Diskless)")
