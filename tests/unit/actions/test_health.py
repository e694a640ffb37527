"""What health looks at, and what it makes of what it finds."""

import os
import socket
from collections.abc import Container, Iterator, Mapping, Sequence
from ipaddress import ip_address
from pathlib import Path

import pytest

from escadm.actions.health import CheckResult, HealthReport, health
from escadm.core.problem import HostFacts
from escadm.core.snapshot import encode
from escadm.core.states import Role, Vrrp
from escadm.core.status import Health, ResourceStatus, Snapshot, Verdict
from escadm.errors import Failed, NotInstalled
from escadm.paths import Paths
from escadm.system import role_file
from escadm.system.host import Host
from escadm.system.run import Completed
from tests.cli.program import agent

PAIR = """\
resources:
  keepalived:
    vip: 172.16.2.0
    interface: eth0
    unicast_source: 172.16.0.0
    unicast_peers: [172.16.1.0]
    gateway: 172.16.0.1
"""
DRBD = "  drbd:\n    nodes: [172.16.0.0, 172.16.1.0]\n"
HERE = HostFacts({"eth0": (ip_address("172.16.0.0"),)})
BESIDE = HostFacts({}, strict=False)


class Pings:
    """Stands in for ping: those in ``deaf`` do not answer."""

    def __init__(self, *deaf: str, error: Exception | None = None) -> None:
        self.deaf = deaf
        self.error = error
        self.drbd = ""
        self.keepalived = Completed(("keepalived",), 0, "", "")

    def __call__(
        self,
        argv: Sequence[str],
        *,
        timeout: float,
        input: str | None = None,  # noqa: A002
        env: Mapping[str, str] | None = None,
        ok: Container[int] = (0,),
        cwd: str | None = None,
    ) -> Completed:
        if argv[0] == "keepalived":
            return self.keepalived
        if argv[0] == "drbdsetup":
            return Completed(tuple(argv), 0, self.drbd, "")
        if argv[0] in ("dmesg", "drbdadm"):
            return Completed(tuple(argv), 0, "", "")
        assert argv[0] == "ping"
        if self.error:
            raise self.error
        return Completed(tuple(argv), int(argv[-1] in self.deaf), "", "")


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    paths = Paths(tmp_path)
    paths.config.parent.mkdir(parents=True)
    return paths


def look(
    paths: Paths,
    role: Role,
    text: str,
    run: Pings | None = None,
    *resources: ResourceStatus,
    facts: HostFacts = HERE,
    vrrp: Vrrp | None = None,
) -> HealthReport:
    """Health of a node whose agent says that it is healthy in ``role``."""
    paths.config.write_text(text)
    verdict = Verdict(0, Health.HEALTHY, f"ESC {role.value.title()} Healthy")
    with agent(paths.root, encode(Snapshot(verdict, role, resources=resources, vrrp=vrrp))):
        return health(paths, facts, Host(run=run or Pings()))


def found(report: HealthReport) -> dict[str, tuple[bool | None, str]]:
    return {check.name: (check.passed, check.detail) for check in report.checks}


@pytest.mark.parametrize(
    ("role", "text", "heading"),
    [
        (Role.MASTER, PAIR, "ESC HA (MASTER)"),
        (Role.BACKUP, PAIR + DRBD, "ESC HA (BACKUP) with DRBD"),
        (Role.FAULT, PAIR, "ESC HA (FAULT)"),
        (Role.STANDALONE, "resources:\n", "ESC (STANDALONE)"),
        (Role.STANDALONE, "resources: [\n", "ESC (STANDALONE)"),
        (Role.MASTER, "resources: [\n", "ESC HA (MASTER)"),
    ],
)
def test_heading(paths: Paths, role: Role, text: str, heading: str) -> None:
    assert look(paths, role, text).heading == heading


def test_peer_and_gateway(paths: Paths) -> None:
    results = found(look(paths, Role.BACKUP, PAIR, Pings("172.16.1.0")))
    assert results["peer 172.16.1.0"] == (False, "does not answer a ping")
    assert results["gateway 172.16.0.1"] == (True, "answers")


def test_without_ping_nothing_is_said_about_the_peer(paths: Paths) -> None:
    error = NotInstalled("cannot run ping: it is not installed")
    results = found(look(paths, Role.BACKUP, PAIR, Pings(error=error)))
    assert results["peer 172.16.1.0"] == (None, "cannot run ping: it is not installed")


def test_a_tree_beside_the_machine_asks_nobody_on_the_network(paths: Paths) -> None:
    results = found(look(paths, Role.BACKUP, PAIR, Pings(error=AssertionError("a ping")), facts=BESIDE))
    assert results["peer 172.16.1.0"] == (None, "a tree beside the machine asks nobody on the network")


def test_a_ping_that_takes_too_long_is_a_failure(paths: Paths) -> None:
    results = found(look(paths, Role.BACKUP, PAIR, Pings(error=Failed("ping: no end after 3 s"))))
    assert results["peer 172.16.1.0"] == (False, "ping: no end after 3 s")


def test_the_virtual_address_belongs_to_the_master(paths: Paths) -> None:
    as_backup = found(look(paths, Role.BACKUP, PAIR))
    as_master = found(look(paths, Role.MASTER, PAIR))
    assert as_backup["virtual address"] == (True, "172.16.2.0 is not on eth0")
    assert as_master["virtual address"] == (False, "172.16.2.0 is not on eth0, and the role is MASTER")


def word_of(paths: Paths, role: Role, word: str, text: str = PAIR, vrrp: Vrrp | None = None) -> tuple[bool | None, str]:
    """What is found of the role's file where it says ``word``, and the agent ``role``."""
    role_file.write(Role(word), paths)
    return found(look(paths, role, text, vrrp=vrrp))["keepalived_state"]


def test_the_role_that_scripts_read(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    here = {"answer": False}
    monkeypatch.setattr("escadm.actions.role_word.has_address", lambda *_: here["answer"])
    agreed = "as the agent does, keepalived and the virtual address"
    backup = word_of(paths, Role.BACKUP, "BACKUP", vrrp=Vrrp.BACKUP)
    assert backup == (True, f"it says BACKUP, {agreed}")
    assert word_of(paths, Role.FAULT, "FAULT", vrrp=Vrrp.STOP) == (True, f"it says FAULT, {agreed}")
    assert word_of(paths, Role.BACKUP, "MASTER") == (False, "it says MASTER, and the role is BACKUP")
    assert word_of(paths, Role.MASTER, "MASTER", vrrp=Vrrp.MASTER) == (
        False, "it says MASTER, and 172.16.2.0 is not on eth0"
    )  # fmt: skip
    here["answer"] = True
    assert word_of(paths, Role.MASTER, "MASTER", vrrp=Vrrp.MASTER) == (True, f"it says MASTER, {agreed}")
    assert word_of(paths, Role.MASTER, "MASTER", vrrp=Vrrp.FAULT) == (
        False, "it says MASTER, and keepalived says FAULT"
    )  # fmt: skip
    assert word_of(paths, Role.BACKUP, "BACKUP", vrrp=Vrrp.BACKUP) == (
        False, "it says BACKUP, and 172.16.2.0 is on eth0"
    )  # fmt: skip
    assert word_of(paths, Role.STANDALONE, "STANDALONE", "resources:\n") == (
        True, "it says STANDALONE, as the agent does"
    )  # fmt: skip


def test_the_role_that_scripts_cannot_read(paths: Paths) -> None:
    assert found(look(paths, Role.BACKUP, PAIR))["keepalived_state"] == (
        False, f"there is no {paths.role}; it has no word"
    )  # fmt: skip
    role_file.write(Role.BACKUP, paths)
    paths.role_word.unlink()
    assert found(look(paths, Role.BACKUP, PAIR))["keepalived_state"] == (
        False, "there is no word in it, and the role is BACKUP"
    )  # fmt: skip
    paths.role.unlink()
    paths.role.write_text("BACKUP\n")
    assert found(look(paths, Role.BACKUP, PAIR))["keepalived_state"] == (
        False,
        f"{paths.role} is no link to {paths.role_word}: what is written there does not go with the power; "
        "it has the word BACKUP",
    )


def test_a_role_that_has_just_changed_is_looked_at_again(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    role_file.write(Role.BACKUP, paths)
    answers = iter(["MASTER"])
    real = role_file.read
    monkeypatch.setattr(role_file, "read", lambda paths: next(answers, None) or real(paths))
    monkeypatch.setattr("escadm.actions.role_word.has_address", lambda *_: False)
    assert found(look(paths, Role.BACKUP, PAIR))["keepalived_state"][0]


def test_without_an_agent_the_role_is_not_known(paths: Paths) -> None:
    paths.config.write_text(PAIR)
    role_file.write(Role.MASTER, paths)
    report = health(paths, HERE, Host(run=Pings()))
    results = found(report)
    assert report.heading == "ESC HA (UNKNOWN)"
    assert results["status"] == (False, "ESC Unknown: the agent is not running")
    assert results["virtual address"] == (None, "172.16.2.0 is not on eth0, and the role is not known")
    assert results["keepalived_state"] == (None, "it says MASTER, and the role is not known")
    assert not report.passed


def test_keepalived_is_looked_for(paths: Paths) -> None:
    assert found(look(paths, Role.BACKUP, PAIR))["keepalived"] == (False, "it is not running")
    paths.keepalived_pid.write_text(f"{os.getpid()}\n")
    results = found(look(paths, Role.BACKUP, PAIR))
    assert results["keepalived"] == (False, f"it is not running (it was process {os.getpid()})")


def test_a_keepalived_of_others_is_one_that_runs(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the one that health itself asks about the file, at the same time, nor one that has just ended."""
    monkeypatch.setattr("escadm.actions.health.pids_of", lambda _: [71, 72, 73])
    monkeypatch.setattr("escadm.actions.health.parent_of", lambda _: 1)
    lines = {71: ["keepalived", "--use-file=/x", "--config-test", ""], 72: [""], 73: []}
    monkeypatch.setattr("escadm.actions.health.command_line", lambda pid: lines[pid])
    name = "keepalived of others"
    assert found(look(paths, Role.BACKUP, PAIR))[name] == (True, "none")
    lines[72] = ["/usr/sbin/keepalived", "--dont-fork", ""]
    told = "another one runs (pid 72): systemctl disable --now keepalived"
    assert found(look(paths, Role.BACKUP, PAIR))[name] == (False, told)


def test_keepalived_is_asked_about_the_file_that_it_would_start_with(paths: Paths) -> None:
    answers = Pings()
    name = "keepalived configuration"
    missing = f"there is no {paths.keepalived_conf}: escadm reload writes it"
    assert found(look(paths, Role.BACKUP, PAIR, answers))[name] == (False, missing)
    paths.keepalived_conf.parent.mkdir(parents=True)
    paths.keepalived_conf.write_text("nonsense\n")
    assert found(look(paths, Role.BACKUP, PAIR, answers))[name] == (True, f"keepalived accepts {paths.keepalived_conf}")
    answers.keepalived = Completed(("keepalived",), 5, "", "(Line 1) Unknown keyword\n\t(Line 2) as well\n")
    assert found(look(paths, Role.BACKUP, PAIR, answers))[name] == (
        False, "keepalived does not accept the configuration made for it: (Line 1) Unknown keyword (Line 2) as well"
    )  # fmt: skip
    answers.keepalived = Completed(("keepalived",), 1, "", "Unable to read build config options file\n")
    passed, detail = found(look(paths, Role.BACKUP, PAIR, answers))[name]
    assert passed is False
    assert detail.startswith("keepalived cannot start: Unable to read build config options file, which is /etc/keep")
    assert detail.endswith(
        "; bring it back: apt-get install --reinstall -o Dpkg::Options::=--force-confmiss keepalived"
    )


def test_a_mount_belongs_to_the_master(paths: Paths) -> None:
    text = PAIR + "  filesystem:\n    device: /dev/none\n"
    point = paths.below("/opt/cisco/esc/esc_database")
    assert found(look(paths, Role.BACKUP, text))["filesystem"] == (True, f"{point} is not mounted")
    results = found(look(paths, Role.MASTER, text))
    assert results["filesystem"] == (False, f"{point} is not mounted, and the role is MASTER")


@pytest.fixture
def port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_services_are_asked_now(paths: Paths, port: int) -> None:
    text = (
        "resources:\n"
        f"  good: {{command: [/bin/true], check: {{tcp: {port}}}}}\n"
        "  bad: {command: [/bin/true], ready: {tcp: 1}}\n"
        "  lives: {command: [/bin/true]}\n"
        "  gone: {command: [/bin/true]}\n"
        "  down: {command: [/bin/true], check: {tcp: 1}}\n"
    )
    states = [("good", 1), ("bad", 1), ("lives", os.getpgrp()), ("gone", 2**22 + 1)]
    resources = [ResourceStatus(name, "running", group) for name, group in states]
    results = found(look(paths, Role.STANDALONE, text, None, *resources, ResourceStatus("down", "stopped")))
    assert results["good"] == (True, "answers")
    assert results["bad"] == (False, "port 1 of 127.0.0.1: connection refused")
    assert results["lives"] == (True, f"process group {os.getpgrp()} lives")
    assert results["gone"] == (False, f"its process group {2**22 + 1} is gone")
    assert "down" not in results


def test_written_files_are_compared(paths: Paths) -> None:
    results = found(look(paths, Role.BACKUP, PAIR))
    assert results["written files"] == (
        False,
        "they are not those of the configuration: see escadm diff, then escadm reload",
    )


def test_what_could_not_be_checked_is_not_held_against_the_node() -> None:
    snapshot = Snapshot(Verdict(0, Health.HEALTHY, "ESC Standalone Healthy"))
    good, unsure, bad = (CheckResult("x", passed, "") for passed in (True, None, False))
    assert HealthReport("", snapshot, (good, unsure)).passed
    assert not HealthReport("", snapshot, (good, unsure, bad)).passed


def test_replication_is_asked_for_its_own_word(paths: Paths) -> None:
    volume = Pings()
    folder = Path(__file__).parents[1] / "system/drbd/8.4"
    for state, passed in (("primary.a", True), ("resync.b", False), ("split-brain.a", False), ("outdated.b", False)):
        stamped = (folder / f"{state}.events2.txt").read_text()
        volume.drbd = "\n".join(line.split(" ", 1)[1] for line in stamped.splitlines() if " " in line)
        assert found(look(paths, Role.BACKUP, PAIR + DRBD, volume))["replication"][0] is passed, state
    beside = look(paths, Role.BACKUP, PAIR + DRBD, volume, facts=BESIDE)
    assert found(beside)["replication"] == (None, "a tree beside the machine has no volume of its own")


def test_what_drbd_runs_when_it_has_lost_its_peer_is_there(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = f"{paths.fence_peer} is not there, or cannot be run: a primary that loses its peer would wait for ever"
    assert found(look(paths, Role.BACKUP, PAIR + DRBD))["fence-peer"] == (None, missing), "a tree need not have it"
    monkeypatch.setattr(Paths, "is_host", True)
    assert found(look(paths, Role.BACKUP, PAIR + DRBD))["fence-peer"] == (False, missing)
    paths.fence_peer.parent.mkdir(parents=True)
    paths.fence_peer.touch(0o644)
    assert found(look(paths, Role.BACKUP, PAIR + DRBD))["fence-peer"] == (False, missing)
    paths.fence_peer.chmod(0o755)
    assert found(look(paths, Role.BACKUP, PAIR + DRBD))["fence-peer"] == (True, f"{paths.fence_peer} can be run")
    assert "fence-peer" not in found(look(paths, Role.BACKUP, PAIR))
