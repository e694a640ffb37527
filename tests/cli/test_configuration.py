"""``ha``, ``config check``, ``dump``, ``plan``, ``diff``, ``reload`` without an agent, and ``health``."""

import json
import os
import subprocess
from pathlib import Path

import jsonschema
import pytest

from escadm.core.states import Role
from escadm.paths import Paths
from escadm.system import role_file
from tests.cli.program import REPOSITORY, agent, escadm, on_terminal, plain
from tests.cli.test_status import published

SEED = "--kad_vip= 172.16.2.0 --kad_vif= eth0 --ha_node_list= 172.16.0.0 172.16.1.0".split()  # noqa: SIM905
STANDALONE = """\
# by hand
resources:
  web:
    command: [/bin/sleep, '1000']
"""
BROKEN = """\
resources:
  web:
    comand: [/bin/true]
  other:
    depend_on: wbe
"""


def write(root: Path, text: str) -> Path:
    file = Paths(root).config
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


# --- ha ---------------------------------------------------------------------------------------------------


def test_the_manuals_own_line_works_as_printed(root: Path) -> None:
    outcome = escadm("--root", root, "ha", "set", *SEED)
    assert (outcome.code, outcome.out) == (
        0,
        "keepalived.vip: 172.16.2.0\n"
        "keepalived.interface: eth0\n"
        "drbd.nodes: 172.16.0.0 172.16.1.0\n"
        "next: escadm reload\n"
        "then: escadm drbd init\n"
        "then: run the same three on the other node\n"
        "then: escadm drbd init --primary, on one of them\n"
        "then: escadm restart, on both\n"
        "then: add the virtual address 172.16.2.0 to the allowed address pairs of both machines\n",
    )


@pytest.mark.parametrize(
    "words",
    [
        ["--kad_vip", "172.16.2.0", "--kad_vif", "eth0", "--ha_node_list", "172.16.0.0 172.16.1.0"],
        ["--kad-vip=172.16.2.0", "--kad-vif=eth0", "--ha-node-list=172.16.0.0,172.16.1.0"],
        ["--kad_vif=eth0", "--ha_node_list", "172.16.0.0", "172.16.1.0", "--kad_vip=172.16.2.0"],
    ],
)
def test_every_way_to_write_it_is_the_same(root: Path, words: list[str]) -> None:
    escadm("--root", root, "ha", "set", *SEED)
    text = Paths(root).config.read_bytes()
    assert escadm("--root", root, "ha", "set", *words).out == "nothing to change\n"
    assert Paths(root).config.read_bytes() == text


def test_set_show_unset(root: Path) -> None:
    file = write(root, STANDALONE)
    assert escadm("--root", root, "ha", "show").out == "this node is standalone\n"
    escadm("--root", root, "ha", "set", *SEED)
    shown = escadm("--root", root, "ha", "show").out
    assert "kad_vip: 172.16.2.0:eth0\n" in shown
    assert "ha_node_list: 172.16.0.0 172.16.1.0\n" in shown
    outcome = escadm("--root", root, "ha", "set", "--kad_vri", "77")
    assert outcome.out.startswith("keepalived.virtual_router_id: 77\nnext: the same escadm ha set on the other node\n")
    outcome = escadm("--root", root, "ha", "set", "--kad_vri", "78")
    assert outcome.out.startswith("keepalived.virtual_router_id: 78 (was 77)\n")
    outcome = escadm("--root", root, "ha", "unset")
    assert "keepalived.vip: removed (was 172.16.2.0)\n" in outcome.out
    assert escadm("--root", root, "ha", "show").out == "this node is standalone\n"
    assert file.read_text().startswith(STANDALONE)


def test_a_dry_run_shows_the_difference_and_changes_nothing(root: Path) -> None:
    file = write(root, STANDALONE)
    outcome = escadm("--root", root, "ha", "set", *SEED, "--dry-run")
    assert outcome.code == 0
    assert outcome.out.startswith(f"--- {file}\n+++ {file}\n")
    assert "+    vip: 172.16.2.0\n" in outcome.out
    assert file.read_text() == STANDALONE
    shown = on_terminal("--root", root, "ha", "set", *SEED, "--dry-run")
    assert "\x1b[32m+    vip: 172.16.2.0" in shown.out
    assert plain(shown.out) == outcome.out


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--kad_vip=172.16.2"], "--kad_vip"),
        (["--kad_vri=256"], "--kad_vri"),
        (["--ha_node_list=172.16.0.0"], "--ha_node_list"),
        (["--advert_interval=never"], "--advert_interval"),
    ],
)
def test_a_wrong_value_is_named_and_nothing_is_written(root: Path, words: list[str], named: str) -> None:
    outcome = escadm("--root", root, "ha", "set", *words)
    assert outcome.code == 2
    assert outcome.err.startswith(f"escadm: {named}: ")
    assert not Paths(root).config.exists()


def test_set_by_somebody_who_may_not_write_there(root: Path) -> None:
    write(root, STANDALONE)
    if os.geteuid() != 0:
        Paths(root).config.parent.chmod(0o555)
    outcome = escadm("--root", root, "ha", "set", *SEED, nobody=True)
    Paths(root).config.parent.chmod(0o755)
    assert outcome.code == 4
    assert str(Paths(root).config.parent) in outcome.err
    assert "Traceback" not in outcome.err
    assert Paths(root).config.read_text() == STANDALONE


@pytest.mark.parametrize("words", [["ha", "set", *SEED], ["ha", "unset"]])
def test_nobody_may_not_change_the_machine_itself(words: list[str]) -> None:
    outcome = escadm(*words, nobody=True)
    assert outcome.code == 4
    assert outcome.err == "escadm: cannot change the configuration: only root may do this\n  try again with sudo\n"


# --- config check, dump, plan -----------------------------------------------------------------------------


def test_check_says_what_the_file_makes_of_the_node(root: Path) -> None:
    file = write(root, STANDALONE)
    outcome = escadm("--root", root, "config", "check")
    assert outcome.code == 0
    assert outcome.out.startswith(f"{file}: good: a standalone node, ")
    other = root / "other.yaml"
    other.write_text(STANDALONE)
    assert escadm("--root", root, "config", "check", other).out.startswith(f"{other}: good: ")


@pytest.mark.parametrize("words", [["config", "check"], ["plan"], ["diff"], ["reload"], ["ha", "show"], ["dump"]])
def test_every_mistake_is_told_with_its_place(root: Path, words: list[str]) -> None:
    file = write(root, BROKEN)
    outcome = escadm("--root", root, *words)
    assert (outcome.code, outcome.out) == (6, "")
    first, *problems = outcome.err.splitlines()
    assert first == "escadm: the configuration is not valid"
    assert problems[0].startswith(f"{file}:3:5: resources.web.comand: ")
    assert len(problems) == 2 or words == ["dump"]


def test_a_file_that_is_not_there(root: Path) -> None:
    outcome = escadm("--root", root, "config", "check", root / "missing.yaml")
    assert outcome.code == 6
    assert str(root / "missing.yaml") in outcome.err


@pytest.mark.parametrize("number", [1, 2])
def test_the_user_data_of_a_pair_is_good(number: int) -> None:
    file = REPOSITORY / f"etc/user-data/user-data-{number}"
    found = escadm("config", "check", f"--user-data={file}")
    told = f"{file}: good: one node of a pair, 12 units to start, 3 switched off\n"
    assert (found.code, found.out, found.err) == (0, told, "")


def test_every_mistake_in_user_data_is_told(root: Path) -> None:
    file = root / "user-data"
    file.write_text("#cloud-config\nruncmds: []\nwrite_file: []\n")
    found = escadm("config", "check", "--user-data", file)
    assert (found.code, found.out) == (6, "")
    first, *lines = found.err.splitlines()
    assert first == "escadm: the user data is not valid"
    assert f"{file}:2:1: runcmds: cloud-init knows no such key: did you mean runcmd?" in lines
    assert f"{file}:3:1: write_file: cloud-init knows no such key: did you mean write_files?" in lines


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["--user-data=/nowhere"], 1, "cannot read /nowhere: there is no such file"),
        (["--user-data=a", "b"], 2, "one of them at a time"),
        (["--user-data"], 2, "option --user-data needs a value"),
    ],
)
def test_user_data_that_cannot_be_checked(words: list[str], code: int, told: str) -> None:
    found = escadm("config", "check", *words)
    assert (found.code, found.out) == (code, "")
    assert told in found.err


def test_dump(root: Path) -> None:
    write(root, STANDALONE)
    outcome = escadm("--root", root, "dump")
    assert outcome.code == 0
    assert "  web:\n" in outcome.out
    assert "  escmanager:\n" in outcome.out


def test_plan(root: Path) -> None:
    escadm("--root", root, "ha", "set", *SEED)
    waves = json.loads(escadm("--root", root, "plan", "--json").out)["waves"]
    assert waves[:4] == [["drbd", "keepalived"], ["keepalived:master"], ["drbd:master"], ["filesystem"]]
    assert escadm("--root", root, "plan").out.startswith("  1  drbd\n     keepalived\n")
    assert escadm("--root", root, "plan", "--dot").out.startswith('digraph "escadm" {\n')
    stop = json.loads(escadm("--root", root, "plan", "--stop", "--json", "filesystem").out)["waves"]
    assert stop[-1] == ["filesystem"]


# --- diff and reload --------------------------------------------------------------------------------------


def test_reload_without_an_agent_writes_the_files_once(root: Path) -> None:
    escadm("--root", root, "ha", "set", *SEED)
    paths = Paths(root)
    assert f"+++ {paths.keepalived_conf}\n" in escadm("--root", root, "diff").out
    outcome = escadm("--root", root, "reload")
    later = "the agent is not running: it takes the configuration up when it starts\n"
    assert (outcome.code, outcome.out) == (0, f"wrote {paths.keepalived_conf}\nwrote {paths.drbd_res}\n{later}")
    written = paths.keepalived_conf.read_bytes(), paths.drbd_res.read_bytes()
    assert escadm("--root", root, "diff").out == ""
    assert escadm("--root", root, "reload").out == f"nothing to change; {later}"
    assert (paths.keepalived_conf.read_bytes(), paths.drbd_res.read_bytes()) == written
    vip = ["sed", "-n", "/virtual_ipaddress/{n;p;}", str(paths.keepalived_conf)]
    assert subprocess.run(vip, capture_output=True, text=True).stdout.strip() == "172.16.2.0"


def test_reload_after_unset_takes_the_files_away(root: Path) -> None:
    escadm("--root", root, "ha", "set", *SEED)
    escadm("--root", root, "reload")
    escadm("--root", root, "ha", "unset")
    paths = Paths(root)
    assert escadm("--root", root, "reload").out.startswith(
        f"moved aside {paths.keepalived_conf}\nmoved aside {paths.drbd_res}\n"
    )
    assert not paths.keepalived_conf.exists()


# --- health -----------------------------------------------------------------------------------------------


def healthy(root: Path) -> dict[str, object]:
    """What an agent of a standalone node publishes, its one service being this very test; scripts read the role."""
    role_file.write(Role.STANDALONE, Paths(root))
    resource = {"name": "web", "state": "running", "pgid": os.getpgrp(), "since": None, "detail": "", "restarts": 0}
    return published(text="ESC Standalone Healthy") | {"role": "STANDALONE", "resources": [resource]}


def test_health_passed(root: Path) -> None:
    file = write(root, STANDALONE)
    with agent(root, healthy(root)):
        outcome = escadm("--root", root, "health")
        as_json = escadm("--root", root, "health", "--json")
    lines = outcome.out.splitlines()
    assert (outcome.code, outcome.err) == (0, "")
    assert lines[:3] == [
        "============== ESC (STANDALONE) =================",
        f"web (pgid {os.getpgrp()}) is running",
        "status: ok: ESC Standalone Healthy",
    ]
    assert f"configuration: ok: {file}" in lines
    assert f"web: ok: process group {os.getpgrp()} lives" in lines
    assert "written files: ok: are those of the configuration" in lines
    assert "keepalived_state: ok: it says STANDALONE, as the agent does" in lines
    assert lines[-2:] == ["=======================================", "ESC HEALTH PASSED"]
    document = json.loads(as_json.out)
    jsonschema.validate(document, json.loads((REPOSITORY / "etc/status.schema.json").read_text()))
    assert as_json.code == 0
    assert document["passed"] is True
    assert document["checks"][0] == {"name": "status", "passed": True, "detail": "ESC Standalone Healthy"}


def test_health_failed(root: Path) -> None:
    write(root, BROKEN)
    outcome = escadm("--root", root, "health")
    assert (outcome.code, outcome.err) == (2, "")
    assert "status: FAILED: ESC Unknown: the agent is not running\n" in outcome.out
    assert "configuration: FAILED: " in outcome.out
    assert outcome.out.endswith("ESC HEALTH FAILED\n")


def test_health_asked_by_nobody(root: Path) -> None:
    write(root, STANDALONE)
    with agent(root, healthy(root)):
        assert escadm("--root", root, "health", nobody=True).out.endswith("ESC HEALTH PASSED\n")
        Paths(root).config.chmod(0)
        outcome = escadm("--root", root, "health", nobody=True)
    assert "configuration: not checked: " in outcome.out
    assert str(Paths(root).config) in outcome.out


@pytest.mark.parametrize("words", [["plan"], ["dump"], ["diff"], ["config", "check"], ["ha", "show"]])
def test_a_file_that_nobody_may_read(root: Path, words: list[str]) -> None:
    file = write(root, STANDALONE)
    file.chmod(0)
    outcome = escadm("--root", root, *words, nobody=True)
    assert outcome.code == 4
    assert outcome.err == f"escadm: cannot read {file}: permission denied\n  try again with sudo\n"
