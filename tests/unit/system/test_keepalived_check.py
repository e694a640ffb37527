"""What the real ``keepalived -t`` says of what is made for it, and that its objections are heard."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from escadm.core.types import KeepalivedSpec
from escadm.errors import Failed, NotInstalled
from escadm.paths import Paths
from escadm.render.keepalived import render_keepalived
from escadm.system import keepalived
from escadm.system.run import Completed, run

CheckConfig = partial[None]

FOUR = ip_address("172.16.2.0")
SIX = ip_address("fd00::5")
OURS = (ip_address("172.16.0.0"), ip_address("fd00::1"))
THEIRS = (ip_address("172.16.1.0"), ip_address("fd00::2"))

SPECS = {
    "plain": KeepalivedSpec(FOUR, "left", "left", 51),
    "prefix": KeepalivedSpec(FOUR, "left", "left", 255, vip_prefix=16, advert_interval=0.05, priority=1),
    "slow": KeepalivedSpec(FOUR, "left", "left", 1, advert_interval=40, priority=254),
    "unicast": KeepalivedSpec(FOUR, "left", "left", 51, unicast_source=OURS[0], unicast_peers=(THEIRS[0],)),
    "two peers": KeepalivedSpec(
        FOUR, "left", "left", 51, unicast_source=OURS[0], unicast_peers=(THEIRS[0], ip_address("172.16.1.1"))
    ),
    "six": KeepalivedSpec(SIX, "left", "left", 51, vip_prefix=64),
    "six alone": KeepalivedSpec(SIX, "left", "left", 51),
    "six unicast": KeepalivedSpec(SIX, "left", "left", 51, unicast_source=OURS[1], unicast_peers=(THEIRS[1],)),
    "other interface": KeepalivedSpec(FOUR, "left", "right", 51),
}


INTERFACES = "ip link add left type veth peer name right && echo ready && exec sleep 600"


@pytest.fixture(scope="module")
def network() -> Iterator[int]:
    """The pid of a process in a network of its own, with the interfaces left and right."""
    unshare = ["unshare", "--net", "--map-root-user", "--user", "sh", "-c", INTERFACES]
    with subprocess.Popen(unshare, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process.pid
        process.kill()


@pytest.fixture
def check_config(network: int) -> CheckConfig:
    """The function under test, with keepalived in that network."""

    def run_there(argv: Sequence[str], **named: Any) -> Completed:
        return run(["nsenter", "--target", str(network), "--user", "--net", "--preserve-credentials", *argv], **named)

    return partial(keepalived.check_config, run=run_there)


def text(spec: KeepalivedSpec, root: str = "/") -> str:
    return render_keepalived(spec, Paths(Path(root))).text


@pytest.mark.parametrize("name", [name for name in SPECS if name != "other interface"])
def test_accepted_without_a_word(check_config: CheckConfig, name: str) -> None:
    check_config(text(SPECS[name]), strict=True)


def test_accepted_below_a_root_with_blanks_and_signs(check_config: CheckConfig) -> None:
    check_config(text(SPECS["unicast"], "/srv/try #1 ! it's {here} $A"), strict=True)


def test_an_interface_of_another_machine_counts_only_where_it_must_be(check_config: CheckConfig) -> None:
    for spec in (
        KeepalivedSpec(FOUR, "esc-nowhere0", "esc-nowhere0", 51),
        KeepalivedSpec(FOUR, "left", "esc-nowhere0", 51),
        KeepalivedSpec(SIX, "esc-nowhere0", "esc-nowhere1", 51),
    ):
        check_config(text(spec), strict=False)
        with pytest.raises(Failed) as caught:
            check_config(text(spec), strict=True)
        assert caught.value.message.startswith("keepalived does not accept the configuration made for it:\n  ")
        assert "interface esc-nowhere0" in caught.value.message or "interface esc-nowhere1" in caught.value.message


@pytest.mark.parametrize("is_strict", [True, False])
@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("priority 250", "prioritty 250", "Unknown keyword 'prioritty'"),
        ("priority 250", "priority 300", "300"),
        ("state BACKUP", "state MASTER", "nopreempt"),
        ("virtual_router_id 51", "virtual_router_id 256", "256"),
        ("172.16.2.0", "172.16.2.999", "172.16.2.999"),
        ("script_user root", "script_user no_such_user", "Error setting global script uid/gid"),
    ],
)
def test_objections_are_heard(check_config: CheckConfig, old: str, new: str, words: str, is_strict: bool) -> None:
    faulty = text(SPECS["plain"]).replace(old, new)
    assert faulty != text(SPECS["plain"])
    with pytest.raises(Failed) as caught:
        check_config(faulty, strict=is_strict)
    assert words in caught.value.message
    assert "/tmp" not in caught.value.message


def test_a_foreign_interface_does_not_hide_a_mistake(check_config: CheckConfig) -> None:
    faulty = text(KeepalivedSpec(FOUR, "esc-nowhere0", "esc-nowhere0", 51)).replace("nopreempt", "nopreemt")
    with pytest.raises(Failed) as caught:
        check_config(faulty, strict=False)
    assert "nopreemt" in caught.value.message
    assert "esc-nowhere0" not in caught.value.message


def test_checking_leaves_nothing_behind(
    check_config: CheckConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    root = tmp_path / "root"
    check_config(text(SPECS["plain"], str(root)), strict=True)
    assert list(tmp_path.iterdir()) == []


def test_without_keepalived(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("escadm.system.run.SBIN", ())
    with pytest.raises(NotInstalled) as caught:
        keepalived.check_config(text(SPECS["plain"]), strict=True)
    assert str(caught.value) == "keepalived is not installed\n  install it: apt-get install keepalived"
