"""keepalived's words on a real FIFO, and its fitness file. The daemon itself is in the lab."""

import asyncio
import logging
import os
import stat
import subprocess
from collections.abc import Callable
from functools import partial
from ipaddress import ip_address
from pathlib import Path

import pytest

from escadm.agent.drivers.driver import Inherited
from escadm.agent.drivers.keepalived import Keepalived, write_fitness
from escadm.agent.drivers.process import Service
from escadm.agent.inputs import vrrp_fifo
from escadm.agent.inputs.vrrp_fifo import RoleFeed
from escadm.core.lifecycle import Event, Life
from escadm.core.plan import Unit
from escadm.core.rules.word import WordAct
from escadm.core.specs import KeepalivedSpec, Kind
from escadm.core.states import UnitState, Vrrp
from escadm.errors import EscadmError
from escadm.paths import Paths
from escadm.system.process import command_name, identify
from tests.unit.agent.world import descriptors, run, tools, wait_for

SPEC = KeepalivedSpec(ip_address("192.0.2.1"), "lo", "lo", 51)


class Heard:
    """A feed, and the words that counted."""

    def __init__(self, paths: Paths) -> None:
        self.words: list[Vrrp] = []
        self.feed = RoleFeed(paths, self.words.append)
        self.feed.open()
        self.writer = os.open(paths.fifo, os.O_WRONLY | os.O_NONBLOCK)

    def write(self, text: str) -> None:
        os.write(self.writer, text.encode())

    def ends_with(self, state: Vrrp) -> bool:
        return self.words[-1:] == [state]

    def close(self) -> None:
        os.close(self.writer)
        self.feed.close()


def test_the_loss_of_the_role_counts_later_than_anything_else(paths: Paths) -> None:
    """Somebody removes the VIP: keepalived says BACKUP and, some milliseconds later, MASTER again."""

    async def work() -> None:
        loop = asyncio.get_running_loop()
        heard = Heard(paths)
        delays: list[float] = []
        due: list[Callable[[], None]] = []

        def call_later(delay: float, call: Callable[[], None]) -> object:
            delays.append(delay)
            due.append(call)
            return object()

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(loop, "call_later", call_later)
            for state in (Vrrp.MASTER, Vrrp.BACKUP, Vrrp.MASTER):
                heard.feed.say(state)
                if state is not Vrrp.BACKUP:
                    due.pop()()
        assert heard.words == [Vrrp.MASTER, Vrrp.MASTER], "no BACKUP counts"
        assert delays == [vrrp_fifo.SETTLE, vrrp_fifo.SETTLE_LOSS]
        assert vrrp_fifo.SETTLE_LOSS >= 0.05 > vrrp_fifo.SETTLE
        heard.close()

    run(work())


LONG = 1.5
"""Seconds in which a word that is written is read on the busiest machine."""


def word(state: str, name: str = "ESC") -> str:
    return f'INSTANCE "{name}" {state} 250\n'


def test_words_count_in_order(paths: Paths) -> None:
    async def work() -> None:
        heard = Heard(paths)
        for state in (Vrrp.BACKUP, Vrrp.MASTER, Vrrp.FAULT, Vrrp.STOP):
            heard.write(word(state))
            await wait_for(partial(heard.ends_with, state))
        assert heard.words == [Vrrp.BACKUP, Vrrp.MASTER, Vrrp.FAULT, Vrrp.STOP]
        heard.close()

    run(work())


def test_line_in_pieces(paths: Paths) -> None:
    async def work() -> None:
        heard = Heard(paths)
        for piece in word("MASTER"):
            assert not heard.words
            heard.write(piece)
            await asyncio.sleep(0)
        await wait_for(lambda: heard.words == [Vrrp.MASTER])
        heard.close()

    run(work())


def test_of_several_at_once_the_newest_counts(paths: Paths) -> None:
    async def work() -> None:
        heard = Heard(paths)
        heard.write(word("BACKUP") + word("MASTER") + word("MASTER") + 'INSTANCE "ES')
        await wait_for(lambda: heard.words)
        assert heard.words == [Vrrp.MASTER]
        heard.write('C" FAULT 250\n')
        await wait_for(lambda: heard.words == [Vrrp.MASTER, Vrrp.FAULT])
        heard.close()

    run(work())


def test_word_that_is_taken_back_at_once_never_counts(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vrrp_fifo, "SETTLE_LOSS", LONG)

    async def work() -> None:
        heard = Heard(paths)
        heard.write(word("MASTER"))
        await wait_for(lambda: heard.words == [Vrrp.MASTER])
        heard.write(word("BACKUP"))
        await wait_for(lambda: heard.feed.newest is Vrrp.BACKUP)
        heard.write(word("MASTER"))
        await wait_for(lambda: len(heard.words) == 2)
        assert heard.words == [Vrrp.MASTER, Vrrp.MASTER]
        heard.close()

    run(work())


def test_flood_ends_as_the_last_one_says(paths: Paths) -> None:
    async def work() -> None:
        heard = Heard(paths)
        for _ in range(200):
            heard.write(word("MASTER") + word("BACKUP"))
            await asyncio.sleep(0)
        heard.write(word("FAULT"))
        await wait_for(lambda: heard.words[-1:] == [Vrrp.FAULT])
        heard.close()

    run(work())


@pytest.mark.parametrize(
    "line",
    [
        word("MASTER", "ANOTHER"),
        'GROUP "ESC" MASTER 250\n',
        word("PRESIDENT"),
        word("UNKNOWN_"),
        word("master"),
        "MASTER\n",
        'INSTANCE "ESC" MASTER 250 and more\n',
        "\x00\xff\n",
        "x" * 60_000 + "\n",
    ],
    ids=range(9),
)
def test_what_is_not_understood(paths: Paths, caplog: pytest.LogCaptureFixture, line: str) -> None:
    async def work() -> None:
        heard = Heard(paths)
        heard.write(line)
        heard.write("\n" + word("BACKUP"))
        await wait_for(lambda: heard.words)
        assert heard.words == [Vrrp.BACKUP]
        heard.close()

    run(work())
    told = [record.message for record in caplog.records if "not understood" in record.message]
    assert len(told) == 1
    assert len(told[0]) < 1000


def test_read_tells_whether_our_instance_was_named(paths: Paths) -> None:
    async def work() -> None:
        heard = Heard(paths)
        assert not heard.feed.read()
        heard.write(word("MASTER", "ANOTHER"))
        assert not heard.feed.read()
        heard.write(word("MASTER"))
        assert heard.feed.read()
        assert heard.feed.newest is Vrrp.MASTER
        heard.close()

    run(work())


def test_unopened_feed_has_heard_nothing(paths: Paths) -> None:
    async def work() -> None:
        assert not RoleFeed(paths, lambda _: None).read()

    run(work())


def test_word_written_while_nobody_read_is_kept(paths: Paths) -> None:
    async def work() -> None:
        first = Heard(paths)
        first.write(word("BACKUP") + word("MASTER"))
        second = RoleFeed(paths, lambda _: None)
        second.open()
        assert second.read()
        assert second.newest is Vrrp.MASTER
        second.close()
        first.close()

    run(work())


# --- the file ---------------------------------------------------------------------------------------------


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_fifo_is_for_root_alone(paths: Paths) -> None:
    async def work() -> None:
        heard = Heard(paths)
        assert stat.S_ISFIFO(paths.fifo.stat().st_mode)
        assert mode(paths.fifo) == 0o600
        heard.close()

    run(work())


@pytest.mark.parametrize("what", ["file", "link", "socket"])
def test_something_else_in_its_place_is_replaced(paths: Paths, what: str) -> None:
    if what == "file":
        paths.fifo.write_text(word("MASTER"))
    elif what == "link":
        paths.fifo.symlink_to("/nonexistent/fifo")
    else:
        os.mknod(paths.fifo, stat.S_IFSOCK | 0o600)

    async def work() -> None:
        heard = Heard(paths)
        heard.write(word("BACKUP"))
        await wait_for(lambda: heard.words == [Vrrp.BACKUP])
        heard.close()

    run(work())


def test_same_fifo_is_not_opened_twice(paths: Paths) -> None:
    async def work() -> None:
        heard = Heard(paths)
        before = descriptors()
        heard.write('INSTANCE "ESC" ')
        await wait_for(lambda: heard.feed._rest)
        for _ in range(10):
            heard.feed.open()
        assert descriptors() == before
        heard.write("MASTER 250\n")
        await wait_for(lambda: heard.words == [Vrrp.MASTER])
        heard.close()

    run(work())


def test_replaced_fifo_is_opened_anew(paths: Paths) -> None:
    async def work() -> None:
        heard = Heard(paths)
        before = len(descriptors())
        paths.fifo.unlink()
        os.mkfifo(paths.fifo, 0o600)
        heard.feed.open()
        assert len(descriptors()) == before
        os.close(heard.writer)
        heard.writer = os.open(paths.fifo, os.O_WRONLY | os.O_NONBLOCK)
        heard.write(word("FAULT"))
        await wait_for(lambda: heard.words == [Vrrp.FAULT])
        heard.close()

    run(work())


def test_fitness(paths: Paths) -> None:
    for umask in (0o022, 0o077):
        before = os.umask(umask)
        paths.fitness.unlink(missing_ok=True)
        write_fitness(paths, fit=True)
        assert paths.fitness.read_text() == "0\n"
        write_fitness(paths, fit=False)
        assert paths.fitness.read_text() == "-254\n"
        write_fitness(paths, fit=True)
        assert paths.fitness.read_text() == "0\n"
        assert mode(paths.fitness) == 0o644
        os.umask(before)


def test_fitness_on_a_disk_that_refuses(paths: Paths) -> None:
    paths.fitness.mkdir()
    with pytest.raises(EscadmError):
        write_fitness(paths, fit=True)


# --- the process ------------------------------------------------------------------------------------------


class Stand:
    """A Keepalived with a process that only sleeps, and that has not spoken yet."""

    def __init__(self, paths: Paths, heard: Heard) -> None:
        self.posted: list[tuple[Event, str]] = []
        self.process = subprocess.Popen(["sh", "-c", "trap '' HUP; exec sleep 600"], start_new_session=True)
        while command_name(self.process.pid) != "sleep":
            assert self.process.poll() is None
        leader = identify(self.process.pid)
        assert leader is not None
        self.unit = Unit("keepalived", Kind.KEEPALIVED, spec=SPEC)
        self.driver = Keepalived(self.unit, lambda *word: self.posted.append(word), tools(paths, feed=heard.feed))
        heard.feed.speaker = self.driver
        Service.adopt(self.driver, Inherited(Life(UnitState.STARTING), leader))  # nothing is made of what there is

    def await_death(self) -> None:
        """Until it has ended, whether or not anybody has noticed."""
        os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOWAIT)


def start_process(*argv: str | Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(argv)


def test_words_from_before_its_death_do_not_outlive_it(paths: Paths) -> None:
    async def work() -> None:
        heard = Heard(paths)
        stand = Stand(paths, heard)
        stand.process.kill()
        stand.await_death()
        heard.write(word("MASTER"))
        await wait_for(lambda: stand.posted and heard.words)
        stand.process.wait()
        stand.driver.kill()
        await wait_for(lambda: (Event.GONE, "") in stand.posted)
        assert heard.words == [Vrrp.STOP]
        heard.close()

    run(work())


def test_first_word_makes_it_ready_once(paths: Paths) -> None:
    async def work() -> None:
        heard = Heard(paths)
        stand = Stand(paths, heard)
        stand.driver.word()
        stand.driver.word()
        assert stand.posted == [(Event.READY, "")]
        stand.driver.terminate()
        await wait_for(lambda: (Event.GONE, "") in stand.posted)
        stand.driver.word()
        assert [event for event, _ in stand.posted].count(Event.READY) == 1
        stand.process.wait()
        heard.close()

    run(work())


def test_it_hears_that_its_word_counts(paths: Paths) -> None:
    async def work() -> None:
        heard = Heard(paths)
        stand = Stand(paths, heard)
        for state in (Vrrp.STOP, Vrrp.BACKUP):
            heard.write(word(state))
            await wait_for(partial(heard.ends_with, state))
            assert stand.posted == ([] if state is Vrrp.STOP else [(Event.READY, "")])
        stand.driver.kill()
        await wait_for(lambda: (Event.GONE, "") in stand.posted)
        stand.process.wait()
        heard.close()

    run(work())


def test_one_that_was_adopted_speaks_and_is_as_ready_as_it_was(paths: Paths) -> None:
    async def work() -> None:
        heard = Heard(paths)
        stand = Stand(paths, heard)
        driver = Keepalived(stand.unit, lambda *word: stand.posted.append(word), tools(paths, feed=heard.feed))
        for state, posted in ((UnitState.RUNNING, []), (UnitState.STARTING, [(Event.READY, "")])):
            driver.adopt(Inherited(Life(state), stand.driver.leader))
            assert stand.posted == posted
        assert heard.feed.speaker is driver
        assert (heard.feed.newest, heard.words) == (Vrrp.BACKUP, [])
        for each in (driver, stand.driver):
            each.kill()
            await wait_for(lambda: (Event.GONE, "") in stand.posted)
            stand.posted.clear()
        stand.process.wait()
        heard.close()

    run(work())


def test_one_that_is_started_is_who_speaks_and_is_questioned(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[WordAct, str]] = []

    async def nothing(_: Keepalived) -> None:
        pass

    monkeypatch.setattr(Keepalived, "_start", nothing)
    monkeypatch.setattr(Keepalived, "question", lambda _, act, __, why: asked.append((act, why)))

    async def work() -> None:
        feed = RoleFeed(paths, lambda _: None)
        feed.question(WordAct.ASK, SPEC, "nobody speaks")
        driver = Keepalived(Unit("keepalived", Kind.KEEPALIVED, spec=SPEC), lambda *_: None, tools(paths, feed=feed))
        driver.start()
        assert feed.speaker is driver
        feed.question(WordAct.ASK, SPEC, "it cannot be")

    run(work())
    assert asked == [(WordAct.ASK, "it cannot be")]


def test_only_its_own_file_is_read_again(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(Keepalived, "_hang_up", lambda _: told.append("hang up"))

    async def work() -> None:
        driver = Keepalived(Unit("keepalived", Kind.KEEPALIVED, spec=SPEC), lambda *_: None, tools(paths))
        await driver.reload([str(paths.drbd_res)])
        assert told == []
        await driver.reload([str(paths.drbd_res), str(paths.keepalived_conf)])
        assert told == ["hang up"]

    run(work())


def test_asked_to_kill_it_first_asks_it_to_leave(paths: Paths) -> None:
    async def work() -> None:
        heard = Heard(paths)
        stand = Stand(paths, heard)
        stand.driver.kill()
        await wait_for(lambda: (Event.GONE, "") in stand.posted)
        assert stand.process.wait() == -15
        heard.close()

    run(work())


def test_reload_reads_the_fifo_that_keepalived_will_open(paths: Paths) -> None:
    async def work() -> None:
        heard = Heard(paths)
        stand = Stand(paths, heard)
        paths.fifo.unlink()
        await stand.driver.reload([str(paths.keepalived_conf)])
        with paths.fifo.open("w") as keepalived:
            keepalived.write(word("MASTER"))
        await wait_for(lambda: Vrrp.MASTER in heard.words)
        stand.driver.kill()
        await wait_for(lambda: (Event.GONE, "") in stand.posted)
        stand.process.wait()
        heard.close()

    run(work())


@pytest.mark.parametrize("killed_by_us", [True, False])
def test_one_that_is_killed_or_told_to_end_is_not_quoted(paths: Paths, killed_by_us: bool) -> None:
    paths.log_directory.mkdir(parents=True)
    said = "Sun Nov 29 08:15:34 2026: (ESC) Entering MASTER STATE\n"
    (paths.log_directory / "keepalived.log").write_text(said + ("" if killed_by_us else said[:26] + "Stopping\n"))

    async def work() -> None:
        heard = Heard(paths)
        unit = Unit("keepalived", Kind.KEEPALIVED, spec=SPEC)
        driver = Keepalived(unit, lambda *_: None, tools(paths, feed=heard.feed))
        assert driver._why_it_ended(-9 if killed_by_us else 0) == (
            "was killed by SIGKILL" if killed_by_us else "exited with code 0"
        )
        heard.close()

    run(work())


def test_foreign_keepalived_is_sent_away_and_pid_files_are_cleared(
    paths: Paths, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    program = tmp_path / "keepalived"
    program.write_bytes(Path("/bin/sleep").read_bytes())
    program.chmod(0o755)

    async def work() -> None:
        heard = Heard(paths)
        other, innocent = start_process(program, "600"), start_process("sleep", "600")
        paths.keepalived_pid.write_text(f"{other.pid}\n")
        paths.vrrp_pid.write_text(f"{innocent.pid}\n")
        unit = Unit("keepalived", Kind.KEEPALIVED, spec=SPEC)
        driver = Keepalived(unit, lambda *_: None, tools(paths, feed=heard.feed))
        await asyncio.to_thread(driver._clear_the_way)
        assert other.wait() == -9
        assert innocent.poll() is None
        assert not paths.keepalived_pid.exists()
        assert not paths.vrrp_pid.exists()
        assert paths.fitness.read_text() == "0\n"
        innocent.kill()
        innocent.wait()
        heard.close()

    run(work())
