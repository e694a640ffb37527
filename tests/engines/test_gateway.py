"""The gateway, asked by the real ping in a network of the test's own, where its address comes and goes."""

from __future__ import annotations

import asyncio
import logging
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address

import pytest

from escadm.agent.inputs import gateway as gateway_module
from escadm.agent.inputs.gateway import LOST_AFTER, GatewayFeed
from escadm.core.specs import Address
from escadm.errors import NotInstalled
from escadm.system import ping
from escadm.system.run import listen
from tests.unit.agent.world import descriptors, run, wait_for

FIRST, SECOND = ip_address("192.0.2.1"), ip_address("192.0.2.2")
QUICK = 0.05


class Network:
    """A network namespace; the gateways are addresses of its own."""

    def __init__(self, holder: int) -> None:
        self.enter = ("nsenter", f"--net=/proc/{holder}/ns/net")
        self.asked: list[subprocess.Popen[bytes]] = []

    def ip(self, *words: str) -> None:
        subprocess.run([*self.enter, "ip", *words], check=True, capture_output=True, timeout=30)

    def add(self, address: Address) -> None:
        self.ip("address", "add", f"{address}/32", "dev", "lo")

    def remove(self, address: Address) -> None:
        self.ip("address", "del", f"{address}/32", "dev", "lo")

    def ping_once(self, address: Address) -> str:
        told = subprocess.run(
            [*self.enter, "ping", "-n", "-c", "1", "-w", "5", str(address)], capture_output=True, text=True, timeout=30
        )
        return told.stdout

    def listen(self, argv: list[str]) -> subprocess.Popen[bytes]:
        self.asked.append(listen([*self.enter, *argv]))
        return self.asked[-1]


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Iterator[Network]:
    holder = subprocess.Popen(
        ["unshare", "--net", "sh", "-c", "ip link set lo up && echo up && exec sleep 600"], stdout=subprocess.PIPE
    )
    assert holder.stdout
    assert holder.stdout.readline() == b"up\n"
    made = Network(holder.pid)
    monkeypatch.setattr(ping, "listen", made.listen)
    monkeypatch.setattr(gateway_module, "ASK_AGAIN", 0.02)
    yield made
    holder.kill()
    holder.communicate()
    for each in made.asked:
        each.wait(10)  # a ping that was left behind would go on for ever


@contextmanager
def asking(*addresses: Address, interval: float = QUICK) -> Iterator[tuple[GatewayFeed, list[bool | None]]]:
    """A feed that asks, and the news from it; that it is surely gone, which takes only time, is none."""
    news: list[bool | None] = []
    told: list[tuple[bool | None, bool]] = [(None, False)]

    def on_change() -> None:
        told.append((feed.reached, feed.gone))
        if told[-1][0] is not told[-2][0] or told[-1] == told[-2]:
            news.append(feed.reached)

    feed = GatewayFeed(on_change)
    feed.ask(addresses, interval)
    try:
        yield feed, news
    finally:
        feed.close()


def answers_of(feed: GatewayFeed) -> Callable[[], int]:
    """How many answers have come since."""
    count, expect = 0, feed._expect

    def counted() -> None:
        nonlocal count
        count += 1
        expect()

    feed._expect = counted  # type: ignore[method-assign]
    return lambda: count


def test_it_comes_goes_and_comes_back(network: Network, caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        network.add(FIRST)
        with asking(FIRST) as (feed, news):
            assert feed.reached is None
            await wait_for(lambda: feed.reached is True)
            network.remove(FIRST)
            await wait_for(lambda: feed.reached is False)
            network.add(FIRST)
            await wait_for(lambda: feed.reached is True)
        assert news == [True, False, True]
        assert feed.reached is None

    caplog.set_level(logging.INFO)
    run(work())
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("INFO", "gateway 192.0.2.1 answers"),
        ("WARNING", "gateway 192.0.2.1 does not answer"),
        ("INFO", "gateway 192.0.2.1 answers"),
    ]


def test_a_steady_gateway_is_no_news(network: Network) -> None:
    async def work() -> None:
        network.add(FIRST)
        with asking(FIRST, interval=0.3) as (feed, news):  # answers come late on a busy machine
            await wait_for(lambda: feed.reached)
            count = answers_of(feed)
            await wait_for(lambda: count() > 3 * LOST_AFTER)
        assert news == [True]
        assert len(network.asked) == 1

    run(work())


def test_an_answer_that_is_awaited_is_told(network: Network) -> None:
    async def work() -> None:
        network.add(FIRST)
        with asking(FIRST) as (feed, news):
            await wait_for(lambda: feed.reached is True)
            first = feed.answered_at
            feed.await_answer(awaited=True)
            await wait_for(lambda: len(news) > 2)
            assert first is not None
            assert feed.answered_at is not None
            assert feed.answered_at > first
            feed.await_answer(awaited=True)
            assert len(network.asked) == 2, "it is asked for at once, and once"
        assert feed.answered_at is None

    run(work())


def test_an_answer_that_is_awaited_does_not_wait_for_the_next_interval(network: Network) -> None:
    async def work() -> None:
        network.add(FIRST)
        with asking(FIRST, interval=1000.0) as (feed, news):
            await wait_for(lambda: feed.reached is True)
            feed.await_answer(awaited=True)
            await wait_for(lambda: len(news) > 1)

    run(work())


def test_no_route_at_first_ping_ends_and_is_started_again(network: Network) -> None:
    async def work() -> None:
        with asking(FIRST) as (feed, news):
            await wait_for(lambda: feed.reached is False)
            await wait_for(lambda: len(network.asked) > 3)
            assert all(each.returncode is not None for each in network.asked[:-1])
            network.add(FIRST)
            await wait_for(lambda: feed.reached is True)
        assert news == [False, True]

    run(work())


def test_nobody_there_is_told_by_the_network_or_not_at_all_and_is_no_answer(network: Network) -> None:
    """``Destination Host Unreachable`` is a line of ping's as well."""

    async def work() -> None:
        network.ip("link", "add", "wire", "type", "veth", "peer", "name", "far")
        network.ip("link", "set", "wire", "up")
        network.ip("link", "set", "far", "up")
        network.ip("address", "add", "192.0.2.9/24", "dev", "wire")
        with asking(FIRST) as (feed, news):
            await wait_for(lambda: feed.reached is False)
            assert "Destination Host Unreachable" in network.ping_once(FIRST)
            assert feed.reached is False
        assert news == [False]

    run(work())


def test_one_of_two_gateways_is_enough(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    heard, on_data = bytearray(), GatewayFeed._on_data

    def listen(feed: GatewayFeed, data: bytes) -> None:
        heard.extend(data)
        on_data(feed, data)

    async def work() -> None:
        monkeypatch.setattr(GatewayFeed, "_on_data", listen)
        network.add(FIRST)
        with asking(FIRST, SECOND, interval=0.3) as (feed, news):  # answers come late on a busy machine
            await wait_for(lambda: feed.reached is True)
            network.add(SECOND)
            await wait_for(lambda: f"from {SECOND}".encode() in heard)
            network.remove(FIRST)
            count = answers_of(feed)
            await wait_for(lambda: count() > 3 * LOST_AFTER)
            assert feed.reached is True
            network.remove(SECOND)
            await wait_for(lambda: feed.reached is False)
        assert news == [True, False]

    run(work())


def test_without_a_gateway_nothing_is_known_and_nobody_asked(network: Network) -> None:
    async def work() -> None:
        with asking() as (feed, news):
            await asyncio.sleep(0)
            assert feed.reached is None
        assert not network.asked
        assert not news

    run(work())


def test_a_reload_asks_others_or_nobody_and_leaves_the_same_ones_alone(network: Network) -> None:
    async def work() -> None:
        network.add(FIRST)
        with asking(FIRST) as (feed, _):
            await wait_for(lambda: feed.reached)
            feed.ask((FIRST,), QUICK)
            assert (feed.reached, len(network.asked)) == (True, 1)
            feed.ask((SECOND,), QUICK)
            assert feed.reached is None, "what is known of one gateway says nothing of another"
            await wait_for(lambda: feed.reached is False)
            feed.ask((), QUICK)
            assert feed.reached is None

    run(work())


def test_closing_leaves_no_process_no_descriptor_and_no_news(network: Network) -> None:
    async def work() -> None:
        network.add(FIRST)
        before = descriptors()
        with asking(FIRST, SECOND) as (feed, news):
            await wait_for(lambda: feed.reached and len(network.asked) > 2)
        await wait_for(lambda: all(each.returncode is not None for each in network.asked), "the end of each ping")
        await wait_for(lambda: descriptors() == before, "the descriptors of before")
        count, told = len(network.asked), len(news)
        feed.close()
        done = asyncio.Event()
        asyncio.get_running_loop().call_later(LOST_AFTER * QUICK * 2, done.set)
        await done.wait()
        assert (len(network.asked), len(news)) == (count, told)

    run(work())


def test_a_ping_that_is_killed_is_started_again(network: Network) -> None:
    async def work() -> None:
        network.add(FIRST)
        with asking(FIRST) as (feed, _):
            await wait_for(lambda: feed.reached)
            network.asked[0].kill()
            await wait_for(lambda: len(network.asked) == 2)
            await wait_for(lambda: feed.reached)

    run(work())


def test_without_ping_the_gateway_cannot_be_asked(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Told once, and taken for silence: a gateway that was named is to be asked."""
    tries: list[int] = []

    def no_ping(argv: list[str]) -> subprocess.Popen[bytes]:
        tries.append(1)
        raise NotInstalled(f"{argv[0]} is not installed")

    async def work() -> None:
        monkeypatch.setattr(ping, "listen", no_ping)
        monkeypatch.setattr(gateway_module, "ASK_AGAIN", 0.02)
        with asking(FIRST, SECOND) as (feed, _):
            await wait_for(lambda: feed.reached is False and len(tries) > 4)

    run(work())
    told = [record.getMessage() for record in caplog.records if record.getMessage().startswith("cannot")]
    assert told == [f"cannot ask the gateway {each}: ping is not installed" for each in (FIRST, SECOND)]


def test_it_is_gone_only_some_time_after_it_was_lost(network: Network) -> None:
    """By then a peer that has lost it too has said so."""

    async def work() -> None:
        network.add(FIRST)
        seen: list[tuple[bool | None, bool]] = []
        feed = GatewayFeed(lambda: seen.append((feed.reached, feed.gone)))
        feed.ask([FIRST], QUICK)
        await wait_for(lambda: feed.reached is True)
        network.remove(FIRST)
        await wait_for(lambda: feed.gone)
        network.add(FIRST)
        await wait_for(lambda: feed.reached is True)
        feed.close()
        assert seen == [(True, False), (False, False), (False, True), (True, False)]

    run(work())
