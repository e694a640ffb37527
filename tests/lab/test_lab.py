"""The lab itself: what is private to a node, what its faults do, and that nothing stays behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from escadm.errors import Failed, Usage
from escadm.lab import Lab
from escadm.lab.faults import KINDS
from escadm.lab.namespaces import Machine
from escadm.lab.node import PRIVATE, Node, furnish

STANDIN = [sys.executable, "-m", "escadm.lab.standin"]


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A lab without agents."""
    with Lab(tmp_path_factory.mktemp("lab"), agent=False) as lab:
        yield lab


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """For ``escadm lab`` as a process: a run directory of this test's own."""
    return {**os.environ, "ESCADM_LAB": str(tmp_path / "lab")}


def escadm(environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "escadm", "lab", *words], env=environment, capture_output=True, text=True, timeout=60
    )


def pings(node: Node, address: object) -> bool:
    return node.exec(["ping", "-n", "-c1", "-W1", str(address)], check=False).code == 0


def until(condition: Callable[[], object], timeout: float = 10.0) -> None:
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)


def of_lab(directory: Path) -> list[psutil.Process]:
    """The processes of this machine that know the lab's directory or are PID 1 of one of its machines."""
    found = []
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
        except psutil.Error:
            continue
        if any(str(directory) in word for word in words):
            found.append(process)
    return found


# --- what a node is -----------------------------------------------------------------------------------------


def test_nodes_are_machines_of_their_own(bare: Lab) -> None:
    a, b = bare.nodes
    assert [node.exec(["hostname"]).stdout.strip() for node in (a, b)] == ["node-a", "node-b"]
    assert a.exec(["sh", "-c", "echo $$"]).stdout != str(os.getpid())
    assert [str(node.address) for node in (a, b)] == ["172.16.0.0", "172.16.1.0"]
    assert a.addresses("eth0")[0] == "172.16.0.0/11"
    assert pings(a, b.address)
    assert pings(bare.node("client"), a.address)


@pytest.mark.parametrize("path", ["/opt/cisco/note", "/etc/keepalived/note", "/var/log/note", "/run/note"])
def test_what_a_node_writes_is_its_own(bare: Lab, path: str) -> None:
    a, b = bare.nodes
    a.exec(["sh", "-c", f"echo mine > {path}"])
    assert a.read(path) == "mine\n"
    assert b.read(path) is None
    assert not Path(path).exists()


def test_a_new_node_has_what_the_engines_packages_bring_but_not_what_this_machine_runs(bare: Lab) -> None:
    """keepalived 2.3 of Debian does not start without one of these files."""
    query = ["dpkg-query", "--show", "--showformat=${Conffiles}\n", "keepalived", "drbd-utils"]
    listed = subprocess.run(query, capture_output=True, text=True, check=True, timeout=10).stdout.split()
    brought = [Path(word) for word in listed if word.startswith(("/etc/keepalived/", "/etc/drbd.d/"))]
    needed = [file for file in brought if not file.name.startswith("keepalived.conf.")]
    assert needed
    for node in bare.nodes:
        assert [file for file in needed if node.read(file) != file.read_text()] == []


@pytest.mark.parametrize(("folder", "ours"), [("/etc/keepalived", "keepalived.conf"), ("/etc/drbd.d", "esc.res")])
def test_what_escadm_writes_is_not_copied(tmp_path: Path, folder: str, ours: str) -> None:
    machines = tmp_path / "machines"
    machines.mkdir()
    for name in (ours, f"{ours}.orig", f"{ours}.previous", "other", f"{ours.partition('.')[0]}.config-opts"):
        (machines / name).write_text(name)
    own = tmp_path / "own"
    furnish(own, machines, PRIVATE[folder])
    assert {file.name for file in own.iterdir()} == {"other", f"{ours.partition('.')[0]}.config-opts"}


def test_the_rest_of_opt_is_the_machines(bare: Lab) -> None:
    listed = bare.node("a").exec(["ls", "/opt"]).stdout.split()
    assert sorted(listed) == sorted({*(entry.name for entry in Path("/opt").iterdir()), "cisco"})


def test_exit_codes_pass_through(bare: Lab) -> None:
    assert bare.node("a").exec(["sh", "-c", "exit 7"], check=False).code == 7
    with pytest.raises(Failed, match="code 7"):
        bare.node("a").exec(["sh", "-c", "exit 7"])


def test_there_is_no_third_node(bare: Lab) -> None:
    with pytest.raises(Usage, match="'c'"):
        bare.node("c")


def test_no_replication_and_the_peer_by_address(bare: Lab) -> None:
    a, b = (node.read("/opt/cisco/esc/esc-config/esc-config.yaml") or "" for node in bare.nodes)
    assert "unicast_source: 172.16.0.0" in a
    assert "unicast_source: 172.16.1.0" in b
    assert "  nodes:" not in a
    assert any("without replication" in note for note in bare.notes)
    assert any("stand-ins" in note and "mona" in note for note in bare.notes)
    assert bare.node("a").escadm("config", "check").code == 0


# --- faults -------------------------------------------------------------------------------------------------


def test_a_power_cut_ends_everything_but_the_disk(bare: Lab) -> None:
    a, b = bare.nodes
    a.exec(["sh", "-c", "echo kept > /etc/keepalived/kept; echo lost > /run/lost; setsid -f sleep 1000"])
    hardware = a.exec(["cat", "/sys/class/net/eth0/address"]).stdout
    processes = a.processes()
    assert processes
    assert bare.fault("power-cut", "a") == "node-a: power cut"
    assert not any(process.is_running() for process in processes)
    assert not a.powered
    assert not pings(b, a.address)
    with pytest.raises(Failed, match="power is off"):
        a.exec(["true"])
    assert bare.fault("power-on") == "node-a: power on"
    assert a.read("/etc/keepalived/kept") == "kept\n"
    assert a.read("/run/lost") is None
    assert a.exec(["cat", "/sys/class/net/eth0/address"]).stdout == hardware
    until(lambda: pings(b, a.address))


def test_a_shutdown_ends_the_node(bare: Lab) -> None:
    bare.fault("shutdown", "b")
    assert not bare.node("b").powered
    bare.fault("power-on", "b")
    until(lambda: pings(bare.node("a"), bare.node("b").address))


def test_a_link_goes_down_and_comes_back(bare: Lab) -> None:
    a, b = bare.nodes
    bare.fault("link-down", "a")
    until(lambda: "NO-CARRIER" in a.exec(["ip", "link", "show", "eth0"]).stdout)
    assert not pings(b, a.address)
    bare.fault("link-up")
    until(lambda: pings(b, a.address))


def test_a_partition_is_silent_and_between_the_nodes_alone(bare: Lab) -> None:
    a, b = bare.nodes
    bare.fault("partition")
    assert not pings(a, b.address)
    assert "NO-CARRIER" not in a.exec(["ip", "link", "show", "eth0"]).stdout
    assert pings(bare.node("client"), a.address)
    assert pings(bare.node("client"), b.address)
    bare.fault("heal")
    until(lambda: pings(a, b.address))


def test_the_vip_is_taken_away(bare: Lab) -> None:
    a = bare.node("a")
    a.exec(["ip", "address", "add", "172.16.2.0/32", "dev", "eth0"])
    assert [node.name for node in bare.holders()] == ["a"]
    assert bare.fault("vip-remove") == "node-a: 172.16.2.0/32 removed from eth0"
    assert bare.holders() == []
    with pytest.raises(Usage, match="neither has the VIP"):
        bare.fault("vip-remove")


def test_unknown_faults_are_refused(bare: Lab) -> None:
    with pytest.raises(Usage, match="no fault 'earthquake'"):
        bare.fault("earthquake")
    with pytest.raises(Usage, match="service-kill"):
        bare.fault("service-kill", "a")
    with pytest.raises(Failed, match="agent of node-a: it does not run"):
        bare.fault("agent-kill", "a")
    assert "service-kill" not in KINDS


# --- the client ---------------------------------------------------------------------------------------------


def test_the_client_measures_an_outage(bare: Lab) -> None:
    a = bare.node("a")
    a.exec(["sh", "-c", "setsid -f " + " ".join([*STANDIN, "mona", "--port", "8001", "start-phase0"])])
    with bare.client(f"http://{a.address}:8001/") as service, bare.client(f"{a.address}:8001") as host:
        bare.wait_for(lambda: service.serving() == "node-a", 5, "the stand-in")
        event = time.monotonic()
        for process in a.processes():
            process.kill()
        bare.wait_for(lambda: service.answers()[-1].kind == "refused", 5, "a refusal")
        a.exec(["sh", "-c", "setsid -f " + " ".join([*STANDIN, "mona", "--port", "8001", "--delay", "0.3"])])
        bare.wait_for(lambda: service.first_answer("node-a", event + 0.3), 5, "the stand-in, again")
    gap, presence = service.longest_gap(event), host.longest_gap(event, presence=True)
    assert gap is not None
    assert presence is not None
    assert 0.3 < gap.seconds < 3
    assert presence.seconds < gap.seconds
    for process in a.processes():
        process.kill()


def test_a_black_hole_does_not_stall_the_client(bare: Lab) -> None:
    bare.fault("link-down", "b")
    with bare.client(f"{bare.node('b').address}:1") as watch:
        bare.wait_for(lambda: len(watch.answers()) > 30, 10, "30 attempts that got nowhere")
    assert {answer.kind for answer in watch.answers()} <= {"silence", "error"}
    bare.fault("link-up", "b")


def test_waiting_in_vain_shows_the_logs(bare: Lab) -> None:
    def never() -> bool:
        raise Failed("not yet")

    with pytest.raises(Failed, match=r"(?s)waited 0.1 s for a miracle, in vain.*not yet.*--- node-a console.log"):
        bare.wait_for(never, 0.1, "a miracle")


# --- PID 1 and the agent ------------------------------------------------------------------------------------


def test_a_killed_agent_is_started_again_and_takes_nothing_with_it(lab: Lab) -> None:
    a = lab.node("a")
    lab.wait_for_agents()
    first = a.agent()
    assert first is not None
    a.exec(["sh", "-c", "setsid -f sleep 1000"])
    sleeper = lab.wait_for(lambda: [each for each in a.processes() if each.name() == "sleep"], 5, "sleep")[0]
    lab.fault("agent-kill", "a")
    second = lab.wait_for(a.agent, 10, "a new agent")
    assert second.pid != first.pid
    assert sleeper.is_running()
    assert "the agent was killed by SIGKILL: starting it again" in a.console.read_text()


def test_an_agent_that_is_stopped_stays_so_until_it_is_started(lab: Lab) -> None:
    b = lab.node("b")
    lab.wait_for_agents()
    lab.fault("agent-stop", "b")
    lab.wait_for(lambda: b.agent() is None, 30, "the end of the agent")
    lab.fault("agent-start")
    lab.wait_for(b.agent, 10, "the agent")


def test_a_service_is_killed_by_name(lab: Lab) -> None:
    with pytest.raises(Failed, match="no such resource"):
        lab.wait_for_agents()
        lab.fault("service-kill", "a", "oracle")


# --- nothing stays behind -----------------------------------------------------------------------------------


def test_down_removes_everything(tmp_path: Path) -> None:
    lab = Lab(tmp_path / "lab", agent=False)
    lab.up()
    assert of_lab(tmp_path)
    lab.down()
    assert of_lab(tmp_path) == []
    assert not (tmp_path / "lab").exists()
    lab.down()


def test_a_failure_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = Lab(tmp_path / "lab", agent=False)
    monkeypatch.setattr(Lab, "power_on", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        lab.up()
    assert of_lab(tmp_path) == []
    assert not (tmp_path / "lab").exists()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_lab_ends_with_its_maker(tmp_path: Path, number: signal.Signals) -> None:
    program = f"""
import signal, sys
from pathlib import Path
from escadm.lab import Lab
with Lab(Path({str(tmp_path / "lab")!r}), agent=False) as lab:
    print(lab.require().outer.pid, flush=True)
    signal.pause()
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as maker:
        assert maker.stdout is not None
        switch = Machine.of(int(maker.stdout.readline()))
        assert switch.alive
        maker.send_signal(number)
    until(lambda: not switch.alive)
    until(lambda: of_lab(tmp_path) == [])


def test_one_lab_at_a_time(bare: Lab) -> None:
    with pytest.raises(Failed, match="one is running"):
        Lab(bare.directory).up()
    assert bare.node("a").powered


# --- the command --------------------------------------------------------------------------------------------


def test_the_command_makes_breaks_and_removes_a_lab(environment: dict[str, str]) -> None:
    try:
        made = escadm(environment, "up", "--advert", "0.2")
        assert made.returncode == 0, made.stderr
        assert "node-a 172.16.0.0" in made.stdout
        assert "without replication" in made.stdout
        again = escadm(environment, "up")
        assert again.returncode == 1
        assert "one is running" in again.stderr
        assert "escadm lab down" in again.stderr
        assert escadm(environment, "exec", "a", "sh", "-c", "exit 9").returncode == 9
        assert escadm(environment, "exec", "b", "echo", "--kad_vip=", "--help").stdout == "--kad_vip= --help\n"
        assert escadm(environment, "fault", "power-cut", "b").stdout == "node-b: power cut\n"
        assert "power off" in escadm(environment, "status").stdout
        assert escadm(environment, "exec", "b", "true").returncode == 1
        assert escadm(environment, "fault", "nonsense").returncode == 2
    finally:
        removed = escadm(environment, "down")
    assert removed.returncode == 0, removed.stderr
    assert not Path(environment["ESCADM_LAB"]).exists()
    assert escadm(environment, "down").returncode == 0
    nothing = escadm(environment, "status")
    assert nothing.returncode == 1
    assert "no lab is running" in nothing.stderr


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_up_leaves_nothing(environment: dict[str, str], number: signal.Signals, code: int) -> None:
    directory = Path(environment["ESCADM_LAB"])
    command = [sys.executable, "-m", "escadm", "lab", "up"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as maker:
        until((directory / "lab.json").exists)
        maker.send_signal(number)
        maker.communicate(timeout=30)
    assert maker.returncode == code
    assert of_lab(directory) == []
    assert not directory.exists()


def test_an_ill_configuration_makes_no_lab(environment: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "esc-config.yaml"
    file.write_text("resources:\n  mona:\n    depend_on: moan\n")
    refused = escadm(environment, "up", "--config", str(file))
    assert refused.returncode == 6
    assert f"{file}:3:" in refused.stderr
    assert not Path(environment["ESCADM_LAB"]).exists()


def test_an_ordinary_user_has_a_lab_too(tmp_path_factory: pytest.TempPathFactory) -> None:
    """As root: as somebody else. Otherwise all of these tests show it."""
    user = 65534
    if os.geteuid() != 0:
        user = os.geteuid()
        prefix = []
    else:
        prefix = ["setpriv", "--reuid", str(user), "--regid", str(user), "--clear-groups"]
    directory = Path(f"/tmp/escadm-lab-test-{os.getpid()}")
    program = f"""
from pathlib import Path
from escadm.lab import Lab
with Lab(Path({str(directory)!r}), advert=0.2) as lab:
    lab.wait_for_agents()
    lab.wait_for(lambda: len(lab.holders()) == 1, 20, "a primary")
    lab.fault("power-cut")
    lab.wait_for(lambda: len(lab.holders()) == 1, 20, "a new primary")
    lab.fault("power-on")
    print(lab.node("a").exec(["id", "-u"]).stdout)
"""
    environment = {**os.environ, "HOME": "/", "XDG_RUNTIME_DIR": ""}
    done = subprocess.run(
        [*prefix, sys.executable, "-c", program], capture_output=True, text=True, env=environment, cwd="/", timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "0"
    assert not directory.exists()
