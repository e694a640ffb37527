"""Two machines with the package in their image boot with their user data, and are a pair: nobody types anything."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from tests.vm.conftest import Measured
from tests.vm.first_boot import Seed, first_boot_image, nocloud, ovf
from tests.vm.machine import Machine
from tests.vm.pair import Pair
from tests.vm.replicated import wait_healthy
from tests.vm.supply import GATEWAY
from tests.vm.uml import DATA_DISK

USER_DATA = Path(__file__).parents[2] / "etc/user-data"
NUMBERS = {"a": 1, "b": 2}
PRINTED = "chkconfig esc_service on && service esc_service start"
"""How the manual starts the service; machines of its age had chkconfig."""
PROPERTIES = {
    "admin_username": "admin",
    "admin_password": "correct <horse> & \"battery\" 'staple'",
    "confd_admin_username": "confd",
    "confd_admin_password": "secret-of-confd",
    "rest_username": "rest",
    "rest_password": "secret-of-rest",
    "portal_username": "portal",
    "portal_password": "secret-of-portal",
    "vmware_vcenter_ip": "192.0.2.80",
    "vmware_vcenter_port": "443",
    "vmware_vcenter_username": "vcenter",
    "vmware_vcenter_password": "secret-of-vcenter",
    "vmware_datastore_host": "192.0.2.81",
    "vmware_datastore_name": "datastore-1",
    "vmware_datacenter_name": "datacenter-1",
    "gateway": GATEWAY,
    "https_rest": "false",
}
LIMIT = 600
OUTPUT = "/var/log/cloud-init-output.log"


@pytest.fixture
def blank(cached: str) -> str:
    """The release, once the image of machines that have never booted is there."""
    first_boot_image(cached)
    return cached


def user_data(name: str) -> str:
    """The file as it is, but for the disk: this hypervisor names it otherwise."""
    text = (USER_DATA / f"user-data-{NUMBERS[name]}").read_text()
    assert text.count("/dev/sdb") == 1
    return text.replace("/dev/sdb", DATA_DISK)


def network(text: str) -> str:
    """The network that the user data has, for those who give it to cloud-init at once."""
    content: str = yaml.safe_load(text)["write_files"][0]["content"]
    return content


def settled(machine: Machine) -> None:
    """cloud-init has nothing to complain of, and neither has systemd, but that there was no network in time."""
    done = machine.exec(["cloud-init", "status", "--wait", "--long"], check=False, timeout=120)
    assert (done.code, "status: done" in done.stdout) == (0, True), done.stdout
    machine.exec(["systemctl", "is-system-running", "--wait"], check=False, timeout=120)
    failed = machine.sh("systemctl list-units --failed --plain --no-legend | cut -d' ' -f1").split()
    assert set(failed) <= {"systemd-networkd-wait-online.service"}


@contextmanager
def booted(release: str, seeds: dict[str, Seed], measured: Measured) -> Iterator[Pair]:
    """The machines, switched on; the pair is healthy then."""
    begin = time.monotonic()
    with Pair(release, seeds=seeds) as pair:
        try:
            wait_healthy(pair, LIMIT)
            measured("power on to Master Healthy", time.monotonic() - begin)
            for machine in pair.machines:
                settled(machine)
        except BaseException:
            for machine in pair.machines:
                print(machine.hostname, machine.read(OUTPUT))
            raise
        yield pair


@pytest.mark.long
def test_a_nocloud_seed_makes_a_pair_and_does_so_once(blank: str, measured: Measured) -> None:
    texts = {name: user_data(name) for name in NUMBERS}
    seeds = {name: nocloud(f"node-{name}", text, network(text)) for name, text in texts.items()}
    with booted(blank, seeds, measured) as pair:
        done = {machine: first_boot(machine) for machine in pair.machines}
        assert all("blank; meta-data written" in told for told, _ in done.values())
        assert "both disks are blank: there is nothing to copy" in done[pair.a][0]
        for machine in pair.machines:
            machine.shutdown("reboot")
        for machine in pair.machines:
            machine.switch_on()
        wait_healthy(pair, LIMIT)
        for machine in pair.machines:
            settled(machine)
            assert first_boot(machine) == done[machine]


def first_boot(machine: Machine) -> tuple[str, str]:
    """What the commands have said, and when each of them ended."""
    said = machine.read(OUTPUT) or ""
    lines = [
        line for line in said.splitlines() if "cloud-init v." not in line.lower() and not line.startswith("ci-info")
    ]
    return "\n".join(lines), machine.sh("tail -n +1 /var/lib/cloud/sem/bootper.*")


@pytest.mark.long
def test_user_data_in_an_ovf_environment_makes_a_pair(blank: str, measured: Measured) -> None:
    """As the manual deploys them; one of the nodes starts the service by the very command that is printed there."""
    seeds = {}
    for name in NUMBERS:
        text = user_data(name)
        if name == "b":
            assert text.count("systemctl enable --now esc_service") == 1
            text = text.replace("systemctl enable --now esc_service", PRINTED)
        seeds[name] = ovf(text, {**PROPERTIES, "esc_hostname": f"node-{name}"})
    with booted(blank, seeds, measured) as pair:
        for machine in pair.machines:
            assert machine.sh("hostname").strip() == machine.hostname
            assert machine.sh("systemctl is-enabled esc_service").strip() == "enabled"
            assert machine.sh("stat -c '%a %U' /opt/cisco/esc/esc-config/secrets.env").strip() == "600 root"
            for log in (OUTPUT, "/var/log/esc/escadm.log"):
                assert not [
                    value for key, value in PROPERTIES.items() if "password" in key and value in str(machine.read(log))
                ]
