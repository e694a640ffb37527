"""keepalived as a unit: its process, its fitness file, what it says when it begins and when it ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
from collections.abc import Collection, Mapping
from pathlib import Path

from escadm.agent.drivers.driver import Inherited, Post, Tools
from escadm.agent.drivers.process import Service, everyone
from escadm.core.lifecycle import Event, Life
from escadm.core.plan import Unit, spec_of
from escadm.core.rules.word import WordAct
from escadm.core.specs import KeepalivedSpec, ProcessSpec, Spec
from escadm.core.states import UnitState, Vrrp
from escadm.errors import EscadmError
from escadm.log import get
from escadm.paths import Paths
from escadm.render.keepalived import render_keepalived
from escadm.system.files import write_atomically, write_in_place
from escadm.system.keepalived import command, last_words
from escadm.system.net import has_address
from escadm.system.process import command_name, identify, is_alive, kill
from escadm.system.run import run
from escadm.system.scope import is_launching
from escadm.system.systemd import is_booted, state, stop

FIT = "0\n"
UNFIT = "-254\n"
LEAVES_WITHIN = 3.0
FOREIGN = "keepalived.service"
FOREIGN_LIMIT = 30.0

log = get(__name__)


def write_fitness(paths: Paths, *, fit: bool) -> None:
    """Tell keepalived whether this node may hold the role (-254 = FAULT). It reads the file when that is closed.

    Never by another file in its place: a full /run has no room for that, and without a file keepalived takes the node
    for fit.
    """
    write_in_place(paths.fitness, FIT if fit else UNFIT, 0o644)


class Keepalived(Service):
    """The keepalived process; ready with its first word about the instance.

    Without a spec it is one that an earlier agent has started by a definition that is no more, and that has to go.
    """

    takes_changes_up = True

    def __init__(self, unit: Unit, post: Post, tools: Tools) -> None:
        super().__init__(unit, self._filter, tools)
        self._keepalived = None if unit.spec is None else spec_of(unit, KeepalivedSpec)
        self._feed = tools.feed
        self._tell = post
        self._ready = False

    def _process(self) -> ProcessSpec:
        return ProcessSpec(command(self._paths.keepalived_conf, self._paths))

    @property
    def doubt(self) -> str:
        return last_words(self.output())

    def start(self) -> None:
        self._feed.speaker = self
        self._tasks.do(self._start())

    def adopt(self, inherited: Inherited) -> Life:
        self._feed.speaker = self
        self._ready = inherited.life.state is UnitState.RUNNING
        life = super().adopt(inherited)
        if self._keepalived is not None and self.leader is not None and is_alive(self.leader):
            self._learn_word(self._keepalived)
        return life

    def _learn_word(self, spec: KeepalivedSpec) -> None:
        """Its last word if it is still in the FIFO, else whether the VIP is here.

        Without the VIP it is BACKUP or FAULT; SIGHUP makes keepalived say FAULT again if it is that.
        """
        self._feed.open()
        if not self._feed.read():
            is_here = has_address(spec.vip_interface, spec.vip)
            self._feed.learn(Vrrp.MASTER if is_here else Vrrp.BACKUP)
            if not is_here:
                self._hang_up()
        self.word()
        log.info("keepalived runs already; this node is %s", self._feed.newest)

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

    async def reload(self, written: Collection[str]) -> None:
        if str(self._paths.keepalived_conf) in written:
            self._hang_up()

    def _hang_up(self) -> None:
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
        self._hang_up()

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
        if spec is None:
            return
        try:
            if has_address(spec.vip_interface, spec.vip):
                prefix = spec.vip_prefix or spec.vip.max_prefixlen
                run(["ip", "address", "del", f"{spec.vip}/{prefix}", "dev", spec.vip_interface], timeout=5)
                log.warning("keepalived is gone and had left the virtual address %s behind: removed", spec.vip)
        except EscadmError as error:
            log.warning("cannot remove the virtual address %s: %s", spec.vip, error.message)

    @classmethod
    def remembered(cls, unit: Unit) -> Mapping[str, str]:
        return {}

    @classmethod
    def restored(cls, remembered: Mapping[str, str]) -> Spec | None:
        return None


def _wait_for_end(pid: int) -> None:
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        select.select([descriptor], [], [], LEAVES_WITHIN)
    finally:
        os.close(descriptor)
