"""The links of two agents with keys: the first contact, restarts, versions without keys, replaced peers."""

import asyncio
import json
import logging
import socket
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from escadm.agent.inputs.identity import Identity
from escadm.agent.inputs.peer_link import PORT, RENEW_AFTER
from escadm.agent.inputs.peer_links import PeerLinks
from escadm.core.session import NO_KEY, OTHER_KEY, ROUTED, fingerprint
from escadm.core.states import Role
from escadm.errors import Failed
from escadm.paths import Paths
from escadm.system import keys
from tests.unit.agent.world import LOOPBACK, run, wait_for

HERE, THERE = f"{LOOPBACK}2", f"{LOOPBACK}3"
SAID: dict[str, Any] = {"vrrp": "BACKUP", "role": "BACKUP", "fit": True, "settled": True}
STEADY, SLOW = 0.2, 60.0


class Side:
    """A node with its key files in ``folder``; each ``with`` is a life of its agent."""

    def __init__(self, folder: Path, here: str, there: str, interval: float = SLOW) -> None:
        self.paths, self.interval = Paths(folder / here), interval
        self.route = [(ip_address(here), ip_address(there))]
        self.said = dict(SAID)
        self.changes = 0

    def changed(self) -> None:
        self.changes += 1

    async def __aenter__(self) -> "Side":
        self.links = PeerLinks(self.route, self.interval, lambda: self.said, self.changed, Identity(self.paths))
        await self.links.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.links.close()
        await asyncio.sleep(0)

    @property
    def pinned(self) -> bytes | None:
        return keys.read_key(self.paths.peer_pub)

    @property
    def key(self) -> bytes:
        found = keys.read_key(self.paths.node_pub)
        assert found is not None
        return found

    def hears(self, *, us: bool | None) -> Callable[[], bool]:
        return lambda: (self.links.peer.heard, self.links.peer.hears_us) == (True, us)

    def loses_key(self) -> None:
        for file in (self.paths.node_key, self.paths.node_pub, self.paths.peer_pub):
            file.unlink()


@pytest.fixture
def one(tmp_path: Path) -> Side:
    return Side(tmp_path, HERE, THERE)


@pytest.fixture
def two(tmp_path: Path) -> Side:
    return Side(tmp_path, THERE, HERE)


class Old(asyncio.DatagramProtocol):
    """The agent of a version without keys, word for word what such a one sends and takes."""

    def __init__(self, here: str, there: str) -> None:
        self.here, self.there = here, there
        self.heard: list[dict[str, Any]] = []
        self.strange = 0

    async def __aenter__(self) -> "Old":
        loop = asyncio.get_running_loop()
        self.transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=(self.here, PORT))
        self.beat = loop.create_task(self.speak())
        return self

    async def __aexit__(self, *_: object) -> None:
        self.beat.cancel()
        self.transport.close()
        await asyncio.sleep(0)

    async def speak(self) -> None:
        while True:
            self.transport.sendto(json.dumps({"escadm": 1, **SAID, "role": "MASTER"}).encode(), (self.there, PORT))
            await asyncio.sleep(STEADY)

    def datagram_received(self, data: bytes, address: tuple[Any, ...]) -> None:
        try:
            told = json.loads(data)
            assert told["escadm"] == 1
            self.heard.append(dict(told))
        except (ValueError, KeyError, AssertionError):
            self.strange += 1


# --- known to each other ----------------------------------------------------------------------------------


def test_each_pins_the_others_key_and_hears_whether_it_is_heard(one: Side, two: Side) -> None:
    async def work() -> None:
        async with one, two:
            await wait_for(lambda: one.hears(us=True)() and two.hears(us=True)())
            assert (one.pinned, two.pinned) == (two.key, one.key)
            known = one.links.acquaintance()
            assert (known.node_key, known.peer_key) == (fingerprint(one.key), fingerprint(two.key))
            assert not known.stranger
            identities = [side.links._identity for side in (one, two)]
            assert identities[0].secret == identities[1].secret is not None
            identities[0].forget()
            assert identities[0].secret is None

    run(work())


def test_one_way_silence_is_said_by_the_side_that_still_hears(one: Side, two: Side) -> None:
    """``two`` hears nothing any more, and is heard."""
    one.interval = two.interval = STEADY

    async def work() -> None:
        async with one, two:
            await wait_for(lambda: one.hears(us=True)() and two.hears(us=True)())
            link = two.links._links[0]
            assert link._path is not None
            asyncio.get_running_loop().add_reader(link._path.sock, link._path.receive)
            await wait_for(lambda: not two.links.peer.heard)
            await wait_for(one.hears(us=False))
            renewed = one.links._links[0]._session
            await wait_for(lambda: renewed is not None and renewed._before is not None, f"{RENEW_AFTER} such words")
            asyncio.get_running_loop().add_reader(link._path.sock, link._readable)
            await wait_for(lambda: one.hears(us=True)() and two.hears(us=True)(), "it heals by itself")

    run(work())


@pytest.mark.parametrize("who", [0, 1])
def test_after_a_restart_of_either_agent_they_know_each_other_at_once(one: Side, two: Side, who: int) -> None:
    sides = one, two

    async def work() -> None:
        async with sides[1 - who] as stays:
            async with sides[who]:
                await wait_for(stays.hears(us=True))
            sides[who].said["role"] = "FAULT"
            async with sides[who]:
                await wait_for(lambda: stays.links.peer.role is Role.FAULT)
                await wait_for(sides[who].hears(us=True))
            assert not stays.links.acquaintance().stranger

    run(work())


def test_a_forgotten_key_is_pinned_anew_and_the_peer_heard_throughout(one: Side, two: Side) -> None:
    async def work() -> None:
        async with one, two:
            await wait_for(lambda: one.hears(us=True)() and two.hears(us=True)())
            heard: list[bool] = []
            one.links._on_change = lambda: heard.append(one.links.peer.heard)
            assert fingerprint(two.key) in one.links.forget()
            assert one.pinned is None
            await wait_for(lambda: one.pinned == two.key)
            two.said["role"] = "FAULT"
            two.links.say()
            await wait_for(lambda: one.links.peer.role is Role.FAULT)
            assert all(heard), "a key that is forgotten is no silence: DRBD would be told that the peer is dead"

    run(work())


# --- versions without keys --------------------------------------------------------------------------------


def test_an_upgrade_one_after_the_other(one: Side, two: Side, caplog: pytest.LogCaptureFixture) -> None:
    one.interval = STEADY

    async def work() -> None:
        async with one:
            async with Old(THERE, HERE) as old:
                await wait_for(one.hears(us=None))
                await wait_for(lambda: len(old.heard) > 3)
                assert {told["role"] for told in old.heard} == {"BACKUP"}
                assert not old.strange, "it would warn of each"
                assert one.pinned is None
            async with two:
                await wait_for(lambda: one.hears(us=True)() and two.hears(us=True)())
            changes = one.changes
            async with Old(THERE, HERE) as old:
                await wait_for(lambda: NO_KEY in one.links.acquaintance().stranger)
                await wait_for(lambda: not one.links.peer.heard)
                assert one.links.peer.role is None
                assert one.changes <= changes + 2, "the stranger, and the silence"
                one.links.forget()
                await wait_for(one.hears(us=None), "a version that was put back on purpose")

    run(work())
    assert len([record for record in caplog.records if NO_KEY in record.message]) == 1


# --- another key ------------------------------------------------------------------------------------------


def test_a_replaced_peer_is_a_stranger_until_it_is_trusted(
    one: Side, two: Side, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    one.interval = two.interval = STEADY

    async def work() -> None:
        async with one:
            async with two:
                await wait_for(one.hears(us=True))
            old = fingerprint(two.key)
            two.loses_key()
            async with two:
                await wait_for(lambda: OTHER_KEY in one.links.acquaintance().stranger)
                await wait_for(lambda: not one.links.peer.heard)
                new = fingerprint(two.key)
                with pytest.raises(Failed, match="cannot tell which key"):
                    one.links.trust("SHA256:another")
                assert one.links.trust(new) == f"the peer's key was {old}, and is {new} from now on"
                await wait_for(lambda: one.hears(us=True)() and two.hears(us=True)())
                assert not one.links.acquaintance().stranger
                assert one.pinned == two.key
                assert one.links.trust(new) == f"the peer's key is {new} already"
                with pytest.raises(Failed, match="nobody offers another key"):
                    one.links.trust("")

    run(work())


def test_a_key_that_cannot_be_written_down_is_not_trusted(one: Side, two: Side) -> None:
    one.interval = two.interval = STEADY

    async def work() -> None:
        async with one:
            async with two:
                await wait_for(one.hears(us=True))
            old = fingerprint(two.key)
            two.loses_key()
            async with two:
                await wait_for(lambda: OTHER_KEY in one.links.acquaintance().stranger)
                one.paths.peer_pub.unlink()
                one.paths.peer_pub.mkdir()
                with pytest.raises(Failed, match="is a directory"):
                    one.links.trust("")
                assert one.links.acquaintance().peer_key == old

    run(work())


def test_a_broken_key_file_is_told_and_the_agent_waits_for_a_good_one(
    one: Side, two: Side, caplog: pytest.LogCaptureFixture
) -> None:
    one.paths.node_key.parent.mkdir(parents=True)
    one.paths.node_key.write_text("no key at all")

    async def work() -> None:
        async with two:
            beginning = asyncio.create_task(one.__aenter__())
            await wait_for(lambda: "cannot use" in caplog.text)
            one.paths.node_key.unlink()
            await beginning
            await wait_for(one.hears(us=True))
            one.links.close()

    run(work())
    assert "no key" not in caplog.text
    assert caplog.text.count("cannot use") == 1


def test_what_comes_through_a_router_is_a_strangers(one: Side) -> None:
    async def work() -> None:
        async with one:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
                out.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 254)
                out.bind((THERE, PORT))
                hello = {"escadm": 2, "hello": {"key": "A" * 43 + "=", "session": "A" * 22 + "=="}}
                out.sendto(json.dumps(hello).encode(), (HERE, PORT))
                await wait_for(lambda: ROUTED in one.links.acquaintance().stranger)
            assert not one.links._links[0].offered()

    run(work())


def test_many_strangers_do_not_wake_the_node_again_and_again(one: Side, two: Side) -> None:
    async def work() -> None:
        async with one, two:
            await wait_for(lambda: one.hears(us=True)() and two.hears(us=True)())
            two.links.close()
            await asyncio.sleep(0)
            changes = one.changes
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
                out.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 255)
                out.bind((THERE, PORT))
                for number in range(300):
                    key, session = f"{number:043d}=", "A" * 22 + "=="
                    hello = {"escadm": 2, "hello": {"key": key, "session": session, "answer": True}}
                    for data in (json.dumps(hello).encode(), b"garbage", json.dumps({"escadm": 1, **SAID}).encode()):
                        out.sendto(data, (HERE, PORT))
                    await asyncio.sleep(0)
                await wait_for(lambda: NO_KEY in one.links._links[0]._impostors._until)
            assert one.changes <= changes + 3
            assert one.hears(us=True)()

    run(work())
