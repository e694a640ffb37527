"""All that a node hears and sees: where each of it gets to, and who hears of it."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from escadm.agent.inputs import inputs as inputs_module
from escadm.agent.inputs.inputs import Inputs
from escadm.core.adverts import Adverts
from escadm.core.claims import Claim
from escadm.core.drbd.state import Replica
from escadm.core.interfaces import Interface
from escadm.core.plan import Plan
from escadm.core.role import Peer
from escadm.core.situation import Gateway, Situation, Wish
from escadm.core.specs import KeepalivedSpec
from escadm.core.states import Vrrp
from escadm.core.trust import Acquaintance
from escadm.paths import Paths
from tests.unit.agent.world import LOOPBACK, descriptors, run, wait_for

HERE, THERE = ip_address(f"{LOOPBACK}60"), ip_address(f"{LOOPBACK}61")
SPEC = KeepalivedSpec(ip_address("192.0.2.1"), "lo", "lo", 51, gateway=(THERE,), peer_paths=((HERE, THERE),))
FINE = Replica("Secondary", "Connected", "Primary", "UpToDate", "UpToDate")
MINE = Situation(Plan({}), Wish(switchover="on purpose"), now=7.0)


class Heard:
    """What the inputs have told, in order."""

    def __init__(self, root: Path) -> None:
        self.news: list[object] = []
        self.inputs = Inputs(
            Paths(root),
            on_change=lambda: self.news.append("change"),
            on_word=self.news.append,
            on_loss=lambda: self.news.append("loss"),
            tell=dict,
        )


class Link:
    """A peer that was heard, and when."""

    heard_at = 5.0

    def __init__(self) -> None:
        self.peer = Peer(str(THERE), heard=True)
        self.done: list[str] = []

    def __getattr__(self, name: str) -> Callable[[], None]:
        return lambda: self.done.append(name)

    def acquaintance(self) -> Acquaintance:
        return Acquaintance(self.peer.address, self.peer.heard)


def test_all_that_is_known_is_gathered(tmp_path: Path) -> None:
    async def work() -> None:
        inputs, link = Heard(tmp_path).inputs, Link()
        inputs.link = link  # type: ignore[assignment]
        inputs._on_vrrp(Vrrp.MASTER)
        inputs._on_replica(FINE)
        inputs.asked = 2
        inputs._sure_at = 9.0
        inputs.addresses.interfaces = {"eth0": Interface()}
        inputs.adverts._since = 4.0
        inputs.claims._claims = {"52:54:00:aa:bb:cc": Claim(1.0, 2.0)}
        inputs.gateway._addresses = (THERE,)
        inputs.gateway.reached, inputs.gateway.gone, inputs.gateway.answered_at = False, True, 3.0
        found: dict[str, Any] = {
            "vrrp": Vrrp.MASTER,
            "replica": FINE,
            "asked": True,
            "sure_at": 9.0,
            "interfaces": {"eth0": Interface()},
            "adverts": Adverts(4.0),
            "claims": {"52:54:00:aa:bb:cc": Claim(1.0, 2.0)},
            "gateway": Gateway(True, False, True, 3.0),
            "peer": link.peer,
            "heard_at": 5.0,
            "known": link.acquaintance(),
        }
        assert inputs.gather(MINE) == replace(MINE, **found)

    run(work())


def test_a_node_without_a_peer_knows_of_none(tmp_path: Path) -> None:
    async def work() -> None:
        inputs = Heard(tmp_path).inputs
        inputs.connect(None)
        seen = inputs.gather(MINE)
        assert (seen.peer, seen.heard_at, seen.known, seen.gateway.is_asked) == (None, None, None, False)
        inputs.say()
        inputs.close()

    run(work())


def test_the_same_word_and_the_same_volume_are_no_news(tmp_path: Path) -> None:
    async def work() -> None:
        heard = Heard(tmp_path)
        for _ in range(2):
            heard.inputs._on_vrrp(Vrrp.BACKUP)
        assert heard.news == [Vrrp.BACKUP, "change"]
        for _ in range(2):
            heard.inputs._on_replica(FINE)
        assert heard.news == [Vrrp.BACKUP, "change", "change"]

    run(work())


@pytest.mark.parametrize("is_open", [True, False])
def test_a_volume_that_goes_while_drbd_is_listened_to_is_a_loss(tmp_path: Path, is_open: bool) -> None:
    async def work() -> None:
        heard = Heard(tmp_path)
        heard.inputs.volume.is_open = is_open
        heard.inputs._on_replica(None)
        heard.inputs._on_replica(FINE)
        heard.inputs._on_replica(None)
        assert heard.news == ["change", *(["loss"] if is_open else []), "change"]

    run(work())


def test_what_the_peer_said_is_old_once_its_data_has_been_seen_again(tmp_path: Path) -> None:
    async def work() -> None:
        inputs, link = Heard(tmp_path).inputs, Link()
        inputs.link = link  # type: ignore[assignment]
        inputs._on_replica(FINE)
        assert link.done == ["age"]
        inputs._on_replica(FINE)
        inputs.close()
        assert link.done == ["age", "say", "close"]

    run(work())


def test_it_listens_where_the_plan_says_and_anew_only_if_that_is_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> None:
        inputs = Heard(tmp_path).inputs
        adverts, claims, gateway = inputs.adverts, inputs.claims, inputs.gateway
        before = descriptors()
        Paths(tmp_path).fifo.parent.mkdir(parents=True)
        inputs.words.open()
        inputs.connect(SPEC)
        first, sure_at = inputs.link, inputs._sure_at
        assert first is not None
        assert sure_at > asyncio.get_running_loop().time()
        assert (gateway.seen.is_asked, adverts._spec, claims._place) == (True, SPEC, ("lo", SPEC.vip))
        inputs.connect(SPEC)
        assert (inputs.link, inputs._sure_at) == (first, sure_at)
        monkeypatch.setattr(inputs_module, "heartbeat_interval", lambda _: 0.5)
        inputs.connect(SPEC)
        assert inputs.link is not first
        assert inputs._sure_at > sure_at
        await asyncio.sleep(0)
        inputs.close()
        await asyncio.sleep(0)
        assert (gateway.seen.is_asked, adverts._spec, claims._place) == (False, None, None)
        await wait_for(lambda: descriptors() == before)

    run(work())
