"""The written file under the real keepalived, in a network of its own, with its files below a root."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path

import pytest

from escadm.core.specs import KeepalivedSpec
from escadm.paths import Paths
from escadm.render.keepalived import render_keepalived

SETUP = (
    "ip link set lo up && ip link add left type veth peer name right && ip link set left up && ip link set right up "
    "&& ip addr add 172.16.0.1/16 dev left && ip addr add fd00::1/64 dev left nodad "
)
LIMIT = 15.0

SPECS = {
    "multicast": KeepalivedSpec(
        ip_address("172.16.2.0"), "left", "left", 51, vip_prefix=16, advert_interval=0.05, priority=250
    ),
    "unicast": KeepalivedSpec(
        ip_address("172.16.2.0"),
        "left",
        "right",
        51,
        advert_interval=0.05,
        unicast_source=ip_address("172.16.0.1"),
        unicast_peers=(ip_address("172.16.1.0"),),
    ),
    "six": KeepalivedSpec(ip_address("fd00::5"), "left", "left", 51, vip_prefix=64, advert_interval=0.05),
    "six unicast": KeepalivedSpec(
        ip_address("fd00::5"),
        "left",
        "left",
        51,
        advert_interval=0.05,
        unicast_source=ip_address("fd00::1"),
        unicast_peers=(ip_address("fd00::2"),),
    ),
}


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


class Running:
    """A keepalived in the foreground, and the reading end of its FIFO."""

    def __init__(self, process: subprocess.Popen[str], fifo: int, paths: Paths) -> None:
        self.process = process
        self.fifo = fifo
        self.paths = paths
        self.waiting = ""

    def next_line(self) -> str:
        """The next line of the FIFO; a failure after LIMIT seconds."""
        end = time.monotonic() + LIMIT
        while "\n" not in self.waiting:
            left = end - time.monotonic()
            assert left > 0, f"no line from keepalived, only {self.waiting!r}"
            if select.select([self.fifo], [], [], left)[0]:
                self.waiting += os.read(self.fifo, 4096).decode()
        line, _, self.waiting = self.waiting.partition("\n")
        return line

    def become(self, state: str) -> None:
        while (line := self.next_line()).split()[2] != state:
            assert line.startswith('INSTANCE "ESC" '), line

    def addresses(self) -> str:
        pid = str(self.process.pid)
        return subprocess.run(
            ["nsenter", "-t", pid, "--user", "--net", "--preserve-credentials", "ip", "-o", "addr"],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        ).stdout


@contextmanager
def running(spec: KeepalivedSpec, paths: Paths, fitness: str = "0") -> Iterator[Running]:
    file = render_keepalived(spec, paths)
    Path(file.path).parent.mkdir(parents=True)
    Path(file.path).write_text(file.text)
    paths.run.mkdir(parents=True)
    paths.fitness.write_text(fitness)
    os.mkfifo(paths.fifo, 0o600)
    fifo = os.open(paths.fifo, os.O_RDWR | os.O_NONBLOCK)
    keepalived = 'exec keepalived -n -l -P -f "$1" -p "$2" -r "$3"'
    words = [file.path, str(paths.keepalived_pid), str(paths.vrrp_pid)]
    with (paths.run / "log").open("w") as log:
        process = subprocess.Popen(
            ["unshare", "--net", "--map-root-user", "--user", "sh", "-c", f"{SETUP} && {keepalived}", "sh", *words],
            stdout=log,
            stderr=log,
            text=True,
        )
    try:
        yield Running(process, fifo, paths)
    finally:
        process.terminate()
        try:
            process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        os.close(fifo)


@pytest.mark.parametrize("name", SPECS)
def test_it_is_elected_tells_so_and_takes_the_vip(name: str, tmp_path: Path) -> None:
    spec = SPECS[name]
    with running(spec, Paths(tmp_path)) as node:
        said = node.next_line()
        if spec.vip.version == 6 and said == 'INSTANCE "ESC" FAULT 250':
            said = node.next_line()  # keepalived 2.3: in fault until duplicate address detection is done
        assert said == 'INSTANCE "ESC" BACKUP 250'
        assert node.next_line() == 'INSTANCE "ESC" MASTER 250'
        prefix = spec.vip_prefix or spec.vip.max_prefixlen
        found = [line.split() for line in node.addresses().splitlines()]
        assert [spec.vip_interface, f"{spec.vip}/{prefix}"] in [[words[1], words[3]] for words in found]
    log = (tmp_path / "run/escadm/log").read_text()
    assert "ignoring" not in log
    assert "WARNING" not in log
    assert "SECURITY" not in log


def test_the_fitness_file_makes_fault_and_takes_it_back(tmp_path: Path) -> None:
    with running(SPECS["multicast"], Paths(tmp_path)) as node:
        node.become("MASTER")
        node.paths.fitness.write_text("-254")
        node.become("FAULT")
        assert "172.16.2.0" not in node.addresses()
        node.paths.fitness.write_text("0")
        node.become("MASTER")


def test_a_fitness_file_that_is_replaced_by_rename_counts_as_well(tmp_path: Path) -> None:
    with running(SPECS["multicast"], Paths(tmp_path)) as node:
        node.become("MASTER")
        for number, state in ((-254, "FAULT"), (0, "MASTER"), (-254, "FAULT")):
            (tmp_path / "new").write_text(f"{number}\n")
            (tmp_path / "new").replace(node.paths.fitness)
            node.become(state)


def test_a_fault_that_was_raised_before_stays_over_a_start_and_a_reload(tmp_path: Path) -> None:
    with running(SPECS["multicast"], Paths(tmp_path), fitness="-254") as node:
        node.become("FAULT")
        assert node.paths.fitness.read_text() == "-254"
        node.process.send_signal(signal.SIGHUP)
        node.become("FAULT")  # told again because of fifo_write_vrrp_states_on_reload
        assert node.paths.fitness.read_text() == "-254"
        assert "172.16.2.0" not in node.addresses()


def test_an_unchanged_reload_disturbs_nothing_and_the_fifo_outlives_keepalived(tmp_path: Path) -> None:
    """keepalived 2.2.7 tells FAULT again at a reload, but not MASTER: a reader must not wait for it."""
    with running(SPECS["multicast"], Paths(tmp_path)) as node:
        node.become("MASTER")
        before = node.paths.fifo.stat()
        node.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "Reload complete" in (node.paths.run / "log").read_text())
        assert "172.16.2.0" in node.addresses()
        node.paths.fitness.write_text("-254")
        lines = [node.next_line()]
        while lines[-1].split()[2] == "MASTER":
            lines.append(node.next_line())
        assert lines[-1] == 'INSTANCE "ESC" FAULT 250'
    after = node.paths.fifo.stat()
    assert (after.st_ino, after.st_mode) == (before.st_ino, before.st_mode)
