"""One of the two machines: its power, its cables, and what can be asked of the system inside."""

from __future__ import annotations

import base64
import itertools
import json
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from escadm.errors import Failed
from escadm.paths import Paths
from escadm.system.run import Completed
from tests.vm import uml
from tests.vm.channel import GuestAgent
from tests.vm.packages import THIS

if TYPE_CHECKING:
    from tests.vm.supply import Supply

LINKS = ("eth0", "eth1")
"""The network of VRRP, VIP and clients; the cross-over cable for replication."""
PATHS = Paths()
BOOT_TIMEOUT = 120.0
ENVIRONMENT = ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "HOME=/root"]
MACS = "vm.mac0=52:54:00:65:00:{number:02x} vm.mac1=52:54:00:65:01:{number:02x}"
TOLD = "systemd.hostname={hostname} vm.eth0={eth0} vm.eth1={eth1}"
"""What a machine that is not told by cloud-init who it is learns from its kernel's command line."""
SEEDED = "vm.seed"
"""Instead, on a machine that has its seed in a CD-ROM."""


@dataclass(frozen=True)
class Wiring:
    """What is different between the two: name, number, addresses with prefix."""

    name: str
    number: int
    eth0: str
    eth1: str

    @property
    def hostname(self) -> str:
        return f"node-{self.name}"

    def told(self, *, seeded: bool) -> str:
        """Words for the kernel's command line; see guest/usr/local/sbin/vm-init."""
        identity = SEEDED if seeded else TOLD.format(hostname=self.hostname, eth0=self.eth0, eth1=self.eth1)
        return f"{MACS.format(number=self.number)} {identity}"


class Machine:
    """``pair.a`` or ``pair.b``. Without power everything but :meth:`power_on` raises Failed."""

    def __init__(self, wiring: Wiring, supply: Supply, image: Path, *, seeded: bool = False) -> None:
        self.wiring, self.supply, self.image, self.seeded = wiring, supply, image, seeded
        self.name, self.hostname = wiring.name, wiring.hostname
        self.address, self.cross_address = (each.split("/")[0] for each in (wiring.eth0, wiring.eth1))
        self.console = supply.directory / f"{self.name}.console"
        self._agent: GuestAgent | None = None
        self._is_heard = False
        self._numbers = itertools.count()

    # --- power and cables -----------------------------------------------------------------------------------

    @property
    def powered(self) -> bool:
        return bool(self.supply.ask("runs", name=self.name))

    def switch_on(self) -> None:
        """Power on, without waiting for anything."""
        if self.powered:
            return
        self.hang_up()
        told = self.wiring.told(seeded=self.seeded)
        line = self.supply.start(
            self.name,
            uml.command_line(uml.kernel(), self.name, self.supply.inside, self.image, told, seeded=self.seeded),
        )
        self._agent = GuestAgent(line, self.hostname)

    def power_on(self) -> None:
        """Boot, until the system runs (some seconds)."""
        self.switch_on()
        self.wait_until_up()

    def power_cut(self) -> None:
        """The power goes at once: what was not written to a disk is lost."""
        self.supply.ask("kill", name=self.name)
        self.hang_up()

    def freeze(self) -> None:
        """The machine stands still, with all that is in it, until :meth:`thaw`."""
        self.supply.ask("signal", name=self.name, number=int(signal.SIGSTOP))

    def thaw(self) -> None:
        """It goes on; its clocks tell that time has passed."""
        self.supply.ask("signal", name=self.name, number=int(signal.SIGCONT))

    def wait_until_up(self, timeout: float = BOOT_TIMEOUT) -> None:
        """Until the guest agent answers and systemd has started what it starts at boot."""
        end = time.monotonic() + timeout
        self.wait_until_heard(timeout)
        self.exec(["systemctl", "is-system-running", "--wait"], check=False, timeout=max(end - time.monotonic(), 1.0))

    def wait_until_heard(self, timeout: float = BOOT_TIMEOUT) -> None:
        """Until the guest agent answers."""
        end, patience = time.monotonic() + timeout, 0.5
        while not self._is_heard:
            if self._agent is None or not self.powered:
                raise Failed(f"cannot boot {self.hostname}: it has ended\n{self.last_words(60)}")
            try:
                self._agent.synchronise(patience)
                self._is_heard = True
            except OSError:
                if time.monotonic() > end:
                    raise Failed(f"cannot boot {self.hostname} in {timeout:g} s\n{self.last_words(60)}") from None
            patience = min(patience * 1.2, 5.0)  # what is asked in vain fills the line

    def shutdown(self, how: str = "poweroff", timeout: float = 180.0) -> None:
        """systemd stops everything in order, then the power goes off: also for ``reboot``, until it is switched on."""
        # who could tell how that went is soon stopped as well
        self._ask("guest-exec", path="systemctl", arg=[how], env=ENVIRONMENT)
        end = time.monotonic() + timeout
        while self.powered:
            if time.monotonic() > end:
                raise Failed(f"cannot shut {self.hostname} down in {timeout:g} s\n{self.last_words(60)}")
            time.sleep(0.1)
        self.hang_up()

    def unplug(self, link: str) -> None:
        """Pull the machine's cable: it sees its carrier go."""
        self._set_cable(link, "down")

    def plug_in(self, link: str) -> None:
        """Put the cable back."""
        self._set_cable(link, "up")

    def _set_cable(self, link: str, state: str) -> None:
        if link not in LINKS:
            raise Failed(f"there is no link {link!r}: {', '.join(LINKS)}")
        self.sh(f"ip -n outside link set out{LINKS.index(link)} {state}")

    def hang_up(self) -> None:
        """The line to the machine is dead."""
        if self._agent:
            self._agent.close()
        self._agent, self._is_heard = None, False

    def _require_power(self) -> None:
        if not self.powered:
            raise Failed(f"cannot reach {self.hostname}: its power is off")

    # --- commands and files ---------------------------------------------------------------------------------

    def exec(
        self, argv: Sequence[str], *, check: bool = True, timeout: float = 60.0, stdin: str | bytes = b""
    ) -> Completed:
        """Run a command on the machine. With ``check`` an exit code other than 0 raises Failed."""
        words = [str(word) for word in argv]
        data = stdin.encode() if isinstance(stdin, str) else stdin
        path, *rest = [*self._fed_with(data), *words] if data else words
        request: dict[str, Any] = {"path": path, "arg": rest, "env": ENVIRONMENT, "capture-output": True}
        done = self._result(self._ask("guest-exec", **request)["pid"], words, timeout)
        code = done.get("exitcode", -done.get("signal", 0))
        out, err = (base64.b64decode(done.get(key, "")).decode(errors="replace") for key in ("out-data", "err-data"))
        if check and code != 0:
            raise Failed(f"{self.hostname}: {' '.join(words)} exited with code {code}: {(err or out).strip()}")
        return Completed(tuple(words), code, out, err)

    def _fed_with(self, data: bytes) -> list[str]:
        """The beginning of a command line that has this for the rest's stdin."""
        file = f"/run/vm-stdin-{next(self._numbers)}"
        with self._asked() as agent:
            agent.store(file, data)
        return ["/bin/sh", "-c", 'exec <"$1"; rm "$1"; shift; exec "$@"', "sh", file]

    def _result(self, pid: int, words: Sequence[str], timeout: float) -> dict[str, Any]:
        """Ask for the end of a command until it has come."""
        end, pause = time.monotonic() + timeout, 0.01
        while True:
            status: dict[str, Any] = self._ask("guest-exec-status", pid=pid)
            if status["exited"]:
                return status
            if time.monotonic() > end:
                self._ask("guest-exec", path="/bin/kill", arg=["-KILL", str(pid)])
                raise Failed(f"{self.hostname}: {' '.join(words)}: no end after {timeout:g} s")
            time.sleep(pause)
            pause = min(pause * 1.5, 0.2)

    def _ask(self, command: str, **arguments: Any) -> Any:
        """Ask the guest agent; Failed where there is nobody."""
        with self._asked() as agent:
            return agent.ask(command, **arguments)

    @contextmanager
    def _asked(self) -> Iterator[GuestAgent]:
        """The guest agent, who has answered before; if it does not now, it is asked from the beginning next time."""
        self._require_power()
        self.wait_until_heard()
        assert self._agent is not None
        try:
            yield self._agent
        except OSError as error:
            self._is_heard = False
            self._require_power()
            raise Failed(f"cannot reach {self.hostname}: its guest agent does not answer: {error}") from None

    def sh(self, script: str, *, check: bool = True, timeout: float = 60.0) -> str:
        """Run a few lines of shell and return what they print."""
        return self.exec(["/bin/sh", "-euc", script], check=check, timeout=timeout).stdout

    def write(self, path: str | Path, text: str, mode: int = 0o644) -> None:
        """Replace a file, making the directories above it. It is on the disk then, and outlives a power cut."""
        script = 'mkdir -p "${1%/*}" && cat >"$1" && chmod "$2" "$1" && sync "$1"'
        self.exec(["/bin/sh", "-c", script, "sh", str(path), f"{mode:o}"], stdin=text or "\n")

    def read(self, path: str | Path) -> str | None:
        """The text of a file, None when there is none."""
        done = self.exec(["cat", str(path)], check=False)
        return done.stdout if done.code == 0 else None

    # --- escadm ---------------------------------------------------------------------------------------------

    def install(self, package: str = THIS) -> None:
        """``dpkg --install`` one of the packages on the disk that is there for it; it outlives a power cut."""
        script = f'mount -r {uml.PACKAGES_DISK} /media; trap "umount /media" EXIT; dpkg --install "/media/$1"; sync'
        self.exec(["/bin/sh", "-euc", script, "sh", package], timeout=180)

    def escadm(self, *words: str, check: bool = True, timeout: float = 120.0) -> Completed:
        """Run ``escadm WORDS`` as root."""
        return self.exec(["/usr/bin/escadm", *words], check=check, timeout=timeout)

    def status(self) -> dict[str, Any]:
        """The document of ``escadm status --json``, whatever it says."""
        done = self.escadm("status", "--json", check=False)
        try:
            document: dict[str, Any] = json.loads(done.stdout)
        except json.JSONDecodeError:
            raise Failed(f"cannot read the status of {self.hostname}: {done.stderr or done.stdout}") from None
        return document

    def published(self) -> dict[str, Any]:
        """What the agent has published, as ``status`` would print it, without the second that Python takes to start:
        for waiting. Empty while there is nothing."""
        document: dict[str, Any] = json.loads(self.read(PATHS.status) or "{}") if self.powered else {}
        return document

    @property
    def role(self) -> str | None:
        """The word in ``keepalived_state``; None when there is none or the power is off."""
        return (self.read(PATHS.role) or "").strip() or None if self.powered else None

    def has_address(self, address: str, link: str = "eth0") -> bool:
        """Whether the machine has an address (without prefix) on an interface."""
        return f" {address}/" in self.exec(["ip", "-oneline", "address", "show", "dev", link]).stdout

    # --- when something went wrong --------------------------------------------------------------------------

    def last_words(self, lines: int = 15) -> str:
        """The end of the console, which outlives the power."""
        text = self.console.read_text(errors="replace") if self.console.exists() else ""
        return "\n".join([f"--- {self.hostname} console", *text.splitlines()[-lines:]])

    def logs(self, lines: int = 40) -> str:
        """The ends of the agent's log, the journal and the console."""
        journal = f"journalctl --no-pager --quiet --boot | grep -v ' qemu-ga' | tail -n{lines}"
        parts = []
        for what, command in (("log", f"tail -n{lines} {PATHS.log}"), ("journal", journal)):
            try:
                done = self.exec(["/bin/sh", "-c", command], check=False, timeout=20.0)
                parts.append(f"--- {self.hostname} {what}\n{(done.stdout or done.stderr).rstrip()}")
            except Failed as error:
                parts.append(f"--- {self.hostname} {what}: {error}")
        return "\n".join([*parts, self.last_words(lines)])
