"""The sign of life: what it rests on, and what systemd is told with it."""

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from escadm.agent.node import Node
from escadm.agent.outputs import heartbeat as heartbeat_module
from escadm.agent.outputs.heartbeat import Pulse
from escadm.paths import Paths
from escadm.system.alive import beat_age
from tests.unit.agent.world import node_of, plan, python, run, unit, wait_for

DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat_module, "INTERVAL", 0.01)


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[str]]:
    """What systemd was told so far, by datagram; looked at by ``listen``."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "60000")
        monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
        told = Told(manager)
        yield told


class Told(list[str]):
    def __init__(self, manager: socket.socket) -> None:
        super().__init__()
        self._manager = manager

    def has(self, line: str) -> bool:
        """Whether systemd has been told a line that begins like this."""
        while True:
            try:
                self.extend(self._manager.recv(4096).decode().split("\n"))
            except BlockingIOError:
                return any(each.startswith(line) for each in self)


def beating(node: Node) -> asyncio.Task[None]:
    return asyncio.get_running_loop().create_task(Pulse(node).run())


def test_sign_of_life_comes_back(paths: Paths, caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        async with node_of(paths, plan()) as node:
            beat = beating(node)
            await wait_for(lambda: beat_age(paths.beat) is not None)
            paths.beat.unlink()
            paths.beat.mkdir()
            await wait_for(lambda: "give a sign of life" in caplog.text)
            paths.beat.rmdir()
            await wait_for(paths.beat.is_file)
            beat.cancel()

    run(work())


def test_status_that_misleads_has_no_sign(paths: Paths, heard: Told) -> None:
    async def work() -> None:
        async with node_of(paths, plan()) as node:
            beat = beating(node)
            await wait_for(paths.beat.exists)
            paths.status.unlink()
            paths.status.mkdir()
            await wait_for(lambda: node.outputs.misleads)
            heard.has("")
            heard.clear()
            paths.beat.unlink()
            await wait_for(lambda: heard.has("WATCHDOG=1"))
            assert not paths.beat.exists()
            paths.status.rmdir()
            await wait_for(paths.beat.exists)
            beat.cancel()

    run(work())


def test_no_turn_no_sign(paths: Paths, heard: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop goes on, but the reconciler does not get to its end."""

    async def work() -> None:
        async with node_of(paths, plan()) as node:
            beat = beating(node)
            await wait_for(lambda: heard.has("WATCHDOG=1"))
            with monkeypatch.context() as hang:
                hang.setattr(node.turns, "_turn", lambda: None)
                await wait_for(lambda: node.turns._waiting)
                heard.clear()
                paths.beat.unlink()
                await asyncio.sleep(0.2)
                assert not heard.has("")
                assert not paths.beat.exists()
            node.turns.wake()
            await wait_for(lambda: heard.has("WATCHDOG=1"))
            beat.cancel()

    run(work())


def test_systemd_sees_the_status_line(paths: Paths, heard: Told) -> None:
    async def work() -> None:
        async with node_of(paths, plan(unit("web"))) as node:
            beat = beating(node)
            await wait_for(lambda: heard.has("STATUS=ESC Standalone Healthy"))
            assert len([each for each in heard if each.startswith("STATUS=ESC Standalone Healthy")]) == 1
            beat.cancel()

    run(work())


def test_without_a_watchdog_none_is_fed(paths: Paths, heard: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_PID", "1")  # somebody else's

    async def work() -> None:
        async with node_of(paths, plan()) as node:
            beat = beating(node)
            await wait_for(lambda: heard.has("STATUS="))
            await wait_for(lambda: beat_age(paths.beat) is not None)
            assert not heard.has("WATCHDOG")
            beat.cancel()

    run(work())


def test_a_stop_asks_for_more_time_only_while_it_gets_on(
    paths: Paths, heard: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat_module, "KILL_TIMEOUT", 0.0)

    async def work() -> None:
        async with node_of(paths, plan(python("deaf", DEAF, stop_timeout=1.0))) as node:
            beat = beating(node)
            log = paths.log_directory / "deaf.log"
            await wait_for(lambda: node.decision.is_settled and log.exists() and "deaf" in log.read_text())
            assert not heard.has("EXTEND")
            stop = asyncio.get_running_loop().create_task(node.stop_for_good())
            await wait_for(lambda: heard.has("EXTEND_TIMEOUT_USEC=30000000"))
            node.stage.units["deaf"] = unit("deaf", stop_timeout=0.0)  # longer than it may take: no progress any more
            heard.has("")
            heard.clear()
            await wait_for(lambda: heard.has("WATCHDOG=1"))
            assert not heard.has("EXTEND")
            await wait_for(lambda: heard.has("nothing of the kind") or stop.done())
            beat.cancel()

    run(work())
