"""One of the two machines: its qemu, and what can be asked of the system inside."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from escadm.errors import Failed
from escadm.paths import Paths
from escadm.system.run import Completed
from tests.vm.channel import TURN, GuestAgent, Qmp
from tests.vm.packages import THIS

if TYPE_CHECKING:
    from tests.vm.pair import Supply

LINKS = ("eth0", "eth1")
"""The network of VRRP, VIP and clients; the cross-over cable for replication."""
PATHS = Paths()
BOOT_TIMEOUT = 240.0
MEMORY = "768M"
PROCESSOR = "Nehalem-v1"
"""One without wide vectors: emulated, these cost more than they save (a boot takes a fifth longer)."""
ENVIRONMENT = ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "HOME=/root"]
KERNEL_OPTIONS = (
    "console=ttyS0 quiet panic=-1 mitigations=off no_timer_check net.ifnames=0 random.trust_cpu=on "
    "systemd.show_status=0"
)
"""``no_timer_check``: on a busy host the kernel may find that its timer does not tick, and panic."""
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


def command_line(
    wiring: Wiring, image: Path, directory: Path, *, saved: str | None = None, seeded: bool = False
) -> list[str]:
    """qemu's: software emulation alone, since nested virtualisation breaks in too many ways. ``saved``: a state."""
    base = directory / wiring.name
    told = SEEDED if seeded else TOLD.format(hostname=wiring.hostname, eth0=wiring.eth0, eth1=wiring.eth1)
    argv = ["qemu-system-x86_64", "-name", wiring.hostname, "-accel", "tcg", "-machine", "q35", "-cpu", PROCESSOR]
    argv += ["-smp", "1", "-m", MEMORY, "-nodefaults", "-display", "none", "-no-reboot"]
    argv += ["-kernel", f"{image}/vmlinuz", "-initrd", f"{image}/initrd", "-append", f"{KERNEL_OPTIONS} {told}"]
    argv += ["-chardev", f"file,id=console,path={base}.console,append=on", "-serial", "chardev:console"]
    for disk in ("root", "data"):
        argv += ["-drive", f"file={base}.{disk},if=virtio,format=qcow2,cache=unsafe"]
    argv += ["-drive", f"file={directory}/packages,if=virtio,format=raw,readonly=on"]
    if seeded:
        argv += ["-drive", f"file={base}.seed,if=none,id=seed,format=raw,readonly=on"]
        argv += ["-device", "virtio-scsi-pci", "-device", "scsi-cd,drive=seed"]
    for index, link in enumerate(LINKS):
        cable = f"local.type=unix,local.path={base}.{link},remote.type=unix,remote.path={base}.{link}.switch"
        argv += ["-netdev", f"dgram,id=cable{index},{cable}"]
        mac = f"52:54:00:65:{index:02x}:{wiring.number:02x}"
        argv += ["-device", f"virtio-net-pci,netdev=cable{index},id={link},mac={mac},romfile="]
    argv += ["-device", "virtio-serial", "-chardev", f"socket,id=agent,path={base}.agent,server=on,wait=off"]
    argv += ["-device", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0", "-device", "virtio-rng-pci"]
    argv += ["-qmp", f"unix:{base}.qmp,server=on,wait=off"]
    return [*argv, "-S", "-loadvm", saved] if saved else argv


class Machine:
    """``pair.a`` or ``pair.b``. Without power everything but :meth:`power_on` raises Failed."""

    def __init__(self, wiring: Wiring, supply: Supply, image: Path, *, seeded: bool = False) -> None:
        self.wiring, self.supply, self.image, self.seeded = wiring, supply, image, seeded
        self.name, self.hostname = wiring.name, wiring.hostname
        self.address, self.cross_address = (each.split("/")[0] for each in (wiring.eth0, wiring.eth1))
        self.console = supply.directory / f"{self.name}.console"
        self._agent: GuestAgent | None = None
        self._qmp: Qmp | None = None

    # --- power and cables -----------------------------------------------------------------------------------

    @property
    def powered(self) -> bool:
        return bool(self.supply.ask("runs", name=self.name))

    def switch_on(self, saved: str | None = None) -> None:
        """Power on, without waiting for anything; ``saved`` goes on from a saved state."""
        if self.powered:
            return
        self.hang_up()
        argv = command_line(self.wiring, self.image, self.supply.directory, saved=saved, seeded=self.seeded)
        self.supply.ask("start", name=self.name, argv=argv)

    def go_on(self) -> None:
        """Let a machine that was switched on from a saved state run."""
        end = time.monotonic() + TURN
        while True:
            try:
                self.qmp.ask("cont")
                return
            except OSError:
                if not self.powered or time.monotonic() > end:
                    raise Failed(f"cannot go on with {self.hostname}: no answer\n{self.last_words()}") from None
            time.sleep(0.05)

    def power_on(self) -> None:
        """Boot, until the system runs (about half a minute)."""
        self.switch_on()
        self.wait_until_up()

    def power_cut(self) -> None:
        """The power goes at once: what was not written to a disk is lost."""
        self.supply.ask("kill", name=self.name)
        self.hang_up()

    def wait_until_up(self, timeout: float = BOOT_TIMEOUT) -> None:
        """Until the guest agent answers and systemd has started what it starts at boot."""
        end = time.monotonic() + timeout
        self.wait_until_heard(timeout)
        self.exec(["systemctl", "is-system-running", "--wait"], check=False, timeout=max(end - time.monotonic(), 1.0))

    def wait_until_heard(self, timeout: float = BOOT_TIMEOUT) -> None:
        """Until the guest agent answers."""
        end = time.monotonic() + timeout
        while self._agent is None:
            try:
                self._agent = GuestAgent(self._socket("agent"), timeout=1.0)
            except OSError:
                if not self.powered:
                    raise Failed(f"cannot boot {self.hostname}: its qemu has ended\n{self.last_words()}") from None
                if time.monotonic() > end:
                    raise Failed(f"cannot boot {self.hostname} in {timeout:g} s\n{self.last_words()}") from None
                time.sleep(0.1)
        self._agent.patience(TURN)

    def shutdown(self, how: str = "poweroff", timeout: float = 180.0) -> None:
        """systemd stops everything in order, then the power goes off: also for ``reboot``, until it is switched on."""
        # who could tell how that went is soon stopped as well
        self._ask("guest-exec", path="systemctl", arg=[how], env=ENVIRONMENT)
        end = time.monotonic() + timeout
        while self.powered:
            if time.monotonic() > end:
                raise Failed(f"cannot shut {self.hostname} down in {timeout:g} s\n{self.last_words()}")
            time.sleep(0.1)
        self.hang_up()

    def unplug(self, link: str) -> None:
        """Pull the machine's cable: it sees its carrier go."""
        self.qmp.ask("set_link", name=link, up=False)

    def plug_in(self, link: str) -> None:
        """Put the cable back."""
        self.qmp.ask("set_link", name=link, up=True)

    @property
    def qmp(self) -> Qmp:
        if self._qmp is None:
            self._require_power()
            self._qmp = Qmp(self._socket("qmp"))
        return self._qmp

    def _socket(self, kind: str) -> Path:
        return self.supply.directory / f"{self.name}.{kind}"

    def hang_up(self) -> None:
        """Close the connections to the machine; the next question opens them again."""
        for channel in (self._agent, self._qmp):
            if channel:
                channel.close()
        self._agent = self._qmp = None

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
        request: dict[str, Any] = {"path": words[0], "arg": words[1:], "env": ENVIRONMENT, "capture-output": True}
        if data:
            request["input-data"] = base64.b64encode(data).decode()
        done = self._result(self._ask("guest-exec", **request)["pid"], words, timeout)
        code = done.get("exitcode", -done.get("signal", 0))
        out, err = (base64.b64decode(done.get(key, "")).decode(errors="replace") for key in ("out-data", "err-data"))
        if check and code != 0:
            raise Failed(f"{self.hostname}: {' '.join(words)} exited with code {code}: {(err or out).strip()}")
        return Completed(tuple(words), code, out, err)

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
        """Ask the guest agent, on a new line if the old one is broken; Failed where there is nobody."""
        try:
            if self._agent is None:
                self._require_power()
                self._agent = GuestAgent(self._socket("agent"))
            return self._agent.ask(command, **arguments)
        except OSError as error:
            self.hang_up()
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
        script = 'mount -r /dev/vdc /media; trap "umount /media" EXIT; dpkg --install "/media/$1"; sync'
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
        """The end of the console, which outlives the power, and of what qemu said."""
        parts = []
        for file in (self.console, self.supply.directory / f"{self.name}.qemu.log"):
            if file.exists():
                tail = file.read_text(errors="replace").splitlines()[-lines:]
                parts.append("\n".join([f"--- {self.hostname} {file.name}", *tail]))
        return "\n".join(parts)

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
