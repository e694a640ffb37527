"""User-Mode Linux: the kernel of the machines, a program like any other. All that knows of it is here.

    https://docs.kernel.org/virt/uml/user_mode_linux_howto_v2.html

The kernel comes from Debian's newest suite, since older ones do not run on every processor, and brings its own libc. It
is fetched with lists and a cache of apt's that are the lab's own, and only unpacked: nothing of this machine changes.
"""

from __future__ import annotations

import inspect
import shutil
from pathlib import Path

from escadm.errors import Failed
from tests.vm import cache
from tests.vm.build import call, mirror, say

SUITE = "sid"
PACKAGES = ("user-mode-linux", "libc6")
KERNEL, MODULES, VERSION = "linux", "modules", "version"
MEMORY = "768M"
OPTIONS = (
    "seccomp=on",  # user code runs as it is, and is stopped at its system calls: native speed
    "noreboot",  # a reboot ends the program: whoever made the machine switches it on again
    "root=/dev/ubda",
    "rw",
    "quiet",
    "init=/usr/local/sbin/vm-init",
    "net.ifnames=0",
    "pty.legacy_count=0",  # 512 devices that nobody has a use for cost a boot a second
    "systemd.show_status=0",
    "con=null",
    "con0=null,fd:1",
    "ssl=null",
)
DATA_DISK, PACKAGES_DISK = "/dev/ubdb", "/dev/ubdc"
WITHOUT_KERNEL = f"""\
the machines need the package user-mode-linux of Debian's {SUITE}: this machine's apt must reach a Debian archive that
has that suite beside its own. Without it everything but tests/vm, the second half of tests/demo and `tests/bench
replication` works"""


class NoKernel(Failed):
    """The kernel cannot be had here; the hint says what works without it."""


def kernel() -> Path:
    """The directory with the kernel, the program ``linux``, and its ``modules``; fetched if need be (some seconds)."""
    return cache.made("kernel", key(), fetch)


def version() -> str:
    """The kernel's, as ``uname -r`` has it."""
    return (kernel() / VERSION).read_text()


def key() -> str:
    """Changes with the way in which the kernel is had."""
    return cache.key(SUITE, *PACKAGES, inspect.getsource(fetch))


def fetch(target: Path) -> None:
    """Fill ``target``; Failed, with what to do, where the kernel cannot be had."""
    say(f"fetching the kernel of the machines, from Debian's {SUITE}")
    apt = target / "apt"
    for name in ("lists/partial", "cache/archives/partial", "packages"):
        (apt / name).mkdir(parents=True)
    (apt / "sources.list").write_text(f"deb [check-valid-until=no] {mirror()} {SUITE} main\n")
    options = [f"Dir::Etc::sourcelist={apt}/sources.list", "Dir::Etc::sourceparts=-", f"Dir::State::lists={apt}/lists"]
    options += [f"Dir::Cache={apt}/cache", "APT::Sandbox::User=root"]
    command = ["apt-get", *(word for option in options for word in ("-o", option))]
    try:
        call([*command, "update"])
        call([*command, "download", *PACKAGES], cwd=apt / "packages")
    except Failed as error:
        raise NoKernel(f"cannot have the kernel of the machines: {error}", WITHOUT_KERNEL) from None
    for package in (apt / "packages").glob("*.deb"):
        call(["dpkg-deb", "--extract", package, apt / "files"])
    files = apt / "files/usr"
    shutil.move(files / "bin/linux.uml", target / KERNEL)
    [modules] = (files / "lib/uml/modules").iterdir()
    shutil.move(modules, target / MODULES)
    (target / VERSION).write_text(modules.name)
    shutil.move(next(files.glob("lib/*-linux-gnu")), target / "lib")
    # it executes itself once more, so naming its loader on the command line is not enough
    home = cache.path("kernel", key()) / "lib"
    loader = next((target / "lib").glob("ld-linux*.so.*"))
    call(["patchelf", "--set-interpreter", home / loader.name, "--set-rpath", home, target / KERNEL])
    shutil.rmtree(apt)


def command_line(program: Path, name: str, directory: Path, base: Path, told: str, *, seeded: bool) -> list[str]:
    """The machine NAME whose disks lie in ``directory``, and what its kernel is told.

    ``{agent}`` and ``{LINK}`` in it stand for descriptors: the guest agent's serial line, and cables with one frame in
    each datagram.
    """
    disks = [f"ubda={directory}/{name}.root,{base}", f"ubdb={directory}/{name}.data", f"ubdcr={directory}/packages"]
    if seeded:
        disks.append(f"ubddr={directory}/{name}.seed")
    cables = [f"vec{number}:transport=fd,fd={{eth{number}}}" for number in (0, 1)]
    identity = [f"mem={MEMORY}", f"umid={name}", f"uml_dir={directory}/uml"]
    return [str(program / KERNEL), *identity, *OPTIONS, "ssl1=fd:{agent}", *disks, *cables, told]


def make_disks(name: str, directory: Path, size: str) -> None:
    """An empty data disk. The root disk's overlay is the kernel's own work."""
    call(["truncate", "--size", size, directory / f"{name}.data"])
