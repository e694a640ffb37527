"""Who looks at the machine's processes, when, and how often."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from escadm.agent.inputs import looks as module
from escadm.agent.inputs.looks import Looks
from escadm.core.lifecycle import Event
from escadm.core.probes import Alive
from escadm.paths import Paths
from escadm.system.process import identify, is_alive, send
from escadm.system.processes import Processes, look
from tests.unit.agent.test_service import DAEMON, playing
from tests.unit.agent.world import node_of, plan, python, run, unit, wait_for

DEAF = """
import os, signal, time
signal.signal(signal.SIGTERM, lambda *_: open(os.environ["AT"] + "/asked", "w").write("1"))
open(os.environ["AT"] + "/up", "w").write(str(os.getpid()))
while True: time.sleep(1)
"""


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The threads that have looked."""
    threads: list[int] = []

    def counted(*, scoped: bool) -> Processes:
        threads.append(threading.get_ident())
        return look(scoped=scoped)

    monkeypatch.setattr(module, "look", counted)
    return threads


def test_a_service_whose_leader_lives_needs_none(paths: Paths, taken: list[int]) -> None:
    async def work() -> None:
        async with playing(paths, python("pgsql", DEAF)) as player:
            await player.writes("up")
            player.driver.terminate()
            await player.writes("asked")
            assert not taken

    run(work())


def test_all_that_end_at_the_same_time_share_few_and_none_is_taken_by_the_loop(paths: Paths, taken: list[int]) -> None:
    names = [f"s{number}" for number in range(40)]

    async def work() -> None:
        async with node_of(paths, plan(*(unit(name, ready=Alive(0)) for name in names))) as node:
            await node.turns.until(lambda: node.decision.is_settled)
            assert not taken
            node.wishes.active = False
            await node.turns.until(node.stage.is_down)
            assert 1 <= len(taken) < 20
            assert threading.get_ident() not in taken

    run(work())


def test_who_asks_meanwhile_is_told_of_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one under way may have read what has ended since, or have passed by what was started since."""
    going, go_on = threading.Event(), threading.Event()
    made: list[Processes] = []

    def slow(*, scoped: bool) -> Processes:
        going.set()
        assert go_on.wait(10)
        made.append(look(scoped=scoped))
        return made[-1]

    monkeypatch.setattr(module, "look", slow)
    told: list[tuple[str, Processes]] = []

    def teller(name: str) -> Callable[[Processes], None]:
        return lambda seen: told.append((name, seen))

    async def work() -> None:
        looks = Looks(scoped=False)
        looks.ask(teller("first"))
        looks.ask(teller("second"))
        await asyncio.to_thread(going.wait)
        looks.ask(teller("third"))
        go_on.set()
        await wait_for(lambda: len(told) == 3)
        assert told == [("first", made[0]), ("second", made[0]), ("third", made[1])]
        assert made[0] is not made[1]

    run(work())


def test_a_look_that_fails_is_no_answer(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AGAIN", 0.01)
    failures = [OSError(24, "Too many open files")] * 3

    def fails(*, scoped: bool) -> Processes:
        if failures:
            raise failures.pop()
        return look(scoped=scoped)

    monkeypatch.setattr(module, "look", fails)

    async def work() -> None:
        async with playing(paths, python("pgsql", DAEMON)) as player:
            daemon = await player.writes("daemon")
            (paths.root / "go").touch()
            await player.hears(Event.EXITED)
            player.driver.kill()
            await player.hears(Event.GONE)
            assert not failures
            assert identify(daemon) is None

    run(work())


def test_nothing_seen_counts_only_if_it_is_sure_or_seen_twice(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [Processes({}, {}, settled=False)]
    monkeypatch.setattr(module, "look", lambda *, scoped: answers.pop() if answers else look(scoped=scoped))

    async def work() -> None:
        async with playing(paths, python("pgsql", DAEMON)) as player:
            await player.writes("daemon")
            (paths.root / "go").touch()
            await player.hears(Event.EXITED)
            player.driver.kill()
            await player.hears(Event.GONE)
            assert not answers
            assert not player.left()

    run(work())


def test_a_machine_that_forks_all_the_time_does_not_hold_up_a_stop(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("escadm.system.processes.MOST_LISTINGS", 1)

    async def work() -> None:
        async with playing(paths, unit("pgsql")) as player:
            player.driver.terminate()
            await player.hears(Event.GONE)

    run(work())


def test_a_kill_of_a_leader_that_lives_waits_for_no_look(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()

    def slow(*, scoped: bool) -> Processes:
        assert go_on.wait(10)
        return look(scoped=scoped)

    monkeypatch.setattr(module, "look", slow)

    async def work() -> None:
        async with playing(paths, python("pgsql", DEAF)) as player:
            await player.writes("up")
            player.driver.kill()
            await wait_for(lambda: not is_alive(player.leader))
            assert not player.heard(Event.GONE)
            go_on.set()
            await player.hears(Event.GONE)

    run(work())


def test_who_is_gone_does_nothing_to_the_next_incarnation(paths: Paths) -> None:
    """A timer may ask for a kill in the very moment in which the last look has found nothing."""

    async def work() -> None:
        async with playing(paths, unit("pgsql")) as first:
            first.driver.kill()
            await first.hears(Event.GONE)
            first.posted.clear()
            async with playing(paths, unit("pgsql")) as second:
                first.driver.kill()
                await first.hears(Event.GONE)
                assert is_alive(second.leader)
                assert [process.pid for process in second.left()] == [second.leader.pid]

    run(work())


def test_what_is_stopped_after_its_leader_has_ended_is_asked_to_end(paths: Paths) -> None:
    """The leader's end and the stop may cross: what is left has not been asked by anybody then."""

    async def work() -> None:
        async with playing(paths, python("pgsql", DAEMON)) as player:
            daemon = await player.writes("daemon")
            send(player.leader, "SIGKILL")
            await player.hears(Event.EXITED)
            player.driver.terminate()
            await player.hears(Event.GONE)
            assert identify(daemon) is None

    run(work())
