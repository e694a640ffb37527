"""The command line as people write it."""

import shlex

import pytest
import typer

from escadm.cli import argv
from escadm.cli.app import build
from escadm.errors import Usage

SEED = "--kad_vip=172.16.2.0 --kad_vif=eth0 --ha_node_list=172.16.0.0 --ha_node_list=172.16.1.0"


@pytest.mark.parametrize(
    ("written", "parsed"),
    [
        ("ha set --kad_vip= 172.16.2.0 --kad_vif= eth0 --ha_node_list= 172.16.0.0 172.16.1.0", f"ha set {SEED}"),
        ("ha set --kad_vip 172.16.2.0 --kad_vif eth0 --ha_node_list 172.16.0.0 172.16.1.0", f"ha set {SEED}"),
        ("ha set --kad_vip=172.16.2.0 --kad_vif=eth0 --ha_node_list=172.16.0.0 172.16.1.0", f"ha set {SEED}"),
        ("ha set --kad_vip = 172.16.2.0", "ha set --kad_vip=172.16.2.0"),
        ("ha set --kad_vip =172.16.2.0", "ha set --kad_vip=172.16.2.0"),
        ("ha set --kad-vip= 172.16.2.0", "ha set --kad-vip=172.16.2.0"),
        ("ha set --ha_node_list= 10.1 10.2 --dry-run", "ha set --ha_node_list=10.1 --ha_node_list=10.2 --dry-run"),
        ("ha set --ha_node_list=10.0.0.1,10.0.0.2", "ha set --ha_node_list=10.0.0.1,10.0.0.2"),
        ("ha set --ha_node_list=10.0.0.1 , 10.0.0.2", "ha set --ha_node_list=10.0.0.1 --ha_node_list=10.0.0.2"),
        ("ha set --ha_node_list '10.1 10.2' --kad_vif e", "ha set '--ha_node_list=10.1 10.2' --kad_vif=e"),
        ("ha set --kad_vip=[fd00::1]/64:eth1", "ha set --kad_vip=[fd00::1]/64:eth1"),
        ("status --v", "status --v"),
        ("status -v --root /x", "--root=/x status -v"),
        ("status -v --root= /x --debug", "--root=/x --debug status -v"),
        ("--root=/x status", "--root=/x status"),
        ("status --root=/a=b", "--root=/a=b status"),
        ("start pgsql -- --root x", "start pgsql -- --root x"),
        ("lab exec a escadm ha set --kad_vip= 1.2.3.4 --debug", "lab exec a escadm ha set --kad_vip= 1.2.3.4 --debug"),
        ("--debug lab exec a ip --root x", "--debug lab exec a ip --root x"),
        ("", ""),
        ("status --unknown= x", "status --unknown= x"),
    ],
)  # fmt: skip
def test_normalise(written: str, parsed: str) -> None:
    assert argv.normalise(shlex.split(written)) == shlex.split(parsed)


@pytest.mark.parametrize(
    "written", ["ha set --kad_vip= 1.2.3.4 --ha_node_list a b", "status --root x -v", "plan --dot"]
)
def test_normalise_twice_is_normalise_once(written: str) -> None:
    once = argv.normalise(shlex.split(written))
    assert argv.normalise(once) == once


@pytest.mark.parametrize(
    ("written", "option"),
    [
        (["--kad_vip=", "--kad_vif=", "eth0"], "--kad_vip"),
        (["--kad_vip", "--kad_vif", "eth0"], "--kad_vip"),
        (["--kad_vip", ""], "--kad_vip"),
        (["--kad_vip="], "--kad_vip"),
        (["--kad_vip= "], "--kad_vip"),
        (["--ha_node_list=", "--kad_vip=1.2.3.4"], "--ha_node_list"),
        (["--ha_node_list", " , "], "--ha_node_list"),
        (["--ha-node-list"], "--ha-node-list"),
        (["--root"], "--root"),
    ],
)
def test_an_option_without_its_value_is_named(written: list[str], option: str) -> None:
    with pytest.raises(Usage) as caught:
        argv.normalise(["ha", "set", *written])
    assert caught.value.message == f"option {option} needs a value"


@pytest.mark.parametrize(
    ("written", "verb"),
    [
        ("--root=/x --debug status -v", "status"),
        ("status", "status"),
        ("--help status", None),
        ("--version", None),
        ("", None),
    ],
)
def test_verb(written: str, verb: str | None) -> None:
    assert argv.verb(shlex.split(written)) == verb


def test_split_list() -> None:
    assert argv.split_list(["a, b", "c", "d,e f"]) == ["a", "b", "c", "d", "e", "f"]


def test_the_options_with_a_value_are_those_of_the_program() -> None:
    """Whoever adds an option to a command of ours adds it to argv.py, or its value cannot follow a blank."""
    found: set[str] = set()

    def walk(command: object, path: tuple[str, ...]) -> None:
        for name, child in getattr(command, "commands", {}).items():
            if name != "lab":
                walk(child, (*path, name))
        for parameter in command.params:  # type: ignore[attr-defined]
            if parameter.param_type_name == "option" and not parameter.is_flag and path != ():
                found.update(argv.canonical(option) for option in parameter.opts if option.startswith("--"))

    walk(typer.main.get_command(build()), ())
    assert found | {"--root"} == argv.VALUE_OPTIONS
