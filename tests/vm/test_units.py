"""Services below a real systemd: what runs in scopes, and Debian's own PostgreSQL unit on the replicated volume."""

from __future__ import annotations

import time
from datetime import datetime, timedelta

import pytest
import yaml

from tests.vm.conftest import Measured
from tests.vm.image import POSTGRESQL
from tests.vm.machine import Machine
from tests.vm.pair import Pair
from tests.vm.replicated import DATA, PATH, Scene, wait_healthy

PGSQL = {
    "ready": {"exec": ["runuser", "-u", "postgres", "--", "psql", "-qAtXc", "select 1"]},
    "check": {"tcp": 5432},
}
SLOW = {"command": ["sh", "-c", "trap 'sleep 3; exit' TERM; while :; do sleep 0.1; done"], "depend_on": "pgsql"}
STRAYS = """\
import os, time
for _ in range(2):
    if os.fork() == 0:
        os.setsid()
        os.execve("/bin/sleep", ["sleep", "1001"], {})
time.sleep(1002)
"""


@pytest.fixture
def scene(ready: Pair) -> Scene:
    """A pair whose database is the unit that its package brings, on either node with the same cluster."""
    primary, _ = wait_healthy(ready)
    for machine in ready.machines:
        machine.escadm("stop", "pgsql")
    version = postgresql(primary)
    cluster = f"/etc/postgresql/{version}/main"
    primary.sh(
        f"pg_createcluster {version} main -d {DATA} && echo \"listen_addresses = '*'\" >>{cluster}/postgresql.conf"
    )
    archive = primary.sh(f"tar -C / -cz {cluster[1:]} | base64")
    ready.other(primary).write("/srv/cluster", archive)
    ready.other(primary).sh("base64 -d /srv/cluster | tar -C / -xz && systemctl daemon-reload")
    for machine in ready.machines:
        document = yaml.safe_load(machine.read(PATH) or "")
        document["resources"]["pgsql"] = {**PGSQL, "unit": unit(primary)}
        document["resources"]["mona"] = {"command": ["python3", "-c", STRAYS], "user": "nobody", "stop_timeout": 5}
        machine.write(PATH, yaml.safe_dump(document))
        machine.escadm("reload", check=False)
        machine.escadm("start", "pgsql", check=False)  # the standby says that it waits for the role
    return Scene(ready)


def postgresql(machine: Machine) -> str:
    """The major version that the machine's release has."""
    return machine.sh(f"basename $(realpath {POSTGRESQL})").strip()


def unit(machine: Machine) -> str:
    return f"postgresql@{postgresql(machine)}-main.service"


def show(machine: Machine, name: str) -> str:
    return machine.sh(f"systemctl show --value --property={name} {unit(machine)}").strip()


def pgid(machine: Machine, name: str) -> int:
    found = next(each for each in machine.status()["resources"] if each["name"] == name)
    assert found["state"] == "running"
    return int(found["pgid"])


def of_the_services(machine: Machine) -> dict[str, list[int]]:
    """The processes below esc.slice by the resource, what only watches a unit left out."""
    script = "cd /sys/fs/cgroup/esc.slice && for each in esc-*.scope; do echo $each $(cat $each/cgroup.procs); done"
    found = {}
    for line in machine.sh(script, check=False).splitlines():
        scope, *pids = line.split()
        if ":watch" not in scope and pids:
            found[scope.rpartition("-")[0].removeprefix("esc-")] = sorted(map(int, pids))
    return found


def test_each_service_has_its_scope(scene: Scene) -> None:
    """A killed agent takes none along, and a stop leaves none: also of those that left their session, their parent and
    their environment behind."""
    with scene:
        primary = scene.primary
        before = of_the_services(primary)
        assert before.keys() == {"keepalived", "mona"}
        assert before["mona"][0] == pgid(primary, "mona")
        assert len(before["mona"]) == 3
        database = show(primary, "MainPID")
        assert pgid(primary, "pgsql") == int(database)
        agent = primary.sh("systemctl show --value --property=ControlGroup esc_service").strip()
        left = primary.sh(f"ps -o comm= -p $(paste -sd, /sys/fs/cgroup{agent}/cgroup.procs)").split()
        assert {"keepalived", "sleep", "postgres"}.isdisjoint(left)
        scene.mark(primary)
        primary.sh("systemctl kill --signal=KILL --kill-whom=main esc_service")
        scene.wait_log(primary, f"pgsql: adopted ({unit(primary)}, pid {database})")
        scene.writes_on(primary)
        wait_healthy(scene.pair)
        assert of_the_services(primary) == before
        assert show(primary, "MainPID") == database
        primary.sh("systemctl stop esc_service", timeout=120)
        assert of_the_services(primary) == {}
        assert show(primary, "ActiveState") == "inactive"
        assert primary.sh("pgrep -a 'sleep|postgres|keepalived'", check=False) == ""
        scene.writes_on(scene.standby)


@pytest.mark.long
def test_a_unit_goes_where_the_role_goes(scene: Scene, measured: Measured) -> None:
    """By a switchover; then back, as the machine goes down: systemd would stop the database at once, and what stands on
    it is still at work for three seconds."""
    with scene:
        old, new = scene.primary, scene.standby
        assert (show(old, "ActiveState"), show(new, "ActiveState")) == ("active", "inactive")
        begin = time.monotonic()
        old.escadm("switchover")
        scene.writes_on(new)
        assert show(new, "ActiveState") == "active"
        scene.pair.wait_for(lambda: show(old, "ActiveState") == "inactive", 30, "the end of the old one")
        measured("longest time without a commit at a switchover of a unit", scene.client.longest_gap(begin))
        wait_healthy(scene.pair)
        scene.set(new, "resources.vimmanager", SLOW)
        new.escadm("reload")
        new.shutdown("reboot")
        scene.writes_on(old)
        scene.start(new)
        asked = moment(new, "/var/log/esc/escadm.log", "asked to end")
        stopped = moment(new, f"/var/log/postgresql/postgresql-{postgresql(new)}-main.log", "shutdown request")
        unmounted = moment(new, "/var/log/esc/escadm.log", "filesystem: stopping")
        assert asked + timedelta(seconds=3) < stopped < unmounted
        scene.healthy(primary=old)


def moment(machine: Machine, log: str, words: str) -> datetime:
    """When the log had these words for the last time."""
    line = [each for each in (machine.read(log) or "").splitlines() if words in each][-1]
    return datetime.fromisoformat(line[:23].replace(" ", "T"))


def test_a_unit_that_is_stopped_or_killed_behind_our_back_is_started_again(scene: Scene) -> None:
    with scene:
        primary = scene.primary
        for act, words in (
            (f"systemctl stop {unit(primary)}", "somebody else has stopped it"),
            (f"systemctl kill --signal=KILL {unit(primary)}", "pgsql: killing: was killed by SIGKILL"),
        ):
            scene.mark(primary)
            primary.sh(act)
            scene.wait_log(primary, words)
            scene.writes_on(primary)
            wait_healthy(scene.pair)
        database = show(primary, "MainPID")
        primary.sh(f"systemctl restart {unit(primary)}")
        scene.wait_log(primary, f"pgsql: somebody else has restarted {unit(primary)}")
        scene.pair.wait_for(lambda: pgid(primary, "pgsql") == int(show(primary, "MainPID")), 30, "the new main process")
        assert show(primary, "MainPID") != database
        scene.healthy(primary=primary)
