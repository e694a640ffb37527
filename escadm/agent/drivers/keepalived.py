"""keepalived under supervision: its events in order, its fitness file, its process.

keepalived proposes a role through its notify FIFO. We own the FIFO (it outlives keepalived and the agent, and what
is written while nobody reads is kept), read it line by line, and let the newest word count, SETTLE seconds
after the first that has not, and SETTLE_LOSS where it takes the role away: when somebody removes the VIP, keepalived
says BACKUP and, some milliseconds later, MASTER again, and no service has to be stopped for that.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import select
import signal
import stat
from collections.abc import Callable
from pathlib import Path

from escadm.agent.drivers.driver import Post
from escadm.agent.drivers.process import Service, everyone
from escadm.agent.drivers.stage import Stage
from escadm.agent.inputs.looks import Looks
from escadm.core.decide import Decision
from escadm.core.lifecycle import Event
from escadm.core.rules.word import WordAct
from escadm.core.types import VRRP_INSTANCE, KeepalivedSpec, ProcessSpec, Unit, Vrrp
from escadm.errors import EscadmError
from escadm.log import get
from escadm.paths import Paths
from escadm.render.keepalived import render_keepalived
from escadm.system.files import write_atomically, write_in_place
from escadm.system.keepalived import command, last_words
from escadm.system.net import has_address
from escadm.system.process import ProcessId, command_name, identify, is_alive, kill
from escadm.system.run import run
from escadm.system.scope import is_launching
from escadm.system.systemd import is_booted, state, stop

SETTLE = 0.02
SETTLE_LOSS = 0.05
FIT = "0\n"
UNFIT = "-254\n"
LEAVES_WITHIN = 3.0
FOREIGN = "keepalived.service"
FOREIGN_LIMIT = 30.0
REMARK = re.compile(r'INSTANCE "[^"]*" MASTER_RX_LOWER_PRI \d+')
"""Said when two masters have met and this one stays; VRRP has settled that already."""
LINE = re.compile(r'INSTANCE "(?P<name>[^"]*)" (?P<state>[A-Z]+)(?: \d+)?')

log = get(__name__)


class RoleFeed:
    """The read end of ``vrrp_notify_fifo``; calls ``on_vrrp(state)`` for the newest state, once it has settled."""

    def __init__(self, paths: Paths, on_vrrp: Callable[[Vrrp], None]) -> None:
        self._path = paths.fifo
        self._on_vrrp = on_vrrp
        self._descriptor: int | None = None
        self._rest = b""
        self.newest = Vrrp.UNKNOWN
        self._counts = Vrrp.UNKNOWN
        self._due: asyncio.TimerHandle | None = None

    def open(self) -> None:
        """Make the FIFO where it is missing, and (re)open it where it is another one than the one we read."""
        if self._descriptor is not None:
            with contextlib.suppress(OSError):
                if os.path.samestat(os.fstat(self._descriptor), self._path.stat()):
                    return
            self.close()
        if not (self._path.exists() and stat.S_ISFIFO(self._path.stat().st_mode)):
            self._path.unlink(missing_ok=True)
            os.mkfifo(self._path, 0o600)
        # Read and write: with a writer of its own the FIFO never comes to its end.
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._rest = b""
        asyncio.get_running_loop().add_reader(self._descriptor, self.read)

    def close(self) -> None:
        """Hear nothing more."""
        if self._descriptor is not None:
            asyncio.get_running_loop().remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = None

    def read(self) -> bool:
        """Take all lines that are there; True if keepalived has said anything about our instance."""
        heard = False
        while self._descriptor is not None:
            try:
                data = os.read(self._descriptor, 65536)
            except BlockingIOError:
                return heard
            *lines, self._rest = (self._rest + data).split(b"\n")
            for line in lines:
                heard = self._take(line.decode(errors="replace")) or heard
        return heard

    def _take(self, line: str) -> bool:
        match = LINE.fullmatch(line)
        if match is None or match["name"] != VRRP_INSTANCE or match["state"] not in Vrrp.__members__:
            if line and not REMARK.fullmatch(line):
                log.warning("keepalived: not understood: %r", line[:200])
            return False
        log.info("keepalived says %s", match["state"])
        self.say(Vrrp(match["state"]))
        return True

    def say(self, state: Vrrp) -> None:
        """Let ``state`` be the newest word; it counts after SETTLE seconds, unless a newer one comes first."""
        self.newest = state
        if self._due is None:
            lost = state is Vrrp.BACKUP and self._counts is Vrrp.MASTER
            self._due = asyncio.get_running_loop().call_later(SETTLE_LOSS if lost else SETTLE, self._settled)

    def _settled(self) -> None:
        self._due = None
        self._counts = self.newest
        self._on_vrrp(self.newest)


def write_fitness(paths: Paths, *, fit: bool) -> None:
    """Tell keepalived whether this node may hold the role (-254 = FAULT). It reads the file when that is closed.

    Never by another file in its place: a full /run has no room for that, and without a file keepalived takes the node
    for fit.
    """
    write_in_place(paths.fitness, FIT if fit else UNFIT, 0o644)


class Keepalived(Service):
    """The keepalived process; ready with its first word about the instance."""

    def __init__(
        self, unit: Unit, spec: KeepalivedSpec, post: Post, paths: Paths, looks: Looks, *, feed: RoleFeed
    ) -> None:
        super().__init__(unit, ProcessSpec(command(paths.keepalived_conf, paths)), self._filter, paths, looks)
        self._keepalived = spec
        self._feed = feed
        self._tell = post
        self._ready = False

    @property
    def doubt(self) -> str:
        return last_words(self.output())

    def start(self) -> None:
        self._tasks.do(self._start())

    def adopt(self, leader: ProcessId, *, ready: bool) -> None:
        self._ready = ready
        super().adopt(leader, ready=ready)

    def word(self) -> None:
        """keepalived has spoken: it is up."""
        if not self._ready and self.leader is not None and not self._stopping:
            self._ready = True
            self._tell(Event.READY, "")

    def kill(self) -> None:
        """First SIGTERM, also to the VRRP child that a killed parent leaves: it removes the VIP and says goodbye, so
        that the peer need not wait for its silence. SIGKILL if it is asked a second time."""
        if not self._stopping:
            self._quiet()
            self._stopping = True
            self._ask(everyone)
        else:
            super().kill()

    def reload(self) -> None:
        """SIGHUP: read keepalived.conf again, and say FAULT again where that is the state.

        It opens its FIFO anew, so it must be the one that we read. One that is not up yet will read the file anyway.
        """
        self._feed.open()
        if self.leader is not None and is_alive(self.leader) and not is_launching(self.leader.pid):
            os.kill(self.leader.pid, signal.SIGHUP)

    def question(self, act: WordAct, spec: KeepalivedSpec, why: str) -> None:
        """Do what is to be done about a word of its that cannot be true."""
        if act is WordAct.BELIEVE_EYES:
            log.warning("%s: this node is taken for MASTER", why)
            self._feed.say(Vrrp.MASTER)
        elif act is WordAct.ASK:
            log.warning("%s: it is asked again", why)
            self._tasks.do(self._ask_again(spec))
        else:
            log.warning("%s: it is restarted", why)
            self._looks.ask(lambda seen: kill(self._members(seen)))  # it may be frozen; ends as one that was killed

    async def _ask_again(self, spec: KeepalivedSpec) -> None:
        """Have it read its file, as that should be, and say its state again."""
        file = render_keepalived(spec, self._paths)
        try:
            if await asyncio.to_thread(write_atomically, Path(file.path), file.text, file.mode):
                log.warning("%s was not as escadm had written it: written anew", file.path)
        except EscadmError as error:
            log.warning("%s", error.message)
        self.reload()

    def _filter(self, event: Event, reason: str) -> None:
        """Service says READY when the process lives; ours is ready with its first word."""
        if event is Event.READY:
            return
        if event is Event.EXITED:
            self._feed.read()  # what it said before it died is older than its death
            self._feed.say(Vrrp.STOP)
        if event is Event.GONE:
            self._drop_vip()
        self._tell(event, reason)

    def _why_it_ended(self, code: int | None) -> str:
        """With its last words, where it ended by itself; of an adopted one the log may have others' words."""
        reason = super()._why_it_ended(code)
        ended_by_itself = code is not None and code > 0 and not self._unlaunched
        words = last_words(self.output()) if ended_by_itself else ""
        return f"{reason}: {words}" if words else reason

    async def _start(self) -> None:
        try:
            await asyncio.to_thread(self._clear_the_way)
            self._feed.open()
            self._launch(self._spec)
        except (EscadmError, OSError) as error:
            self._tell(Event.EXITED, error.message if isinstance(error, EscadmError) else str(error))

    def _clear_the_way(self) -> None:
        """Nobody else's keepalived may sit on our pid files, or ours would end at once with exit code 0, nor run as a
        unit of its own, with the same file.

        The VRRP child of a keepalived that was killed lives on for up to a second and then leaves cleanly.
        """
        for path in (self._paths.vrrp_pid, self._paths.keepalived_pid):
            with contextlib.suppress(OSError, ValueError):
                other = identify(int(path.read_text()))
                if other is not None and command_name(other.pid) == "keepalived":
                    _wait_for_end(other.pid)
                    kill([other])
            path.unlink(missing_ok=True)
        if is_booted(self._paths) and state(FOREIGN).main_pid:
            log.warning("%s runs: stopped, as keepalived is run by escadm here", FOREIGN)
            stop(FOREIGN, FOREIGN_LIMIT)
        if not self._paths.fitness.exists():
            write_fitness(self._paths, fit=True)

    def _drop_vip(self) -> None:
        """A keepalived that was killed outright leaves the VIP behind; no process holds the role, so nor may we."""
        spec = self._keepalived
        try:
            if has_address(spec.vip_interface, spec.vip):
                prefix = spec.vip_prefix or spec.vip.max_prefixlen
                run(["ip", "address", "del", f"{spec.vip}/{prefix}", "dev", spec.vip_interface], timeout=5)
                log.warning("keepalived is gone and had left the virtual address %s behind: removed", spec.vip)
        except EscadmError as error:
            log.warning("cannot remove the virtual address %s: %s", spec.vip, error.message)


def _wait_for_end(pid: int) -> None:
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        select.select([descriptor], [], [], LEAVES_WITHIN)
    finally:
        os.close(descriptor)


def question(stage: Stage, decision: Decision) -> None:
    """What was decided about a word of keepalived's that cannot be true."""
    driver, spec = stage.drivers.get("keepalived"), decision.facts.plan.keepalived
    if decision.word_act is not None and isinstance(driver, Keepalived) and spec is not None:
        driver.question(decision.word_act, spec, decision.word_why)


def reread(stage: Stage, paths: Paths, written: list[str]) -> None:
    """Have keepalived read its file again, if that is among the ``written``."""
    driver = stage.drivers.get("keepalived")
    if isinstance(driver, Keepalived) and str(paths.keepalived_conf) in written:
        driver.reload()
