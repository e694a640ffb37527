"""secrets.env as services get it: real processes below a root of the test's own."""

import logging
from dataclasses import replace
from ipaddress import ip_address

import pytest

from escadm.agent.drivers.keepalived import Keepalived
from escadm.agent.inputs.vrrp_fifo import RoleFeed
from escadm.core.environment_file import updated
from escadm.core.lifecycle import Event
from escadm.core.plan import Unit
from escadm.core.probes import Exec, Probe
from escadm.core.specs import KeepalivedSpec, Kind, ProcessSpec
from escadm.paths import Paths
from tests.unit.agent.test_service import playing
from tests.unit.agent.world import QUICK, run, tools, unit, wait_for

VALUE = "a\"b'c$d `e`\\f\ng=€"


def write(paths: Paths, variables: dict[str, str]) -> None:
    paths.secrets.parent.mkdir(parents=True, exist_ok=True)
    paths.secrets.write_text(updated("", variables))
    paths.secrets.chmod(0o600)


def settings(*own: tuple[str, str], ready: Probe = QUICK) -> Unit:
    """A service that writes its environment down, and lives on."""
    command = 'env -0 >"$AT/env.new"; mv "$AT/env.new" "$AT/env"; exec sleep 600'
    return unit("confd", spec=ProcessSpec(("sh", "-c", command), environment=own), ready=ready)


async def environment(paths: Paths) -> dict[str, str]:
    file = paths.root / "env"
    await wait_for(file.exists)
    return dict(line.split("=", 1) for line in file.read_text().split("\0") if line)


def test_a_service_gets_them_and_its_own_settings_go_before_them(paths: Paths) -> None:
    write(paths, {"ESC_REST_PASSWORD": VALUE, "ESC_HTTPS_REST": "true", "LD_PRELOAD": "/nowhere", "ESCADM_UNIT": "x"})

    async def work() -> None:
        async with playing(paths, settings(("ESC_HTTPS_REST", "false"))) as player:
            seen = await environment(paths)
            assert (seen["ESC_REST_PASSWORD"], seen["ESC_HTTPS_REST"]) == (VALUE, "false")
            assert seen["ESCADM_UNIT"] == player.mark
            assert "LD_PRELOAD" not in seen

    run(work())


def test_they_are_read_at_each_start(paths: Paths) -> None:
    async def work() -> None:
        for value in ("first", "second"):
            write(paths, {"ESC_X": value})
            async with playing(paths, settings()):
                assert (await environment(paths))["ESC_X"] == value
            (paths.root / "env").unlink()

    run(work())


def test_no_file_changes_nothing(paths: Paths) -> None:
    async def work() -> None:
        async with playing(paths, settings()):
            assert not [name for name in await environment(paths) if name.startswith("ESC_")]

    run(work())


def test_a_file_that_cannot_be_read_is_why_the_service_does_not_start(paths: Paths) -> None:
    paths.secrets.mkdir(parents=True)

    async def work() -> None:
        async with playing(paths, settings()) as player:
            assert await player.hears(Event.EXITED) == f"cannot read {paths.secrets}: it is a directory"

    run(work())


def test_its_checks_get_them_and_what_they_say_shows_none(paths: Paths) -> None:
    """The answer of a check stands in `status`, which everybody may read."""
    write(paths, {"ESC_CONFD_ADMIN_PASSWORD": "hunter2", "ESC_ADMIN_USERNAME": "admin"})
    question = Exec(("sh", "-c", 'echo "admin/$ESC_CONFD_ADMIN_PASSWORD was refused"; exit 1'))

    async def work() -> None:
        async with playing(paths, settings(ready=question)) as player:
            await wait_for(lambda: player.driver.doubt)
            assert player.driver.doubt == "sh: exited with code 1: admin/*** was refused"

    run(work())


def test_a_check_without_the_file_is_a_bad_answer(paths: Paths) -> None:
    async def work() -> None:
        async with playing(paths, settings(ready=Exec(("test", "-e", "/nonexistent")))) as player:
            await wait_for(lambda: player.driver.doubt)
            paths.secrets.mkdir(parents=True)
            await wait_for(lambda: "it is a directory" in player.driver.doubt)
            assert not player.heard(Event.CHECK_FAILED)

    run(work())


def test_nothing_of_it_is_in_the_log(paths: Paths, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    write(paths, {"ESC_X": "hunter2"})
    with paths.secrets.open("a") as file:
        file.write("export ESC_Y=hunter2\nLD_LIBRARY_PATH=hunter2\n")

    async def work() -> None:
        async with playing(paths, settings(ready=Exec(("false",)))) as player:
            await wait_for(lambda: player.driver.doubt)

    run(work())
    told = [each.getMessage() for each in caplog.records]
    assert f"{paths.secrets}:2: this line is no NAME=VALUE: it is passed over" in told
    assert f"{paths.secrets}: LD_LIBRARY_PATH is passed over: it belongs into `environment` of a resource" in told
    assert "hunter2" not in "".join(told)


def test_keepalived_gets_none(paths: Paths) -> None:
    write(paths, {"ESC_X": "hunter2"})
    paths.run.mkdir(parents=True, exist_ok=True)
    spec = KeepalivedSpec(ip_address("192.0.2.1"), "lo", "lo", 51)
    posted: list[Event] = []

    async def work() -> None:
        feed = RoleFeed(paths, lambda _: None)
        unit = Unit("keepalived", Kind.KEEPALIVED, spec=spec)
        driver = Keepalived(unit, lambda event, _: posted.append(event), tools(paths, feed=feed))
        driver._spec = replace(driver._spec, argv=("sh", "-c", f"cd {paths.root}; env -0 >new; mv new env"))
        driver.start()
        assert "ESC_X" not in await environment(paths)
        await wait_for(lambda: Event.EXITED in posted)
        driver.kill()
        await wait_for(lambda: Event.GONE in posted)
        feed.close()

    run(work())
