"""What the real ``keepalived -t`` says of what is made for it, and that its objections are heard."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from escadm.core.specs import KeepalivedSpec, ProcessSpec
from escadm.errors import Failed, NotInstalled
from escadm.paths import Paths
from escadm.render.keepalived import render_keepalived
from escadm.system import keepalived, process
from escadm.system.process import service_environment
from escadm.system.run import ANY_CODE, Completed, run

CheckConfig = partial[None]
HOST = Paths()

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


def text(spec: KeepalivedSpec, paths: Paths = HOST) -> str:
    return render_keepalived(spec, paths).text


@pytest.mark.parametrize("name", [name for name in SPECS if name != "other interface"])
def test_accepted_without_a_word(check_config: CheckConfig, name: str) -> None:
    check_config(text(SPECS[name]), HOST, strict=True)


@pytest.mark.parametrize("is_there", [True, False])
def test_accepted_below_a_root_with_blanks_and_signs(check_config: CheckConfig, tmp_path: Path, is_there: bool) -> None:
    """keepalived 2.3 minds that the directory of the fitness file is missing; the agent makes it before it starts."""
    paths = Paths(tmp_path / "try #1 ! it's {here} $A")
    if is_there:
        paths.run.mkdir(parents=True)
    check_config(text(SPECS["unicast"], paths), paths, strict=True)
    assert paths.run.exists() is is_there


@pytest.mark.parametrize("is_there", [True, False])
def test_the_fitness_file_is_looked_at_wherever_it_will_be(
    check_config: CheckConfig, tmp_path: Path, is_there: bool
) -> None:
    paths = Paths(tmp_path)
    if is_there:
        paths.run.mkdir(parents=True)
    faulty = text(SPECS["plain"], paths).replace("    weight 1\n}", "    weight 300\n}")
    with pytest.raises(Failed) as caught:
        check_config(faulty, paths, strict=True)
    assert caught.value.message == (
        "keepalived does not accept the configuration made for it:\n"
        "  (Line 19) number '300' outside range [-254, 254]\n"
        "  (Line 19) Weight (300) for track_file fitness must be between [-254..254] inclusive. Ignoring..."
    )


def test_an_interface_of_another_machine_counts_only_where_it_must_be(check_config: CheckConfig) -> None:
    for spec in (
        KeepalivedSpec(FOUR, "esc-nowhere0", "esc-nowhere0", 51),
        KeepalivedSpec(FOUR, "left", "esc-nowhere0", 51),
        KeepalivedSpec(SIX, "esc-nowhere0", "esc-nowhere1", 51),
    ):
        check_config(text(spec), HOST, strict=False)
        with pytest.raises(Failed) as caught:
            check_config(text(spec), HOST, strict=True)
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
        check_config(faulty, HOST, strict=is_strict)
    assert words in caught.value.message
    assert "/tmp" not in caught.value.message


def test_a_foreign_interface_does_not_hide_a_mistake(check_config: CheckConfig) -> None:
    faulty = text(KeepalivedSpec(FOUR, "esc-nowhere0", "esc-nowhere0", 51)).replace("nopreempt", "nopreemt")
    with pytest.raises(Failed) as caught:
        check_config(faulty, HOST, strict=False)
    assert "nopreemt" in caught.value.message
    assert "esc-nowhere0" not in caught.value.message


def test_checking_leaves_nothing_behind(
    check_config: CheckConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    paths = Paths(tmp_path / "root")
    check_config(text(SPECS["plain"], paths), paths, strict=True)
    assert list(tmp_path.iterdir()) == []


def test_without_keepalived(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(process.PLAIN_ENVIRONMENT, "PATH", str(tmp_path))
    monkeypatch.setattr("escadm.system.run.SBIN", ())
    with pytest.raises(NotInstalled) as caught:
        keepalived.check_config(text(SPECS["plain"]), HOST, strict=True)
    assert str(caught.value) == "keepalived is not installed\n  install it: apt-get install keepalived"


HIDDEN = 'mount -t tmpfs none /etc/keepalived && ip link add left type veth peer name right && exec "$@"'


@pytest.mark.parametrize("is_hidden", [True, False])
def test_it_says_yes_only_where_keepalived_would_start(tmp_path: Path, is_hidden: bool) -> None:
    """keepalived 2.3 does not start without a file of its Debian package, whatever the file that it is to test."""
    script = HIDDEN if is_hidden else HIDDEN.partition(" && ")[2]
    apart = ["unshare", "--user", "--map-root-user", "--net", "--mount", "sh", "-c", script, "sh"]

    def run_there(argv: Sequence[str], **named: Any) -> Completed:
        return run([*apart, *argv], **named)

    paths = Paths(tmp_path)
    paths.run.mkdir(parents=True)
    options: dict[str, Any] = {"timeout": 10.0, "ok": ANY_CODE, "env": process.PLAIN_ENVIRONMENT}
    started = run_there(keepalived.command(paths.keepalived_conf, paths), **options)
    began = "Config files missing" in started.stderr  # it comes so far, and ends

    def accepted() -> bool:
        try:
            keepalived.check_config(text(SPECS["plain"], paths), paths, strict=True, run=run_there)
        except Failed as error:
            assert keepalived.OPTIONS in error.message
            assert "apt-get install" in error.hint
            return False
        return True

    assert accepted() is began
    assert began or is_hidden


def test_the_missing_file_of_the_package_is_named(tmp_path: Path) -> None:
    def run(argv: Sequence[str], **named: object) -> Completed:
        return Completed(tuple(argv), 1, "", "Unable to read build config options file\n")

    with pytest.raises(Failed) as caught:
        keepalived.check_config(text(SPECS["plain"]), HOST, strict=False, run=run)
    assert str(caught.value) == (
        "keepalived cannot start: Unable to read build config options file, which is "
        "/etc/keepalived/keepalived.config-opts of its Debian package\n"
        "  bring it back: apt-get install --reinstall -o Dpkg::Options::=--force-confmiss keepalived"
    )


def test_it_is_asked_as_it_is_started() -> None:
    asked: list[tuple[Sequence[str], dict[str, Any]]] = []

    def run(argv: Sequence[str], **named: Any) -> Completed:
        asked.append((argv, named))
        return Completed(tuple(argv), 0, "", "")

    keepalived.check_config(text(SPECS["plain"]), HOST, strict=True, run=run)
    [(argv, named)] = asked
    file = argv[argv.index("--use-file") + 1]
    assert argv == [*keepalived.command(Path(file), HOST), "--config-test"]
    assert named["env"].items() <= service_environment(ProcessSpec(()), "", {}).items()
    assert named["cwd"] == "/"


# --- last words -------------------------------------------------------------------------------------------

BEGIN = """\
Sun Nov 29 08:15:34 2026: Starting Keepalived v2.2.7 (01/16,2022)
Sun Nov 29 08:15:34 2026: Running on Linux 6.1.0 #1 SMP (built for Linux 5.19.11)
Sun Nov 29 08:15:34 2026: Command line: 'keepalived' '--dont-fork' '--log-console' '--log-detail' '--vrrp' '--use-file'
Sun Nov 29 08:15:34 2026:               '/etc/keepalived/keepalived.conf' '--pid' '/run/escadm/keepalived.pid'
Sun Nov 29 08:15:34 2026: Opening file '/etc/keepalived/keepalived.conf'.
Sun Nov 29 08:15:34 2026: Configuration file /etc/keepalived/keepalived.conf
"""
END = """\
Sun Nov 29 08:15:34 2026: Stopped - used 0.000000 user time, 0.001362 system time
Sun Nov 29 08:15:34 2026: Starting VRRP child process, pid=40
Sun Nov 29 08:15:34 2026: pid 40 exited with permanent error CONFIG. Terminating
Sun Nov  1 08:15:34 2026: CPU usage (self/children) user: 0.005271/0.002324 system: 0.005271/0.004195
Sun Nov 29 08:15:34 2026: Stopped Keepalived v2.2.7 (01/16,2022)
"""


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("", ""),
        (BEGIN, ""),
        (BEGIN + END, ""),
        (f"{BEGIN}Sun Nov 29 08:15:34 2026: (ESC) Entering BACKUP STATE (init)\n", ""),
        ("Sun Nov 29 08:15:34 2026: Sending gratuitous ARP on eth0 for 172.16.2.0\n", ""),
        ("Sun Nov 29 08:15:34 2026: (ESC) Receive advertisement timeout\n", ""),
        ("Sun Nov 29 08:15:34 2026: (ESC) Backup received priority 0 advertisement\n", ""),
        ("Sun Nov 29 08:15:34 2026: (ESC) Received advert from 172.16.1.0 with lower priority 100, ours 250\n", ""),
        (f"{BEGIN}Sun Nov 29 08:15:34 2026: (ESC) the virtual router id must be set\n{END}",
         "(ESC) the virtual router id must be set"),
        (f"{BEGIN}Sun Nov 29 08:15:34 2026: daemon is already running\n", "daemon is already running"),
        (f"{BEGIN}Sun Nov 29 08:15:34 2026: a word\nSun Nov 29 08:15:34 2026: Stopping\n{END}", ""),
        ("keepalived: \x1b[31mred\x07\n", "keepalived: [31mred"),
        ("\nlong " + "x" * 500 + "\n \n", "long " + "x" * 195),
        (f"{keepalived.NO_OPTIONS}\n", f"{keepalived.NO_OPTIONS}, which is {keepalived.OPTIONS} of its Debian package"),
    ],
)  # fmt: skip
def test_last_words(output: str, words: str) -> None:
    assert keepalived.last_words(output) == words
