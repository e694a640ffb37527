"""What clients of the control socket get: always an answer, and the newest wish wins."""

import asyncio
import json
import os
import signal
import socket
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from escadm.agent.node import Node
from escadm.agent.outputs.memory import Memory
from escadm.agent.requests import control as control_module
from escadm.agent.requests import verbs as verbs_module
from escadm.agent.requests.control import Control
from escadm.agent.requests.verbs import Verbs
from escadm.core.lifecycle import Event
from escadm.core.plan import Plan
from escadm.core.probes import Alive
from escadm.core.role import Peer
from escadm.core.specs import Kind
from escadm.core.states import Role, UnitState, Vrrp
from escadm.paths import Paths
from escadm.system.control import reachable
from escadm.system.host import Host
from escadm.system.process import is_alive
from tests.unit.agent.test_node import Stubs, pair
from tests.unit.agent.world import LIMIT, OBEDIENT, Scripted, ScriptedNode, plan, run, status, unit, wait_for

LADDER = plan(unit("pgsql"), unit("mona", needs=("pgsql",)), unit("snmp", startup=False))
TRAPS = "trap '' TERM; while :; do sleep 0.05; done"


class Client:
    """A connection to the control socket, and all lines that came."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.lines: list[dict[str, Any]] = []

    async def outcome(self) -> dict[str, Any]:
        """The last line; the connection is closed after it."""
        async with asyncio.timeout(20):
            async for line in self.reader:
                self.lines.append(json.loads(line))
        self.writer.close()
        assert self.lines, "closed without a word"
        assert self.lines[-1].get("done") is True, self.lines
        return self.lines[-1]


class Played:
    """A node behind its control socket."""

    def __init__(self, paths: Paths, node: Node) -> None:
        self.paths, self.node = paths, node
        self.verbs = Verbs(node, Host())
        self.control = Control(paths, self.verbs)

    async def send(self, data: bytes) -> Client:
        with reachable(self.paths.control) as name:
            reader, writer = await asyncio.open_unix_connection(name)
        writer.write(data)
        return Client(reader, writer)

    async def ask(self, do: str, *resources: str, **more: Any) -> Client:
        return await self.send(json.dumps({"do": do, "resources": list(resources), **more}).encode() + b"\n")

    async def done(self, do: str, *resources: str, **more: Any) -> tuple[int, str]:
        outcome = await (await self.ask(do, *resources, **more)).outcome()
        return outcome["code"], outcome["message"]

    def state(self, name: str) -> UnitState:
        return self.node.stage.state(name)

    def leader(self, name: str) -> Any:
        return self.node.stage.drivers[name].leader


@asynccontextmanager
async def playing(paths: Paths, planned: Plan | None = None, node: Node | None = None) -> AsyncIterator[Played]:
    played = Played(paths, node or Node(paths, planned or LADDER, Memory()))
    await played.control.open()
    try:
        async with asyncio.timeout(10):
            await played.node.turns.until(lambda: played.node.decision.is_settled)
        yield played
    finally:
        await played.node.stop_for_good()
        await played.control.finish()
        played.control.close()
        played.node.end()
        assert len(played.node.stage.watchers) == 2, "the node's own, and nobody waits any longer"
        assert not played.control._tasks


# --- one client ------------------------------------------------------------------------------------------------


def test_socket_is_for_root_alone_and_goes_with_the_agent(paths: Paths) -> None:
    async def work() -> None:
        async with playing(paths):
            assert stat.S_IMODE(paths.control.stat().st_mode) == 0o600
        assert not paths.control.exists()

    run(work())


def test_stop_and_start(paths: Paths) -> None:
    async def work() -> None:
        async with playing(paths) as played:
            client = await played.ask("stop")
            assert (await client.outcome())["message"] == "stopped"
            assert client.lines[0] == {"say": ""}
            told = [(line["unit"], line["state"]) for line in client.lines if "unit" in line]
            assert told == [("mona", "stopping"), ("mona", "stopped"), ("pgsql", "stopping"), ("pgsql", "stopped")]
            assert status(paths)["text"] == "ESC Stopped"
            assert await played.done("stop") == (0, "stopped")
            assert await played.done("start") == (0, "started; this node is STANDALONE")
            assert await played.done("start") == (0, "started; this node is STANDALONE")
            assert status(paths)["text"] == "ESC Standalone Healthy"

    run(work())


def test_named_resources(paths: Paths) -> None:
    async def work() -> None:
        async with playing(paths) as played:
            assert await played.done("stop", "pgsql") == (0, "stopped: pgsql")
            assert played.state("mona") is UnitState.STOPPED
            assert status(paths)["text"] == "ESC Standalone Degraded: pgsql is stopped by hand"
            assert await played.done("start", "mona") == (0, "started: mona")
            assert played.state("pgsql") is UnitState.RUNNING
            before, base = played.leader("mona"), played.leader("pgsql")
            assert await played.done("restart", "mona") == (0, "restarted: mona")
            assert played.leader("mona") != before
            assert played.leader("pgsql") == base
            assert await played.done("start", "snmp") == (0, "started: snmp")
            assert await played.done("restart", "snmp", "pgsql") == (0, "restarted: pgsql, snmp")
            assert await played.done("stop", "snmp", "pgsql") == (0, "stopped: pgsql, snmp")
            assert await played.done("restart", "pgsql") == (0, "restarted: pgsql")
            assert played.state("mona") is UnitState.RUNNING

    run(work())


def test_failure_is_told_with_where_to_look(paths: Paths) -> None:
    broken = plan(unit("pgsql", "sh", "-c", "exit 3"), unit("mona", needs=("pgsql",)))

    async def work() -> None:
        node = Node(paths, broken, Memory(active=False))
        async with playing(paths, node=node) as played:
            outcome = await (await played.ask("start")).outcome()
            assert outcome["code"] == 1
            assert outcome["message"] == "pgsql exited with code 3"
            assert outcome["hint"] == f"its output is in {paths.log_directory}/pgsql.log"
            assert (await played.done("start", "mona"))[1] == "pgsql exited with code 3"

    run(work())


@pytest.mark.parametrize(
    ("request_", "code", "words"),
    [
        (b"\n", 2, "cannot make sense of the request"),
        (b"{\n", 2, "cannot make sense of the request"),
        (b"\xff\xfe\n", 2, "cannot make sense of the request"),
        (b"[]\n", 2, "cannot make sense of the request"),
        (b"null\n", 2, "cannot make sense of the request"),
        (b"[" * 50_000 + b"\n", 2, "cannot make sense of the request"),
        (b'{"do": "' + b"x" * 200_000 + b'"}\n', 2, "cannot make sense of the request"),
        (b"{}\n", 2, "knows no request None"),
        (b'{"do": "dance"}\n', 2, "knows no request 'dance'"),
        (b'{"do": ["stop"]}\n', 2, "knows no request ['stop']"),
        (b'{"do": {"stop": 1}}\n', 2, "knows no request {'stop': 1}"),
        (b'{"do": "stop", "resources": ["nomad"]}\n', 2, "there is no resource nomad"),
        (b'{"do": "stop", "resources": [["mona"]]}\n', 2, "there is no resource ['mona']"),
        (b'{"do": "switchover"}\n', 1, "cannot switch over: this node is standalone"),
    ],
    ids=range(14),
)
def test_bad_requests_are_answered_and_change_nothing(paths: Paths, request_: bytes, code: int, words: str) -> None:
    async def work() -> None:
        async with playing(paths) as played:
            outcome = await (await played.send(request_)).outcome()
            assert outcome["code"] == code
            assert words in outcome["message"]
            assert played.node.decision.is_settled

    run(work())


def test_states_are_no_resources(paths: Paths) -> None:
    async def work() -> None:
        node = ScriptedNode(paths, pair(), Stubs())
        async with playing(paths, node=node) as played:
            code, message = await played.done("stop", "keepalived:master")
            assert (code, message) == (2, "keepalived:master is a state, not a resource")

    run(work())


def test_client_that_says_nothing_is_let_go(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_module, "PATIENCE", 0.05)

    async def work() -> None:
        async with playing(paths) as played:
            outcome = await (await played.send(b'{"do": "st')).outcome()
            assert outcome["message"] == "no request came within 0.05 s"
            client = await played.send(b"")
            client.writer.close()
            await wait_for(lambda: not played.control._tasks)

    run(work())


def test_defect_in_a_verb_is_code_70_and_the_agent_lives(
    paths: Paths, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def work() -> None:
        async with playing(paths) as played:
            with monkeypatch.context() as patch:
                patch.setattr(played.verbs, "stop", lambda _: 1 / 0)
                code, message = await played.done("stop")
            assert code == 70
            assert "ZeroDivisionError" in message
            assert await played.done("stop") == (0, "stopped")

    run(work())
    assert [record.message for record in caplog.records if record.exc_info] == ["a defect of ours"]


@pytest.mark.parametrize("verb", ["stop", "start"])
def test_what_could_not_be_decided_about_is_neither_done_nor_overtaken(
    paths: Paths, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    """The last decision is of before the request."""

    def breaks(_: object) -> None:
        raise RuntimeError("boom")

    async def work() -> None:
        async with playing(paths) as played:
            turns = played.node.turns
            if verb == "start":
                await played.done("stop", "pgsql")
            with monkeypatch.context() as patch:
                patch.setattr("escadm.agent.node.decide", breaks)
                client = await played.ask(verb, "pgsql")
                await wait_for(lambda: turns._waiting)
                for _ in range(3):
                    await turns.until(lambda: True)
                assert turns._waiting
            assert (await client.outcome())["code"] == 0

    run(work())


# --- several clients -----------------------------------------------------------------------------------------------


def stubborn(stop_timeout: float = 0.3) -> Plan:
    """A service that ends only by force."""
    return plan(unit("pgsql", "sh", "-c", TRAPS, stop_timeout=stop_timeout), unit("mona", needs=("pgsql",)))


def test_client_that_goes_away_stops_nothing(paths: Paths) -> None:
    async def work() -> None:
        async with playing(paths, stubborn()) as played:
            client = await played.ask("stop")
            await wait_for(lambda: played.state("pgsql") is UnitState.STOPPING)
            client.writer.transport.abort()
            await wait_for(lambda: played.state("pgsql") is UnitState.STOPPED)
            await wait_for(lambda: not played.control._tasks)
            assert played.node.stage.is_down()

    run(work())


def test_start_overtakes_stop_and_stop_overtakes_start(paths: Paths) -> None:
    async def work() -> None:
        async with playing(paths, stubborn(stop_timeout=LIMIT)) as played:
            stop = await played.ask("stop")
            await wait_for(lambda: played.state("pgsql") is UnitState.STOPPING)
            start = await played.ask("start")
            assert (await stop.outcome())["message"] == "the stop was overtaken by a later start"
            again = await played.ask("stop")
            assert (await start.outcome())["message"] == "the start was overtaken by a later stop"
            leader = played.node.stage.drivers["pgsql"].leader
            assert leader is not None
            os.killpg(leader.pid, signal.SIGKILL)
            assert (await again.outcome())["message"] == "stopped"
            assert played.node.stage.is_down()

    run(work())


def test_stop_of_a_resource_overtakes_its_restart(paths: Paths) -> None:
    async def work() -> None:
        async with playing(paths, stubborn()) as played:
            restart = await played.ask("restart", "pgsql")
            await wait_for(lambda: played.state("pgsql") is UnitState.STOPPING)
            assert await played.done("stop", "pgsql") == (0, "stopped: pgsql")
            assert (await restart.outcome())["message"] == "the restart was overtaken by a later stop"
            assert played.state("pgsql") is UnitState.STOPPED

    run(work())


def test_a_stop_of_everything_overtakes_a_restart(paths: Paths) -> None:
    async def work() -> None:
        async with playing(paths, stubborn()) as played:
            restart = await played.ask("restart", "pgsql")
            await wait_for(lambda: played.state("pgsql") is UnitState.STOPPING)
            await played.done("stop")
            assert (await restart.outcome())["message"] == "the restart was overtaken by a later stop"

    run(work())


@pytest.mark.parametrize("verb", ["start", "restart"])
def test_stop_of_a_resource_overtakes_its_start(paths: Paths, verb: str) -> None:
    """Also the second half of a restart: it is the restart that was overtaken."""
    late = plan(unit("pgsql"), unit("mona", needs=("pgsql",), ready=Alive(30)))

    async def work() -> None:
        node = Node(paths, late, Memory(down=("mona",)))
        async with playing(paths, node=node) as played:
            asked = await played.ask(verb, "mona")
            await wait_for(lambda: played.state("mona") is UnitState.STARTING)
            assert await played.done("stop", "mona") == (0, "stopped: mona")
            assert (await asked.outcome())["message"] == f"the {verb} was overtaken by a later stop"

    run(work())


def test_restart_during_a_stop_of_everything(paths: Paths) -> None:
    async def work() -> None:
        async with playing(paths, stubborn()) as played:
            stop = await played.ask("stop")
            await wait_for(lambda: played.state("pgsql") is UnitState.STOPPING)
            restart = await played.ask("restart", "pgsql")
            assert (await restart.outcome())["message"] == "cannot start single resources: this node is stopped"
            assert (await stop.outcome())["message"] == "stopped"

    run(work())


def test_two_restarts_at_once_both_end_well(paths: Paths) -> None:
    async def work() -> None:
        async with playing(paths) as played:
            first, second = await played.ask("restart", "pgsql"), await played.ask("restart", "pgsql")
            for client in (first, second):
                assert (await client.outcome())["message"] == "restarted: pgsql"
            assert played.node.decision.is_settled

    run(work())


# --- what does not end --------------------------------------------------------------------------------------------


def test_what_cannot_be_stopped_is_told_and_tried_on(paths: Paths) -> None:
    async def work() -> None:
        stubs = Stubs()
        busy = (0.0, Event.STOP_FAILED, "cannot unmount /db: held by 7 (sh)")
        stubs.answers["filesystem"] = {**OBEDIENT, "terminate": busy, "kill": busy}
        mounted = plan(unit("filesystem", kind=Kind.FILESYSTEM), unit("pgsql", needs=("filesystem",)))
        async with playing(paths, node=ScriptedNode(paths, mounted, stubs)) as played:
            sentence = "filesystem cannot be stopped: cannot unmount /db: held by 7 (sh)"
            assert await played.done("stop") == (1, sentence)
            assert played.state("filesystem") in (UnitState.STOPPING, UnitState.KILLING)
            stubs.made["filesystem"].answers = OBEDIENT
            await wait_for(played.node.stage.is_down)
            assert (await played.done("start"))[0] == 0
            stubs.made["filesystem"].answers = {**OBEDIENT, "terminate": busy, "kill": busy}
            assert await played.done("restart", "filesystem") == (1, sentence)
            del stubs.answers["filesystem"]
            stubs.made["filesystem"].answers = OBEDIENT
            await wait_for(lambda: played.node.decision.is_settled)

    run(work())


def test_service_that_failed_before_may_take_its_time_to_stop(paths: Paths) -> None:
    """A reason from before the stop is none of the stop's."""

    async def work() -> None:
        stubs = Stubs()
        node = ScriptedNode(paths, plan(unit("pgsql", stop_timeout=30)), stubs)
        async with playing(paths, node=node) as played:
            stubs.made["pgsql"].post(Event.EXITED, "exited with code 3")
            await wait_for(lambda: played.state("pgsql") is UnitState.BACKOFF)
            await wait_for(lambda: played.state("pgsql") is UnitState.RUNNING)
            stubs.made["pgsql"].answers = {**OBEDIENT, "terminate": None}
            stop = await played.ask("stop")
            await wait_for(lambda: played.state("pgsql") is UnitState.STOPPING)
            for _ in range(5):
                await node.turns.until(lambda: True)
            stubs.made["pgsql"].post(Event.GONE, "")
            assert (await stop.outcome())["message"] == "stopped"

    run(work())


# --- roles --------------------------------------------------------------------------------------------------------


class Link:
    """The peer as it is said to be."""

    heard_at: float | None = None

    def __init__(self) -> None:
        self.peer = Peer("192.0.2.9", heard=True, vrrp=Vrrp.BACKUP, role=Role.BACKUP, fit=True, settled=True)

    def say(self) -> None: ...

    def acquaintance(self) -> None: ...

    def close(self) -> None: ...


@asynccontextmanager
async def primary(paths: Paths) -> AsyncIterator[tuple[Played, Stubs]]:
    stubs = Stubs()
    node = ScriptedNode(paths, pair(), stubs)
    node.inputs._on_vrrp(Vrrp.MASTER)
    async with playing(paths, node=node) as played:
        assert node.role is Role.MASTER
        yield played, stubs


def test_resource_of_the_primary_on_a_standby(paths: Paths) -> None:
    async def work() -> None:
        async with primary(paths) as (played, _):
            await played.done("stop", "pgsql")
            played.node.inputs._on_vrrp(Vrrp.BACKUP)
            await wait_for(lambda: played.node.role is Role.BACKUP)
            code, message = await played.done("start", "pgsql")
            assert code == 1
            assert message == "pgsql waits for the role: this node is BACKUP, and it runs on the primary"

    run(work())


def test_role_lost_during_a_restart_keeps_nobody_waiting(paths: Paths) -> None:
    async def work() -> None:
        async with primary(paths) as (played, stubs):
            stubs.made["pgsql"].answers = {**OBEDIENT, "terminate": None}
            restart = await played.ask("restart", "pgsql")
            await wait_for(lambda: played.state("pgsql") is UnitState.STOPPING)
            played.node.inputs._on_vrrp(Vrrp.BACKUP)
            stubs.made["pgsql"].post(Event.GONE, "")
            assert "waits for the role" in (await restart.outcome())["message"]

    run(work())


def test_switchover(paths: Paths) -> None:
    async def work() -> None:
        async with primary(paths) as (played, _):
            node = played.node
            node.inputs.link = link = Link()  # type: ignore[assignment]
            client = await played.ask("switchover")
            await wait_for(lambda: paths.fitness.read_text() == "-254\n")
            node.inputs._on_vrrp(Vrrp.FAULT)
            link.peer = Peer("192.0.2.9", True, Vrrp.MASTER, Role.MASTER, True, False)
            node.turns.wake()
            await wait_for(lambda: paths.fitness.read_text() == "0\n")
            node.inputs._on_vrrp(Vrrp.BACKUP)
            link.peer = Peer("192.0.2.9", True, Vrrp.MASTER, Role.MASTER, True, True)
            node.turns.wake()
            assert (await client.outcome())["message"].startswith("the primary is now 192.0.2.9, after ")
            assert await played.done("switchover") == (1, "cannot switch over: this node is BACKUP, not the primary")

    run(work())


def test_switchover_that_nobody_answers_takes_the_role_back(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verbs_module, "TAKES_OVER_WITHIN", 0.05)

    async def work() -> None:
        async with primary(paths) as (played, _):
            assert (await played.done("switchover"))[1].startswith("cannot switch over: the peer's address is not")
            code, message = await played.done("switchover", force=True)
            assert code == 1
            assert message == "nobody took the role over: this node stands for it again"
            await wait_for(lambda: played.node.decision.is_settled)
            assert played.node.role is Role.MASTER
            assert paths.fitness.read_text() == "0\n"

    run(work())


def test_stop_and_an_unsettled_peer_keep_no_switchover_waiting(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verbs_module, "TAKES_OVER_WITHIN", 0.2)

    async def work() -> None:
        async with primary(paths) as (played, _):
            node = played.node
            node.inputs.link = link = Link()  # type: ignore[assignment]
            switchover = await played.ask("switchover")
            await wait_for(lambda: paths.fitness.read_text() == "-254\n")
            assert await played.done("switchover") == (1, "a switchover is under way already")
            node.inputs._on_vrrp(Vrrp.STOP)
            link.peer = Peer("192.0.2.9", True, Vrrp.MASTER, Role.MASTER, True, True)
            assert await played.done("stop") == (0, "stopped")
            assert (await switchover.outcome())["code"] == 0

    run(work())


# --- the whole, by the configuration on disk --------------------------------------------------------------------------


def configure(paths: Paths, *lines: str) -> None:
    paths.config.parent.mkdir(parents=True, exist_ok=True)
    paths.config.write_text("\n".join(["resources:", *lines, ""]))


def test_restart_and_reload_take_up_what_is_on_disk(paths: Paths) -> None:
    one = ("  web:", "    command: sleep 600")
    two = ("  mail:", "    command: sleep 601", "    depend_on: web")

    async def work() -> None:
        configure(paths, *one)
        async with playing(paths, plan()) as played:
            assert await played.done("restart") == (0, "restarted; this node is STANDALONE")
            web = played.leader("web")
            configure(paths, *one, *two)
            told = Scripted(lambda *_: None, OBEDIENT, [])
            played.node.stage.drivers["web"].reload = told.reload  # type: ignore[method-assign]
            assert await played.done("reload") == (0, "reloaded")
            assert len(told.told) == 1
            assert played.state("mail") is UnitState.RUNNING
            assert played.leader("web") == web
            assert await played.done("reload") == (0, "reloaded: nothing has changed")
            configure(paths, *one, "    bogus: 1")
            assert (await played.done("reload"))[0] == 6
            assert (await played.done("restart"))[0] == 6
            assert played.leader("web") == web
            configure(paths, *two[:2])
            assert await played.done("reload") == (0, "reloaded")
            await wait_for(lambda: not is_alive(web))
            names = {each["name"] for each in status(paths)["resources"]}
            assert "mail" in names
            assert "web" not in names

    run(work())


def test_two_restarts_of_everything_at_once(paths: Paths) -> None:
    configure(paths, "  web:", "    command: sleep 600")

    async def work() -> None:
        async with playing(paths, plan()) as played:
            clients = [await played.ask("restart") for _ in range(3)]
            outcomes = [(await client.outcome())["message"] for client in clients]
            assert "restarted; this node is STANDALONE" in outcomes
            await wait_for(lambda: played.node.decision.is_settled)
            assert played.state("web") is UnitState.RUNNING

    run(work())


def test_nothing_starts_in_an_agent_that_ends(paths: Paths) -> None:
    async def work() -> None:
        async with playing(paths, stubborn()) as played:
            end = asyncio.get_running_loop().create_task(played.node.stop_for_good())
            await wait_for(lambda: played.state("pgsql") is UnitState.STOPPING)
            assert (await played.done("start"))[1] == "cannot start anything: the agent is ending"
            await end
            assert played.node.stage.is_down()

    run(work())


def test_socket_below_a_deep_root(tmp_path: Path) -> None:
    deep = Paths(tmp_path / ("x" * 100) / ("y" * 100))
    deep.run.mkdir(parents=True)

    async def work() -> None:
        async with playing(deep, plan()) as played:
            assert await played.done("stop") == (0, "stopped")

    run(work())


def test_left_over_socket_is_replaced(paths: Paths) -> None:
    with socket.socket(socket.AF_UNIX) as old, reachable(paths.control) as name:
        old.bind(name)

    async def work() -> None:
        async with playing(paths, plan()) as played:
            assert await played.done("stop") == (0, "stopped")

    run(work())


def test_a_mount_that_is_held_is_waited_for_until_its_holders_are_ended(paths: Paths) -> None:
    async def work() -> None:
        stubs = Stubs()
        busy = (0.0, Event.STOP_FAILED, "cannot unmount /db: held by 7 (sh)")
        stubs.answers["filesystem"] = {**OBEDIENT, "terminate": busy}
        mounted = plan(unit("filesystem", kind=Kind.FILESYSTEM), unit("pgsql", needs=("filesystem",)))
        async with playing(paths, node=ScriptedNode(paths, mounted, stubs)) as played:
            assert await played.done("stop") == (0, "stopped")
            assert stubs.told["filesystem"] == ["start", "terminate", "kill"]

    run(work())
