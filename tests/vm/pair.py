"""The pair: two virtual machines with systemd, keepalived and DRBD, the cables between them, and a client."""

from __future__ import annotations

import inspect
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from escadm.errors import EscadmError, Failed
from escadm.system.run import Completed, run
from tests.vm import cache
from tests.vm.first_boot import Seed, first_boot_image
from tests.vm.image import call, image, say
from tests.vm.machine import LINKS, Machine, Wiring, command_line
from tests.vm.packages import SIZE, fingerprint, packages

_T = TypeVar("_T")
POLL = 0.1
WIRING = (
    Wiring("a", 1, eth0="172.16.0.0/11", eth1="10.99.0.1/24"),
    Wiring("b", 2, eth0="172.16.1.0/11", eth1="10.99.0.2/24"),
)
VIP = "172.16.2.0"
GATEWAY = "172.16.3.254"
CLIENT = ("172.16.3.1/11", f"{GATEWAY}/11")
"""The client's address, and the one that the nodes may take for their gateway."""
DATA_SIZE = "80M"
SAVED = "booted"
READY_KEPT = 7200.0
"""Each state of the package has one of half a gigabyte."""
TURN = 30.0


class Supply:
    """The rack's process, seen from outside; see tests/vm/rack.py."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="run-", dir=cache.root()))
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.settimeout(TURN)
        with theirs:
            argv = [sys.executable, "-m", "tests.vm.rack", str(theirs.fileno()), str(self.directory)]
            here = Path(__file__).parents[2]
            self._rack = subprocess.Popen(argv, cwd=here, pass_fds=[theirs.fileno()], start_new_session=True)
        self._answer()
        self.ask("switch", link="eth0", machines=["a", "b"], client=list(CLIENT))
        self.ask("switch", link="eth1", machines=["a", "b"], client=[])

    def ask(self, do: str, **fields: Any) -> Any:
        """Send a message and return the answer's value."""
        self._control.send(json.dumps({"do": do, **fields}).encode())
        return self._answer()

    def _answer(self) -> Any:
        message = self._control.recv(1 << 16)
        if not message:
            raise Failed("cannot make the machines' switch: its process has ended")
        answer = json.loads(message)
        if "error" in answer:
            raise Failed(f"the machines' switch: {answer['error']}")
        return answer["value"]

    @property
    def pid(self) -> int:
        return self._rack.pid

    def close(self) -> None:
        """Everything ends; returns when it has."""
        self._control.close()
        self._rack.wait()


class Pair:
    """Two machines, ``a`` and ``b``, running and idle: no DRBD, no keepalived, no agent. A context manager.

    It starts from a saved state, in seconds. ``boot`` True boots them instead; ``ready`` goes on from where that
    function has brought them, once for each state of the package; ``seeds`` lets cloud-init make of them what these
    ask for, and waits for nothing. One pair at a time on a machine: a second one waits.
    """

    def __init__(
        self,
        *,
        boot: bool = False,
        ready: Callable[[Pair], None] | None = None,
        seeds: Mapping[str, Seed] | None = None,
    ) -> None:
        self.boot = boot
        self.ready = ready
        self.seeds = seeds or {}
        self._stack = ExitStack()

    def __enter__(self) -> Pair:
        try:
            self.up()
        except BaseException:
            self.down()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()

    # --- up and down ----------------------------------------------------------------------------------------

    def up(self) -> None:
        """Make what is not cached, and start the machines."""
        self._stack.enter_context(cache.locked())
        base = image()
        if self.seeds:
            self._start(first_boot_image(base), None)
            return
        saved = None if self.boot else saved_state(base)
        if self.ready is not None and saved is not None:
            saved = ready_state(base, saved, self.ready)
        self._start(base, saved)

    def _start(self, base: Path, saved: Path | None) -> None:
        self.supply = Supply()
        self._stack.callback(self.supply.close)
        directory = self.supply.directory
        if saved:
            for disk in saved.iterdir():
                call(["cp", "--reflink=auto", "--sparse=always", disk, directory])
        else:
            make_disks(base, directory)
        (directory / "packages").symlink_to(packages() / "disk")
        for name, seed in self.seeds.items():
            seed.write(directory / f"{name}.seed")
        self.a, self.b = self.machines = tuple(
            Machine(wiring, self.supply, base, seeded=wiring.name in self.seeds) for wiring in WIRING
        )
        for machine in self.machines:
            self._stack.callback(machine.hang_up)
            machine.switch_on(SAVED if saved else None)
        for machine in self.machines if saved else ():
            machine.go_on()
        for machine in self.machines:
            if machine.seeded:
                machine.wait_until_heard()
                continue
            machine.wait_until_up()
            machine.exec(["date", "--set", f"@{time.time():.3f}"])

    def down(self) -> None:
        """Everything ends, and nothing stays behind."""
        self._stack.close()

    def install(self) -> None:
        """Both machines get the package of this work tree."""
        with ThreadPoolExecutor() as pool:
            list(pool.map(Machine.install, self.machines))

    def other(self, machine: Machine) -> Machine:
        """The peer."""
        return self.b if machine is self.a else self.a

    # --- cables ---------------------------------------------------------------------------------------------

    def cut(self, link: str, machine: Machine | None = None) -> None:
        """Pull a machine's cable, or both machines': they see the carrier go."""
        for each in [machine] if machine else self.machines:
            each.unplug(link)

    def partition(self, *links: str) -> None:
        """The machines no longer hear each other on these links (all without any); the client still hears both."""
        for link in links or LINKS:
            self.block(link, [("a", "b")])

    def isolate(self, machine: Machine, *links: str) -> None:
        """Nobody hears the machine on these links (all without any), nor does it hear anybody. Carriers stay."""
        for link in links or LINKS:
            self.block(link, [(machine.name, name) for name in ("a", "b", "client") if name != machine.name])

    def block(self, link: str, pairs: Iterable[tuple[str, str]]) -> None:
        """Drop silently what goes between these of ``a``, ``b``, ``client`` on a link, and nothing else."""
        self.supply.ask("block", link=link, pairs=[list(pair) for pair in pairs])

    def heal(self, *links: str) -> None:
        """All cables are plugged in, and everybody hears everybody, on these links (all without any)."""
        for link in links or LINKS:
            self.block(link, [])
            for machine in self.machines:
                if machine.powered:
                    machine.plug_in(link)

    # --- the client -----------------------------------------------------------------------------------------

    def client_argv(self, *argv: str) -> list[str]:
        """``argv`` as a command line that runs on the client: this machine's programs and files, eth0's network."""
        return ["nsenter", "--target", str(self.supply.pid), "--net", "--", *argv]

    def client(self, *argv: str, check: bool = True, timeout: float = 60.0) -> Completed:
        """Run a command on the client."""
        return run(self.client_argv(*argv), timeout=timeout, ok=(0,) if check else range(256))

    # --- waiting --------------------------------------------------------------------------------------------

    def wait_for(self, predicate: Callable[[], _T], timeout: float, what: str, poll: float = POLL) -> _T:
        """Ask ``predicate`` until its answer is true, and return that. Failed with both logs after ``timeout``.

        An EscadmError counts as "not yet".
        """
        end = time.monotonic() + timeout
        complaint = ""
        while True:
            try:
                if answer := predicate():
                    return answer
                complaint = ""
            except EscadmError as error:
                complaint = f"\nthe last attempt said: {error}"
            if time.monotonic() >= end:
                raise Failed(f"waited {timeout:g} s for {what}, in vain{complaint}\n{self.logs()}")
            time.sleep(poll)

    def logs(self, lines: int = 40) -> str:
        """The ends of both machines' logs, for a report."""
        return "\n".join(machine.logs(lines) for machine in self.machines)


def prepare() -> None:
    """Make what is not cached yet: the packages, the image and the saved state."""
    with cache.locked():
        packages()
        saved_state(image())


def prepare_first_boot() -> None:
    """Make the image of machines that have never booted, if it is not cached yet."""
    with cache.locked():
        first_boot_image(image())


def make_disks(base: Path, directory: Path) -> None:
    """An overlay over the image and an empty data disk, for each machine."""
    for wiring in WIRING:
        root, data = directory / f"{wiring.name}.root", directory / f"{wiring.name}.data"
        call(["qemu-img", "create", "-q", "-f", "qcow2", "-b", base / "base.img", "-F", "raw", root])
        call(["qemu-img", "create", "-q", "-f", "qcow2", data, DATA_SIZE])


def saved_state(base: Path) -> Path:
    """The directory with the disks of both machines as they were saved while they ran, idle, after a boot."""
    nowhere = Path("/")
    lines = [command_line(wiring, nowhere, nowhere) for wiring in WIRING]
    version = call(["qemu-system-x86_64", "--version"])
    key = cache.key(version, json.dumps(lines), str(base), DATA_SIZE, SIZE)
    return cache.made("state", key, lambda target: save(base, target))


def save(base: Path, target: Path) -> None:
    """Boot both machines, and save them."""
    say("booting the virtual machines once, to save them as they are then: takes a minute")
    pair = Pair(boot=True)
    with pair._stack:
        pair._start(base, None)
        for machine in pair.machines:
            machine.sh("sync; systemctl reset-failed")
        freeze(pair, target)


def ready_state(base: Path, saved: Path, ready: Callable[[Pair], None]) -> Path:
    """As saved_state, of machines that ``ready`` has made something of, once for each state of the package."""
    source = Path(inspect.getfile(ready)).read_bytes()
    key = cache.key(str(saved), ready.__qualname__, source, fingerprint())

    def make(target: Path) -> None:
        say("making a pair of the machines, to save it as it is then: takes a minute or two")
        pair = Pair()
        with pair._stack:
            pair._start(base, saved)
            ready(pair)
            freeze(pair, target)

    return cache.made("ready", key, make, READY_KEPT)


def freeze(pair: Pair, target: Path) -> None:
    """Save both machines as they are at one moment, end them, and move their disks to ``target``."""
    for machine in pair.machines:
        machine.qmp.ask("stop")
    for machine in pair.machines:
        complaint = machine.qmp.human(f"savevm {SAVED}").strip()
        if complaint:
            raise Failed(f"cannot save {machine.hostname}: {complaint}")
        machine.power_cut()
        for disk in ("root", "data"):
            shutil.move(pair.supply.directory / f"{machine.name}.{disk}", target)
