"""The unit files: taken by systemd's own checker, locked down as far as is promised, and hiding no mount."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from escadm.paths import Paths

UNITS = Path(__file__).parents[2] / "systemd"
OURS = ("esc_service.service", "esc_stop.service", "esc.slice")
TOUCHED = ("keepalived.service", "drbd.service")
# Each of them gives the service a mount namespace of its own: what the agent mounts there, nobody else would see.
HIDES_MOUNTS = re.compile(
    r"^(Private(Tmp|Devices|Mounts|Users|IPC)|Protect(System|Home|Proc|ControlGroups|KernelTunables|KernelLogs"
    r"|KernelModules|Hostname)|ProcSubset|(ReadOnly|ReadWrite|Inaccessible|Exec|NoExec)Paths|TemporaryFileSystem"
    r"|Bind(ReadOnly)?Paths|Root(Directory|Image)|MountFlags|DynamicUser|(State|Cache|Logs|Runtime)Directory)=",
    re.MULTILINE,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """All that the package brings for systemd, with a program that exists."""
    for each in [*UNITS.glob("*.service"), *UNITS.glob("*.slice")]:
        (tmp_path / each.name).write_text(each.read_text().replace("/usr/bin/escadm", "/bin/true"))
    for each in UNITS.glob("*.service.d"):
        shutil.copytree(each, tmp_path / each.name)
    return tmp_path


def analyze(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """systemd-analyze with the folder before the machine's own."""
    environment = os.environ | {"SYSTEMD_UNIT_PATH": f"{folder}:", "SYSTEMD_COLORS": "0", "SYSTEMD_PAGER": ""}
    return subprocess.run(
        ["systemd-analyze", *words], capture_output=True, text=True, env=environment, timeout=60, check=False
    )


def verify(folder: Path) -> subprocess.CompletedProcess[str]:
    return analyze(folder, "verify", "--man=no", "--recursive-errors=yes", *(str(folder / name) for name in OURS))


def exposure(folder: Path, name: str) -> float:
    told = analyze(folder, "security", "--offline=yes", "--no-pager", str(folder / name))
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", told.stdout)
    assert found, told.stdout + told.stderr
    return float(found[1])


def test_systemd_takes_each_unit(folder: Path) -> None:
    told = verify(folder)
    assert (told.returncode, told.stdout, told.stderr) == (0, "", "")


def test_systemd_would_tell_a_misprint_and_a_loop(folder: Path) -> None:
    """A word that it does not know is no error for it, but it does not keep silent."""
    unit = folder / "esc_service.service"
    good = unit.read_text()
    unit.write_text(good.replace("WatchdogSec", "WachtdogSec"))
    assert "WachtdogSec" in verify(folder).stderr
    unit.write_text(good.replace("[Service]", "After=esc_stop.service\n[Service]", 1))
    told = verify(folder)
    assert told.returncode != 0
    assert "ordering cycle" in told.stderr.lower()


def test_exposure(folder: Path) -> None:
    assert exposure(folder, "esc_service.service") <= 6.0


@pytest.mark.parametrize("name", [name for name in OURS if name.endswith(".service")])
def test_no_mount_is_hidden_from_the_machine(folder: Path, name: str) -> None:
    assert not HIDES_MOUNTS.search((folder / name).read_text())


def test_exposure_counts_what_is_locked_down(folder: Path) -> None:
    unit = folder / "esc_service.service"
    unit.write_text(unit.read_text().replace("RestrictNamespaces=yes\n", ""))
    assert exposure(folder, "esc_service.service") > 6.0


@pytest.mark.parametrize("name", TOUCHED)
def test_the_engines_own_units_do_not_begin_where_escadm_is_configured(folder: Path, name: str) -> None:
    lines = (folder / f"{name}.d/escadm.conf").read_text().splitlines()
    assert lines[1:] == ["[Unit]", f"ConditionPathExists=!{Paths(Path('/')).config}"]


def test_whatever_escadm_runs_and_mounts_is_stopped_by_it_before_the_machine_does(folder: Path) -> None:
    """A stop goes in the opposite order of a start, so these come after us when the machine goes down."""
    for name in ("esc_service.service", "esc_stop.service"):
        after = " ".join(re.findall(r"^After=(.*)$", (folder / name).read_text(), re.MULTILINE)).split()
        wanted = {"network.target", "network-online.target", "opt-cisco-esc-esc_database.mount", *TOUCHED}
        assert wanted <= set(after)
