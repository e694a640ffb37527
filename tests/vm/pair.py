"""The pair: two machines with systemd, keepalived and DRBD, the cables between them, and a client."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from escadm.errors import EscadmError, Failed
from escadm.system.run import Completed, run
from tests.vm import build, cache, uml
from tests.vm.build import call, say
from tests.vm.first_boot import Seed, first_boot_image
from tests.vm.image import image
from tests.vm.machine import LINKS, Machine, Wiring
from tests.vm.packages import fingerprint, packages
from tests.vm.supply import Supply

_T = TypeVar("_T")
POLL = 0.1
WIRING = (
    Wiring("a", 1, eth0="172.16.0.0/11", eth1="10.99.0.1/24"),
    Wiring("b", 2, eth0="172.16.1.0/11", eth1="10.99.0.2/24"),
)
VIP = "172.16.2.0"
DATA_SIZE = "80M"
READY_KEPT = 7200.0
"""Each state of the package has one of a few hundred megabytes."""
Make = Callable[["Pair"], None]


class Pair:
    """Two machines, ``a`` and ``b``, running and idle: no DRBD, no keepalived, no agent. A context manager.

    ``release``: the code name of the Debian release on both, this machine's own without one. ``ready`` goes on from
    disks that this function has made something of, once for each state of the package. ``seeds`` lets cloud-init make
    of the machines what these ask for, and waits for nothing. ``extras``: see :func:`tests.vm.image.image`.
    """

    def __init__(
        self,
        release: str | None = None,
        *,
        ready: Make | None = None,
        seeds: Mapping[str, Seed] | None = None,
        extras: tuple[str, ...] = (),
    ) -> None:
        self.release = release or build.release()
        self.ready = ready
        self.seeds = seeds or {}
        self.extras = extras
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
        begin = made_ready(self.release, self.extras, self.ready) if self.ready else None
        base = first_boot_image(self.release) if self.seeds else image(self.release, *self.extras)
        self.supply = Supply()
        self._stack.callback(self.supply.close)
        directory = self.supply.directory
        for wiring in WIRING:
            uml.make_disks(wiring.name, directory, DATA_SIZE)
        for disk in begin.iterdir() if begin else ():
            call(["cp", "--reflink=auto", "--sparse=always", disk, directory])
        (directory / "packages").symlink_to(packages(self.release) / "disk")
        for name, seed in self.seeds.items():
            seed.write(directory / f"{name}.seed")
        self.a, self.b = self.machines = tuple(
            Machine(wiring, self.supply, base, seeded=wiring.name in self.seeds) for wiring in WIRING
        )
        for machine in self.machines:
            self._stack.callback(machine.hang_up)
            machine.switch_on()
        for machine in self.machines:
            if machine.seeded:
                machine.wait_until_heard()
            else:
                machine.wait_until_up()

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

    def silence(self, source: Machine, target: Machine, *links: str) -> None:
        """What the one sends the other one does not hear on these links (all without any): one way alone."""
        for link in links or LINKS:
            self.block(link, [(source.name, target.name)], both_ways=False)

    def isolate(self, machine: Machine, *links: str) -> None:
        """Nobody hears the machine on these links (all without any), nor does it hear anybody. Carriers stay."""
        for link in links or LINKS:
            self.block(link, [(machine.name, name) for name in ("a", "b", "client") if name != machine.name])

    def isolate_both(self, *links: str) -> None:
        """As :meth:`isolate`, both machines at once."""
        for link in links or LINKS:
            self.block(link, [("a", "b"), ("a", "client"), ("b", "client")])

    def block(self, link: str, pairs: Iterable[tuple[str, str]], *, both_ways: bool = True) -> None:
        """Drop silently what goes between these of ``a``, ``b``, ``client`` on a link, and nothing else."""
        if link not in LINKS:
            raise Failed(f"there is no link {link!r}: {', '.join(LINKS)}")
        ways = [way for one, two in pairs for way in ([(one, two), (two, one)] if both_ways else [(one, two)])]
        self.supply.ask("block", link=link, pairs=ways)

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

    def wait_for(self, predicate: Callable[[], _T | None], timeout: float, what: str, poll: float = POLL) -> _T:
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


def made_ready(release: str, extras: tuple[str, ...], make: Make) -> Path:
    """The directory with the disks of machines that ``make`` has made something of, after an orderly power off."""
    source = Path(inspect.getfile(make))
    own = (source, *sorted(source.parent.glob("*.xml")), Path(__file__).with_name("replicated.py"))
    base = image(release, *extras)
    parts = [each.read_bytes() for each in (*own, Path(uml.__file__), Path(__file__))]
    key = cache.key(str(base), str(base.stat().st_mtime_ns), make.__qualname__, fingerprint(), *parts)

    def build_it(target: Path) -> None:
        say(f"making a pair of the machines, {release}, to begin with it as it is then")
        with Pair(release, extras=extras) as pair:
            make(pair)
            with ThreadPoolExecutor() as pool:
                list(pool.map(Machine.shutdown, pair.machines))
            for disk in (f"{wiring.name}.{kind}" for wiring in WIRING for kind in ("root", "data")):
                call(["cp", "--reflink=auto", "--sparse=always", pair.supply.directory / disk, target])

    return cache.made(f"ready-{release}", key, build_it, READY_KEPT)
