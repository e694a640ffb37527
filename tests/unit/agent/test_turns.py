"""What a turn takes of the loop's time."""

import asyncio
import itertools
import time

import pytest

from escadm.agent.drivers.stage import WHILE
from escadm.agent.turns import LONGEST_REST, Turns
from escadm.core.decide import Decision, decide
from escadm.core.situation import Situation
from escadm.paths import Paths
from tests.unit.agent.world import OBEDIENT, Scripted, ScriptedNode, node_of, plan, run, unit, wait_for


def test_slow_turns_leave_half_of_the_time_to_others(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    spans: list[tuple[float, float]] = []

    async def work() -> None:
        loop = asyncio.get_running_loop()
        async with node_of(paths, plan()) as node:

            def slow(seen: Situation) -> Decision:
                spans.append((loop.time(), loop.time() + 0.05))
                while loop.time() < spans[-1][1]:
                    pass
                return decide(seen)

            with monkeypatch.context() as patch:
                patch.setattr("escadm.agent.node.decide", slow)
                for _ in range(4):
                    await node.turns.until(lambda: True)

    run(work())
    assert len(spans) >= 4
    assert all(begin - end >= end - started - 0.001 for (started, end), (begin, _) in itertools.pairwise(spans))


def test_a_turn_in_which_the_machine_stood_still_needs_no_rest_as_long(paths: Paths) -> None:
    async def work() -> None:
        loop = asyncio.get_running_loop()
        begun: list[float] = []
        turns = Turns(lambda: begun.append(loop.time()))
        turns.wake()
        await wait_for(lambda: begun)
        with pytest.MonkeyPatch.context() as patch:
            readings = [0.0, 3600.0]
            patch.setattr(loop, "time", lambda: readings.pop(0) if readings else 3600.0)
            turns._take()
        assert turns._rests_until <= 3600.0 + LONGEST_REST

    run(work())


def test_who_waits_is_answered_by_a_turn_that_comes_to_its_end(paths: Paths) -> None:
    async def work() -> None:
        taken: list[bool] = []
        turns = Turns(lambda: taken.append(True))
        waits = asyncio.create_task(turns.until(lambda: True))
        await wait_for(lambda: taken)
        assert not waits.done()
        turns.answer()
        await waits

    run(work())


def test_a_turn_comes_at_its_time_by_itself_and_none_after_the_end(paths: Paths) -> None:
    async def work() -> None:
        now = asyncio.get_running_loop().time
        taken: list[float] = []
        turns = Turns(lambda: taken.append(now()))
        turns.come_by(now())
        turns.come_by(due := now() + 0.05)
        await wait_for(lambda: taken)
        assert taken[0] >= due, "the newest time counts"
        turns.come_by(now() + 0.01)
        turns.come_by(None)
        turns.end()
        turns.wake()
        await asyncio.sleep(0.03)
        assert len(taken) == 1

    run(work())


def test_steps_are_taken_a_few_at_a_time(paths: Paths) -> None:
    """The peer is heard, and a question answered, while hundreds of services start."""
    started: list[float] = []
    heard: list[int] = []

    class Slow(Scripted):
        def start(self) -> None:
            end = time.thread_time() + 0.01
            while time.thread_time() < end:
                pass
            started.append(end)
            super().start()

    async def work() -> None:
        def listen() -> None:
            heard.append(len(started))
            asyncio.get_running_loop().call_later(0.001, listen)

        units = [unit(f"s{number}") for number in range(50)]
        node = ScriptedNode(paths, plan(*units), lambda _, post: Slow(post, OBEDIENT, []))
        listen()
        await node.turns.until(lambda: node.decision.is_settled)
        node.end()

    run(work())
    assert len(started) == 50
    in_one_turn = WHILE / 0.01 + 1
    assert max(after - before for before, after in itertools.pairwise(heard)) <= 2 * in_one_turn
