"""What is done about the secret of the nodes' keys. DRBD is the test's own: its secret is a value."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest

from escadm.agent.inputs.identity import Identity
from escadm.agent.outputs import pair_secret
from escadm.agent.outputs.pair_secret import PairSecrets
from escadm.core.drbd.evidence import Evidence
from escadm.core.drbd.secret import PairSecret, fingerprint
from escadm.core.rules.secret import SecretAct
from escadm.core.specs import Secret
from escadm.errors import Failed
from escadm.paths import Paths
from escadm.render.drbd import SECTION, pair_secret_in, with_pair_secret
from escadm.render.template import HEAD
from tests.unit.agent.world import run, wait_for
from tests.unit.core.situations import RULES, STANDBY

BARE = f"{HEAD}\n\nresource esc {{\n{SECTION}        protocol C;\n    }}\n}}\n"
OWN, OLD = Secret("0a" * 31), Secret("0b" * 31)


class World:
    """esc.res is real, the kernel's secret is ``used``. ``obeys``: whether DRBD does what it is told."""

    def __init__(self, paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
        self.paths = paths
        self.used: Secret | None = None
        self.obeys = True
        self.replica = STANDBY
        self.peer = replace(RULES, replica=Evidence("Primary", "Connected", "UpToDate"))
        self.log = ""
        self.connects = self.wakes = 0
        paths.drbd_res.parent.mkdir(parents=True)
        self.write(None)
        monkeypatch.setattr(pair_secret, "RETRY", 0.0)
        monkeypatch.setattr(pair_secret, "read_secret", lambda: self.used)
        monkeypatch.setattr(pair_secret, "read_kernel_log", lambda: self.log)
        monkeypatch.setattr(pair_secret, "apply_net_options", self._apply)
        monkeypatch.setattr(pair_secret, "connect", self._connect)
        monkeypatch.setattr(Identity, "secret", OWN)
        self.secrets = PairSecrets(paths, Identity(paths), self._wake)

    def _wake(self) -> None:
        self.wakes += 1

    def _apply(self) -> None:
        if self.obeys:
            self.used = self.written

    def _connect(self) -> None:
        self.connects += 1

    def write(self, secret: Secret | None) -> None:
        self.paths.drbd_res.write_text(with_pair_secret(BARE, secret))

    @property
    def written(self) -> Secret | None:
        return pair_secret_in(self.paths.drbd_res.read_text())

    async def do(self, act: SecretAct) -> PairSecret:
        wakes = self.wakes
        self.seen()
        self.secrets.do(act)
        assert self.secrets.running
        await wait_for(lambda: not self.secrets.running and self.wakes > wakes)
        return self.seen()

    def seen(self) -> PairSecret:
        return self.secrets.seen(self.replica, self.peer)


@pytest.fixture
def world(paths: Paths, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> World:
    caplog.set_level(logging.INFO)
    return World(paths, monkeypatch)


def told(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [(record.levelname, record.getMessage()) for record in caplog.records]


def test_it_is_looked_at_written_and_applied(world: World, caplog: pytest.LogCaptureFixture) -> None:
    own = fingerprint(OWN)

    async def work() -> None:
        assert world.seen() == PairSecret(own, "", None)
        assert await world.do(SecretAct.LOOK) == PairSecret(own, "", "")
        assert not told(caplog)
        assert await world.do(SecretAct.WRITE) == PairSecret(own, own, "")
        assert world.paths.drbd_res.stat().st_mode & 0o777 == 0o640
        assert await world.do(SecretAct.APPLY) == PairSecret(own, own, own)

    run(work())
    assert told(caplog) == [
        ("INFO", "drbd: the secret of the nodes' keys is written down"),
        ("INFO", "drbd: goes by the secret that is written down from now on"),
    ]
    assert OWN.reveal() not in caplog.text


def test_an_outdated_one_is_replaced_and_one_that_the_peer_cannot_have_is_removed(world: World) -> None:
    world.write(OLD)
    world.used = OLD

    async def work() -> None:
        assert await world.do(SecretAct.LOOK) == PairSecret(fingerprint(OWN), fingerprint(OLD), fingerprint(OLD))
        assert (await world.do(SecretAct.WRITE)).written == fingerprint(OWN)
        assert (await world.do(SecretAct.REMOVE)).written == ""
        assert world.paths.drbd_res.read_text() == BARE
        assert world.paths.drbd_res.stat().st_mode & 0o777 == 0o644

    run(work())


def test_it_connects_with_what_is_written(world: World, caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        world.write(OWN)
        assert (await world.do(SecretAct.CONNECT)).used == fingerprint(OWN)
        assert world.connects == 1

    run(work())
    assert told(caplog) == [("INFO", "drbd: connects once more: the nodes had different secrets when it stopped")]


@pytest.mark.parametrize("looked", [True, False])
def test_what_has_no_effect_is_told_once_and_comes_again_later(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, looked: bool
) -> None:
    """Never at once: that would be a loop without a pause."""
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    async def work() -> None:
        world.used = OLD
        if looked:
            await world.do(SecretAct.LOOK)
        world.paths.drbd_res.write_text("theirs\n")
        world.paths.drbd_res.chmod(0o604)
        world.obeys = False
        monkeypatch.setattr(pair_secret, "RETRY", 7.0)
        monkeypatch.setattr("escadm.agent.outputs.pair_secret.asyncio.sleep", pause)
        for act in (SecretAct.WRITE, SecretAct.WRITE, SecretAct.APPLY):
            world.secrets.do(act)
            assert world.secrets._task is not None
            await world.secrets._task

    run(work())
    cannot = "drbd: the secret of the nodes' keys: cannot"
    assert told(caplog) == [
        ("WARNING", f"{cannot} write it into esc.res: nothing has changed"),
        ("WARNING", f"{cannot} have DRBD go by what esc.res says: nothing has changed"),
    ]
    assert pauses == [7.0] * 3
    assert world.paths.drbd_res.read_text() == "theirs\n"
    assert world.paths.drbd_res.stat().st_mode & 0o777 == 0o604


def test_what_is_so_already_is_no_news(world: World, caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        world.write(OWN)
        assert (await world.do(SecretAct.WRITE)).written == fingerprint(OWN)

    run(work())
    assert not told(caplog)


def test_why_drbd_has_stopped_is_in_the_kernels_log(world: World) -> None:
    async def work() -> None:
        world.log = "drbd esc: Authentication of peer failed\n"
        found = []
        for connection, log in (
            ("Connected", world.log),
            ("StandAlone", world.log),
            ("StandAlone", "the kernel has written too much since\n"),
            ("Connecting", ""),
            ("StandAlone", "drbd esc: conn( Connected -> Disconnecting )\n"),
        ):
            world.replica, world.log = replace(STANDBY, connection=connection), log
            await world.do(SecretAct.LOOK)
            world.secrets.forget()
            found.append(world.secrets.refused)
        assert found == [False, True, True, False, False]

    run(work())


def test_a_command_that_fails_changes_nothing(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise Failed("cannot connect: no")

    async def work() -> None:
        before = await world.do(SecretAct.LOOK)
        monkeypatch.setattr(pair_secret, "connect", fail)
        assert await world.do(SecretAct.CONNECT) == before

    run(work())
    assert told(caplog) == [("WARNING", "drbd: the secret of the nodes' keys: cannot connect: no")]


def test_a_log_that_cannot_be_read_hides_nothing_else(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> str:
        raise Failed("dmesg: no")

    async def work() -> None:
        monkeypatch.setattr(pair_secret, "read_kernel_log", fail)
        world.write(OWN)
        world.replica = replace(STANDBY, connection="StandAlone")
        assert (await world.do(SecretAct.LOOK)).written == fingerprint(OWN)
        assert not world.secrets.refused

    run(work())
    assert told(caplog) == [("WARNING", "drbd: the secret of the nodes' keys: dmesg: no")]


def test_all_is_looked_at_again_once_it_may_be_another(world: World) -> None:
    async def work() -> None:
        world.write(OWN)

        def disconnects() -> None:
            world.replica = replace(STANDBY, connection="Connecting")

        def disconnects_there() -> None:
            world.peer = replace(RULES, replica=Evidence("Primary", "StandAlone", "UpToDate"))

        for change in (world.secrets.forget, disconnects, disconnects_there):
            assert (await world.do(SecretAct.LOOK)).used == ""
            assert world.seen().written == fingerprint(OWN)
            change()
            assert world.seen() == PairSecret(fingerprint(OWN), "", None)
        await world.do(SecretAct.LOOK)
        world.peer = replace(RULES, heard=False)
        assert world.seen().used == "", "a silence says nothing new"
        assert world.secrets.seen(None, None).used is None

    run(work())


def test_a_look_that_is_overtaken_by_a_change_says_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def look() -> Secret:
        world.secrets.forget()
        return OLD

    async def work() -> None:
        monkeypatch.setattr(pair_secret, "read_secret", look)
        assert (await world.do(SecretAct.LOOK)).used is None

    run(work())
