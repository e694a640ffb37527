"""The link between the agents of a pair, over two loopback addresses; and what comes in that is none of ours."""

import asyncio
import json
import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from escadm.agent.inputs import peer_link as link_module
from escadm.agent.inputs.identity import Identity
from escadm.agent.inputs.peer_link import LOST_AFTER, PORT
from escadm.agent.inputs.peer_links import PeerLinks
from escadm.core.drbd.evidence import Evidence, encode
from escadm.core.role import Peer
from escadm.core.states import Role, Vrrp
from escadm.paths import Paths
from escadm.system import datagram
from tests.unit.agent.world import LOOPBACK, run, wait_for

HERE, THERE, STRANGER = f"{LOOPBACK}2", f"{LOOPBACK}3", f"{LOOPBACK}4"
SAID: dict[str, Any] = {"escadm": 1, "vrrp": "BACKUP", "role": "BACKUP", "fit": True, "settled": True}
QUICK, STEADY, SLOW = 0.02, 0.2, 60.0


# --- the link ---------------------------------------------------------------------------------------------

FOLDER: list[Path] = []
HEARD = Peer(THERE, True, Vrrp.BACKUP, Role.BACKUP, True, True, (), {}, near=True, hears_us=True)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path) -> None:
    """Where the nodes of a test have their keys."""
    FOLDER[:] = [tmp_path]


def identity_of(address: str) -> Identity:
    """That of the node whose addresses end with the same figure."""
    return Identity(Paths(FOLDER[0] / address[-1]))


class Side:
    """One end of the link; what it says may be changed."""

    def __init__(self, source: str, other: str, interval: float = QUICK) -> None:
        self.said = dict(SAID)
        self.changes: list[Peer] = []
        paths = [(ip_address(source), ip_address(other))]
        self.link = PeerLinks(paths, interval, self.tell, self._changed, identity_of(source))

    def tell(self) -> dict[str, Any]:
        return {key: value for key, value in self.said.items() if key != "escadm"}

    def _changed(self) -> None:
        self.changes.append(self.link.peer)

    async def __aenter__(self) -> "Side":
        await self.link.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.link.close()
        await asyncio.sleep(0)


@contextmanager
def voice(source: str) -> Iterator[Callable[[bytes], object]]:
    """A socket at ``source`` that speaks to HERE from the agents' port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((source, PORT))
        yield lambda data: sock.sendto(data, (HERE, PORT))


def test_both_hear_each_other_and_no_news_is_no_change() -> None:
    async def work() -> None:
        async with Side(HERE, THERE, STEADY) as one, Side(THERE, HERE, STEADY) as two:
            await wait_for(lambda: one.link.peer.hears_us and two.link.peer.hears_us)
            assert one.link.peer == HEARD
            heard, changes = count_of(one), len(one.changes)
            await wait_for(lambda: heard() >= 5)
            assert len(one.changes) == changes

    def count_of(side: Side) -> Callable[[], int]:
        count = 0
        receive = side.link._links[0]._hear

        def counted(content: bytes) -> None:
            nonlocal count
            count += 1
            receive(content)

        side.link._links[0]._hear = counted  # type: ignore[method-assign]
        return lambda: count

    run(work())


def test_news_is_pushed_at_once() -> None:
    async def work() -> None:
        async with Side(HERE, THERE, SLOW) as one, Side(THERE, HERE, SLOW) as two:
            await wait_for(lambda: one.link.peer.heard and two.link.peer.heard)
            one.said |= {"vrrp": "MASTER", "role": "MASTER"}
            one.link.say()
            await wait_for(lambda: two.link.peer.role is Role.MASTER)
            one.link.say()

    run(work())


def test_first_word_is_answered_at_once() -> None:
    async def work() -> None:
        async with Side(HERE, THERE, SLOW) as one, Side(THERE, HERE, SLOW) as two:
            await wait_for(lambda: one.link.peer.heard and two.link.peer.heard)

    run(work())


def test_silence(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    async def work() -> None:
        loop = asyncio.get_running_loop()
        async with Side(HERE, THERE, STEADY) as one:
            async with Side(THERE, HERE, STEADY) as two:
                two.said |= {"reasons": ["x"], "replica": encode(Evidence("Primary"))}
                await wait_for(lambda: one.link.peer.reasons)
            quiet = loop.time()
            await wait_for(lambda: not one.link.peer.heard)
            assert loop.time() - quiet > STEADY * (LOST_AFTER - 1.5)
            assert one.link.peer == Peer(THERE, reasons=("x",), pairing={})
            assert one.changes[-1] == one.link.peer
            async with Side(THERE, HERE, STEADY):
                await wait_for(lambda: one.link.peer.heard)
        messages = [record.message for record in caplog.records if record.message.startswith(f"peer {THERE}")]
        assert messages == [
            f"peer {THERE} is connected (BACKUP)",
            f"peer {THERE} is silent",
            f"peer {THERE} is connected (BACKUP)",
        ]

    run(work())


def test_strangers_are_not_heard() -> None:
    async def work() -> None:
        async with Side(HERE, THERE, SLOW) as one:
            with voice(STRANGER) as stranger, voice(THERE) as friend:
                stranger(json.dumps({**SAID, "role": "MASTER"}).encode())
                friend(json.dumps(SAID).encode())
                await wait_for(lambda: one.link.peer.heard)
                assert one.changes == [replace(HEARD, hears_us=None)]

    run(work())


def test_garbage_from_the_peer_is_told_once_and_counts_as_silence(caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        async with Side(HERE, THERE, SLOW) as one:
            with voice(THERE) as friend:
                for _ in range(20):
                    friend(b"\x1b[2J nonsense")
                    friend(b"[" * 60_000)
                friend(json.dumps(SAID).encode())
                await wait_for(lambda: one.link.peer.heard)

    run(work())
    told = [record for record in caplog.records if "not understood" in record.message]
    assert len(told) == 1
    assert "\x1b" not in caplog.text


def test_garbage_that_alternates_does_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        async with Side(HERE, THERE, SLOW) as one:
            with voice(THERE) as friend:
                for number in range(20):
                    friend(b'{"escadm": %d}' % (number + 2))
                    friend(json.dumps(SAID).encode())
                    friend(broken)
                friend(json.dumps({**SAID, "fit": False}).encode())
                await wait_for(lambda: one.link.peer.heard and not one.link.peer.fit)

    broken = json.dumps({"escadm": 2, "hello": {"key": "?"}}).encode()
    run(work())
    assert len([record for record in caplog.records if "not understood" in record.message]) == 1


def test_address_that_is_not_there_yet_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(link_module, "RETRY_BIND", 0.01)
    attempts = 0

    async def work() -> None:
        loop = asyncio.get_running_loop()
        bind = datagram.open_path

        def counted(*arguments: Any) -> Any:
            nonlocal attempts
            attempts += 1
            return bind(*arguments)

        monkeypatch.setattr(link_module, "open_path", counted)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as squatter:
            squatter.bind((HERE, PORT))
            one = Side(HERE, THERE)
            opening = loop.create_task(one.link.open())
            await wait_for(lambda: attempts >= 5)
        await opening
        async with Side(THERE, HERE):
            await wait_for(lambda: one.link.peer.heard)
        one.link.close()

    run(work())
    assert len([record for record in caplog.records if "cannot listen for the peer" in record.message]) == 1


def test_closed_while_it_opens_it_leaves_the_port(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        loop = asyncio.get_running_loop()
        for turns in range(4):
            one = Side(HERE, THERE)
            opening = loop.create_task(one.link.open())
            for _ in range(turns):
                await asyncio.sleep(0)
            one.link.close()
            await opening
            await asyncio.sleep(0)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
                other.bind((HERE, PORT))

    run(work())


def test_closed_it_says_and_hears_nothing_more() -> None:
    async def work() -> None:
        one = Side(HERE, THERE)
        await one.link.open()
        one.link.close()
        one.said["fit"] = False
        one.link.say()
        one.link.close()
        with voice(THERE) as friend:
            friend(json.dumps(SAID).encode())
        assert not one.changes

    run(work())


def test_defect_in_what_is_told_does_not_silence_the_node_for_ever() -> None:
    async def work() -> None:
        heard: list[dict[str, Any]] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: heard.append(context))
        async with Side(HERE, THERE) as one, Side(THERE, HERE) as two:
            await wait_for(lambda: two.link.peer.heard)
            good, one.said = one.said, None  # type: ignore[assignment]
            await wait_for(lambda: heard)
            one.said = {**good, "role": "MASTER"}
            await wait_for(lambda: two.link.peer.role is Role.MASTER)

    asyncio.run(work())


# --- two paths --------------------------------------------------------------------------------------------

FAR_HERE, FAR_THERE = f"{LOOPBACK}12", f"{LOOPBACK}13"
PATHS = [(ip_address(HERE), ip_address(THERE)), (ip_address(FAR_HERE), ip_address(FAR_THERE))]


class Sides:
    """This node, with both paths; the other one is two links, of which each may fall silent."""

    def __init__(self) -> None:
        self.said = dict(SAID)
        self.changes: list[Peer] = []
        self.links = PeerLinks(PATHS, STEADY, self.tell, self._changed, identity_of(HERE))
        self.near, self.far = Side(THERE, HERE, STEADY), Side(FAR_THERE, FAR_HERE, STEADY)

    def tell(self) -> dict[str, Any]:
        return {key: value for key, value in self.said.items() if key != "escadm"}

    def _changed(self) -> None:
        self.changes.append(self.links.peer)

    def knows(self, *, heard: bool, near: bool) -> bool:
        return (self.links.peer.heard, self.links.peer.near) == (heard, near)

    def tells(self, role: str) -> Callable[[], bool]:
        return lambda: self.links.peer.role == role

    async def __aenter__(self) -> "Sides":
        for link in (self.links, self.near.link, self.far.link):
            await link.open()
        await wait_for(lambda: all(link.peer.heard for link in self.links._links))
        return self

    async def __aexit__(self, *_: object) -> None:
        for link in (self.links, self.near.link, self.far.link):
            link.close()
        await asyncio.sleep(0)


def test_a_peer_is_heard_as_long_as_one_path_speaks() -> None:
    async def work() -> None:
        async with Sides() as sides:
            assert sides.knows(heard=True, near=True)
            sides.near.link.close()
            await wait_for(lambda: sides.knows(heard=True, near=False))
            assert sides.links.peer.address == THERE, "it has one name, whichever path speaks"
            sides.far.said["fit"] = False
            await wait_for(lambda: not sides.links.peer.fit)
            sides.far.link.close()
            await wait_for(lambda: sides.knows(heard=False, near=False))
            async with Side(THERE, HERE, STEADY):
                await wait_for(lambda: sides.knows(heard=True, near=True))

            assert [change.heard for change in sides.changes].count(False) == 1, "not while one path spoke"

    run(work())


def test_the_second_path_alone_falls_silent_without_news() -> None:
    async def work() -> None:
        async with Sides() as sides:
            count = len(sides.changes)
            sides.far.link.close()
            await wait_for(lambda: not sides.links._links[1].peer.heard)
            assert sides.knows(heard=True, near=True)
            assert len(sides.changes) == count

    run(work())


def test_the_newest_word_counts_whichever_path_it_takes() -> None:
    async def work() -> None:
        async with Sides() as sides:
            for side, role in ((sides.near, "MASTER"), (sides.far, "FAULT")):
                for other in (sides.near, sides.far):
                    other.said["role"] = role
                side.link.say()
                await wait_for(sides.tells(role))

    run(work())


def test_a_word_that_was_made_old_is_new_again_once_it_is_said_again() -> None:
    async def work() -> None:
        async with Sides() as sides:
            await wait_for(lambda: sides.knows(heard=True, near=True))
            sides.links.age()
            assert sides.links.peer.stale
            count = len(sides.changes)
            await wait_for(lambda: not sides.links.peer.stale)
            assert not sides.changes[count].stale, "who waits for a newer word is told of it"
            sides.near.link.close()
            sides.far.link.close()
            await wait_for(lambda: not sides.links.peer.heard)
            sides.links.age()
            assert not sides.links.peer.stale, "a silence is no word"

    run(work())


def test_news_goes_out_on_both_paths_at_once() -> None:
    async def work() -> None:
        async with Sides() as sides:
            sides.said["role"] = "MASTER"
            sides.links.say()
            await wait_for(lambda: all(side.link.peer.role is Role.MASTER for side in (sides.near, sides.far)))

    run(work())


def test_a_path_whose_address_is_not_there_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_module, "RETRY_BIND", 0.01)

    async def work() -> None:
        paths = [(ip_address("192.0.2.77"), ip_address("192.0.2.78")), (ip_address(HERE), ip_address(THERE))]
        said = {key: SAID[key] for key in SAID if key != "escadm"}
        links = PeerLinks(paths, QUICK, lambda: said, lambda: None, identity_of(HERE))
        opening = asyncio.create_task(links.open())
        async with Side(THERE, HERE, STEADY):
            await wait_for(lambda: links.peer.heard)
            assert (links.peer.address, links.peer.near) == ("192.0.2.78", False)
        links.close()
        await opening

    run(work())


def test_another_process_of_the_peer_is_not_its_agent() -> None:
    async def work() -> None:
        async with Side(HERE, THERE, SLOW) as one:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other, voice(THERE) as friend:
                other.bind((THERE, 0))
                other.sendto(json.dumps({**SAID, "role": "MASTER"}).encode(), (HERE, PORT))
                friend(json.dumps(SAID).encode())
                await wait_for(lambda: one.link.peer.heard)
                assert [peer.role for peer in one.changes] == [Role.BACKUP]

    run(work())
