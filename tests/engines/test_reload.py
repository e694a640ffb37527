from __future__ import annotations

import socket
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from escadm.actions.diff import diff
from escadm.actions.reload import commit, prepare
from escadm.core.problem import HostFacts
from escadm.errors import Failed, InvalidConfig, NotInstalled
from escadm.paths import Paths
from escadm.system.host import Host
from escadm.system.run import Completed, run

FACTS = HostFacts({"eth0": (ip_address("172.16.0.1"),)}, strict=False)

PAIR = """\
resources:
  keepalived:
    vip: 172.16.2.0
    interface: eth0
    unicast_source: 172.16.0.1
    unicast_peers: 172.16.1.1
"""
REPLICATED = (
    PAIR
    + """\
  drbd:
    nodes: [172.16.0.1, 172.16.1.1]
    disk: /dev/vdb
    shared_secret: hunter2
"""
)
STANDALONE = "resources: {}\n"


class Recorded:
    """The real machine, with its commands counted and, where asked for, its parsers replaced."""

    def __init__(self, answer: Completed | Exception | None = None) -> None:
        self.argvs: list[tuple[str, ...]] = []
        self.answer = answer
        self.host = Host(run=self.run)

    def run(self, argv: Sequence[str], **named: Any) -> Completed:
        self.argvs.append(tuple(argv))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer or run(argv, **named)


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    found = Paths(tmp_path / "root")
    found.config.parent.mkdir(parents=True)
    return found


def everything(paths: Paths) -> dict[str, str]:
    return {
        "/" + str(each.relative_to(paths.root)): each.read_text() for each in paths.root.rglob("*") if each.is_file()
    }


def reload(paths: Paths, config: str, host: Host | None = None) -> list[str]:
    paths.config.write_text(config)
    host = host or Host()
    changed = commit(prepare(paths, FACTS, host), host)
    return ["/" + str(Path(each).relative_to(paths.root)) for each in changed]


CONF, RES = "/etc/keepalived/keepalived.conf", "/etc/drbd.d/esc.res"


def test_first_both_files_then_not_a_byte(paths: Paths) -> None:
    assert reload(paths, REPLICATED) == [CONF, RES]
    assert (paths.keepalived_conf.stat().st_mode & 0o777, paths.drbd_res.stat().st_mode & 0o777) == (0o640, 0o640)
    before = everything(paths)
    recorded = Recorded()
    assert reload(paths, REPLICATED, recorded.host) == []
    assert everything(paths) == before


def test_only_what_differs_is_written(paths: Paths) -> None:
    reload(paths, REPLICATED)
    assert reload(paths, REPLICATED.replace("    vip:", "    priority: 200\n    vip:")) == [CONF]
    assert "priority 250" in everything(paths)[CONF + ".previous"]
    assert "priority 200" in everything(paths)[CONF]


def test_preparing_alone_touches_nothing(paths: Paths) -> None:
    paths.config.write_text(REPLICATED)
    before = everything(paths)
    prepared = prepare(paths, FACTS, Host())
    assert everything(paths) == before
    assert prepared.changed == (str(paths.keepalived_conf), str(paths.drbd_res))
    assert prepared.plan.is_pair


def test_a_faulty_configuration_touches_nothing(paths: Paths) -> None:
    reload(paths, REPLICATED)
    faulty = REPLICATED.replace("172.16.2.0", "172.16.2.999")
    paths.config.write_text(faulty)
    before = everything(paths)
    with pytest.raises(InvalidConfig):
        prepare(paths, FACTS, Host())
    assert everything(paths) == before


@pytest.mark.parametrize(
    "refusal",
    [
        Completed(("keepalived",), 5, "", "(Line 9) Unknown keyword\n"),
        Completed(("keepalived",), 0, "", "something to say\n"),
        NotInstalled("keepalived is not installed"),
    ],
)
def test_what_an_engine_does_not_take_is_not_written(paths: Paths, refusal: Completed | Exception) -> None:
    reload(paths, STANDALONE)
    paths.config.write_text(REPLICATED)
    before = everything(paths)
    with pytest.raises((Failed, NotInstalled)):
        prepare(paths, FACTS, Recorded(refusal).host)
    assert everything(paths) == before


@pytest.mark.parametrize("engine", ["keepalived", "drbdadm"])
def test_what_an_engine_took_once_it_is_asked_about_again_but_not_by_an_agent_that_begins(
    paths: Paths, engine: str
) -> None:
    """keepalived 2.3 does not start without a file of its package: an agent has to begin beside one that still runs."""
    reload(paths, REPLICATED)

    class Lost(Recorded):
        def run(self, argv: Sequence[str], **named: Any) -> Completed:
            self.argvs.append(tuple(argv))
            return Completed(tuple(argv), int(Path(argv[0]).name == engine), "", "")

    with pytest.raises(Failed, match=engine):
        prepare(paths, FACTS, Lost().host)
    beginning = Lost()
    assert prepare(paths, FACTS, beginning.host, again=False).changed == ()
    assert beginning.argvs == []


def test_an_engine_that_is_not_used_need_not_be_installed(paths: Paths) -> None:
    nothing = Recorded(NotInstalled("not installed"))
    assert reload(paths, STANDALONE, nothing.host) == []
    assert nothing.argvs == []


def test_standalone_again_moves_our_files_aside_and_a_pair_again_brings_them_back(paths: Paths) -> None:
    reload(paths, REPLICATED)
    pair = everything(paths)
    assert reload(paths, STANDALONE) == [CONF, RES]
    alone = everything(paths)
    assert CONF not in alone
    assert RES not in alone
    assert (alone[CONF + ".previous"], alone[RES + ".previous"]) == (pair[CONF], pair[RES])
    assert reload(paths, STANDALONE) == []
    assert reload(paths, REPLICATED) == [CONF, RES]
    assert everything(paths)[CONF] == pair[CONF]


def test_what_others_wrote_is_kept_once_and_told(paths: Paths) -> None:
    paths.keepalived_conf.parent.mkdir(parents=True)
    paths.keepalived_conf.write_text("vrrp_instance theirs {\n}\n")
    paths.config.write_text(PAIR)
    prepared = prepare(paths, FACTS, Host())
    told = [str(each) for each in prepared.warnings if "not from escadm" in each.message]
    assert told == [
        f"{paths.keepalived_conf}: warning: this file is not from escadm and will be replaced: "
        f"it is kept as {paths.keepalived_conf}.orig"
    ]
    commit(prepared, Host())
    reload(paths, PAIR + "    priority: 200\n")
    assert reload(paths, PAIR + "    priority: 100\n") == [CONF]
    assert everything(paths)[CONF + ".orig"] == "vrrp_instance theirs {\n}\n"
    assert not [each for each in prepare(paths, FACTS, Host()).warnings if "not from escadm" in each.message]


def test_a_standalone_node_leaves_what_others_wrote(paths: Paths) -> None:
    paths.keepalived_conf.parent.mkdir(parents=True)
    paths.keepalived_conf.write_text("vrrp_instance theirs {\n}\n")
    assert reload(paths, STANDALONE) == []
    assert everything(paths)[CONF] == "vrrp_instance theirs {\n}\n"


def test_all_or_none_also_when_the_second_file_cannot_be_written(paths: Paths) -> None:
    reload(paths, PAIR)
    paths.config.write_text(REPLICATED.replace("    vip:", "    priority: 200\n    vip:"))
    prepared = prepare(paths, FACTS, Host())
    assert len(prepared.changed) == 2
    paths.drbd_res.parent.write_text("a file where a folder should be")
    before = everything(paths)
    with pytest.raises(Failed, match=r"cannot (read|write) .*/drbd\.d/esc\.res: Not a directory"):
        commit(prepared, Host())
    assert everything(paths) == before


LINK = "/run/systemd/netif/links/7"


@pytest.fixture
def seventh(monkeypatch: pytest.MonkeyPatch) -> None:
    """eth0 is the machine's interface number 7, whatever machine this is."""
    monkeypatch.setattr(socket, "if_nametoindex", {"eth0": 7}.__getitem__)


def manage(paths: Paths, file: str) -> None:
    """Let networkd manage eth0 by this file of its own."""
    link = paths.below(LINK)
    link.parent.mkdir(parents=True, exist_ok=True)
    link.write_text(f"# This is private data. Do not parse.\nADMIN_STATE=configured\nNETWORK_FILE={file}\n")
    paths.below(file).parent.mkdir(parents=True, exist_ok=True)
    paths.below(file).write_text("[Match]\nName=eth0\n")


@pytest.mark.usefixtures("seventh")
def test_networkd_is_told_to_leave_the_virtual_address(paths: Paths) -> None:
    manage(paths, "/run/systemd/network/10-eth0.network")
    name = "/etc/systemd/network/10-eth0.network.d/escadm.conf"
    drop_in = paths.below(name)
    assert name in reload(paths, PAIR)
    assert drop_in.read_text().startswith("# generated by escadm")
    assert drop_in.read_text().endswith("[Network]\nKeepConfiguration=static\n")
    assert reload(paths, PAIR) == []
    assert name in reload(paths, STANDALONE)
    assert not drop_in.exists()


@pytest.mark.usefixtures("seventh")
def test_networkd_by_another_file_gets_another_drop_in_and_a_silent_one_keeps_its_own(paths: Paths) -> None:
    manage(paths, "/etc/systemd/network/10-eth0.network")
    first, second = (f"/etc/systemd/network/{number}-eth0.network.d/escadm.conf" for number in (10, 20))
    reload(paths, PAIR)
    paths.below(LINK).unlink()
    assert reload(paths, PAIR) == []
    manage(paths, "/etc/systemd/network/20-eth0.network")
    assert set(reload(paths, PAIR)) == {first, second}
    assert not paths.below(first).exists()


@pytest.mark.usefixtures("seventh")
def test_who_has_decided_what_networkd_keeps_has_decided(paths: Paths) -> None:
    manage(paths, "/etc/systemd/network/10-eth0.network")
    own = paths.below("/etc/systemd/network/10-eth0.network.d/mine.conf")
    own.parent.mkdir()
    own.write_text("[Network]\nKeepConfiguration = dhcp\n")
    assert reload(paths, PAIR) == ["/etc/keepalived/keepalived.conf"]


def test_diff_is_what_reload_would_change(paths: Paths) -> None:
    paths.config.write_text(REPLICATED)
    said = diff(paths, FACTS, Host())
    assert f"--- /dev/null\n+++ {paths.keepalived_conf}\n" in said
    assert f"--- /dev/null\n+++ {paths.drbd_res}\n" in said
    reload(paths, REPLICATED)
    assert diff(paths, FACTS, Host()) == ""
    paths.config.write_text(REPLICATED.replace("    vip:", "    priority: 200\n    vip:"))
    said = diff(paths, FACTS, Host())
    assert "\n-    priority 250\n+    priority 200\n" in said
    assert str(paths.drbd_res) not in said
    paths.config.write_text(STANDALONE)
    assert f"--- {paths.drbd_res}\n+++ /dev/null\n" in diff(paths, FACTS, Host())


def test_diff_shows_no_secret_but_that_it_is_another(paths: Paths) -> None:
    paths.config.write_text(REPLICATED)
    assert "hunter2" not in diff(paths, FACTS, Host())
    assert "+        shared-secret ***;" in diff(paths, FACTS, Host())
    reload(paths, REPLICATED)
    assert "hunter2" in paths.drbd_res.read_text()
    paths.config.write_text(REPLICATED.replace("hunter2", "correct-horse"))
    said = diff(paths, FACTS, Host())
    assert "-        shared-secret ***;\n+        shared-secret *** (new);\n" in said
    assert "hunter2" not in said
    assert "correct" not in said


def test_diff_needs_no_engine(paths: Paths) -> None:
    paths.config.write_text(REPLICATED)
    recorded = Recorded(NotInstalled("not installed"))
    assert diff(paths, FACTS, recorded.host)
    assert recorded.argvs == []
