"""The beginning on a machine that does not have yet what the file names, and the end of that."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest

from escadm.actions.reload import prepare
from escadm.agent import begin as module
from escadm.agent.begin import MISFIT, REFUSED, Begun, Completion, begin
from escadm.core.problem import HostFacts
from escadm.errors import Failed, InvalidConfig
from escadm.paths import Paths
from escadm.system.host import Host
from tests.unit.agent.world import node_of, run, wait_for

CONFIG = """\
resources:
  keepalived:
    vip: 192.0.2.1
    interface: eth0
    unicast_source: 192.0.2.8
    unicast_peers: [192.0.2.9]
  web:
    command: sleep 600
"""
BARE = HostFacts({"eth0": (), "lo": (ip_address("127.0.0.1"),)})
WHOLE = HostFacts({"eth0": (ip_address("192.0.2.8"),), "lo": ()})


class Machine:
    """What the machine has; tests change it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.facts = BARE
        monkeypatch.setattr(module, "host_facts", lambda _: self.facts)
        # the interface of these facts is nobody's: keepalived itself would look for it on the machine that tests
        monkeypatch.setattr("escadm.actions.reload.ask_engine", lambda *_: None)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, paths: Paths) -> Machine:
    paths.config.parent.mkdir(parents=True)
    paths.config.write_text(CONFIG)
    return Machine(monkeypatch)


def written(paths: Paths) -> bool:
    return Path(paths.keepalived_conf).exists()


def test_a_machine_that_fits(paths: Paths, machine: Machine) -> None:
    machine.facts = WHOLE
    begun = begin(paths, Host())
    assert begun.lacks == ()
    assert begun.plan.keepalived is not None
    assert begun.plan.keepalived.peer_paths
    assert written(paths)


@pytest.mark.parametrize("facts", [BARE, HostFacts({"lo": (ip_address("127.0.0.1"),)})])
def test_what_is_missing_is_told_and_nothing_is_written(paths: Paths, machine: Machine, facts: HostFacts) -> None:
    machine.facts = facts
    begun = begin(paths, Host())
    assert {reason.code for reason in begun.lacks} == {MISFIT}
    assert all(reason.sentence.startswith("keepalived.") for reason in begun.lacks)
    assert begun.plan.keepalived is not None
    assert begun.plan.keepalived.peer_paths == ()  # which of the two it is was a guess
    assert not written(paths)


@pytest.mark.parametrize("text", ["resources: [", CONFIG + "    comand: x\n", CONFIG + "    depend_on: wbe\n"])
def test_a_mistake_in_the_file_ends_the_agent(paths: Paths, machine: Machine, text: str) -> None:
    paths.config.write_text(text)
    with pytest.raises(InvalidConfig):
        begin(paths, Host())


def test_the_node_goes_on_when_the_machine_has_it(
    paths: Paths, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[list[str]] = []

    async def reload(written: list[str]) -> None:
        told.append(written)
        raise Failed("drbdadm: no")  # which keeps nobody from going on

    async def story() -> None:
        begun = begin(paths, Host())
        idle = replace(begun.plan, units={})
        monkeypatch.setattr(module, "prepare", lambda *_: replace(prepare(*_), plan=idle))
        async with node_of(paths, idle) as node:
            node.lacks = begun.lacks
            completion = Completion(node, Host())
            task = asyncio.get_running_loop().create_task(completion.run())
            paths.config.write_text(CONFIG.replace("vip:", "vpi:"))
            completion.look()
            await wait_for(lambda: REFUSED in {each.code for each in node.lacks})
            paths.config.write_text(CONFIG)
            machine.facts = WHOLE
            completion.look()
            monkeypatch.setattr(node.stage, "reload", reload)
            await asyncio.wait_for(task, 20)
            assert told == [[str(paths.keepalived_conf)]]
            assert node.lacks == ()
            assert written(paths)

    run(story())


def test_who_lacks_nothing_waits_for_nothing(paths: Paths, machine: Machine) -> None:
    async def story() -> None:
        machine.facts = WHOLE
        begun: Begun = begin(paths, Host())
        async with node_of(paths, replace(begun.plan, units={})) as node:
            await asyncio.wait_for(Completion(node, Host()).run(), 20)

    run(story())
