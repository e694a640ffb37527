"""The disk of the machines: a Debian release with the lab's packages, and the modules of the machines' kernel.

Needs root, mmdebstrap and e2fsprogs. The packages come through apt, from where this machine's own apt takes Debian's.
The image has nothing of escadm in it.
"""

from __future__ import annotations

import shlex
import shutil
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from escadm.errors import Failed
from tests.vm import cache, uml
from tests.vm.build import bootstrap, call, say

HERE = Path(__file__).parent
GUEST = HERE / "guest"
RECIPE = HERE / "image.toml"
DISK = "base.img"
POSTGRESQL = "/usr/lib/postgresql/current"
"""A link to the directory of the release's only version."""
EXCLUDED = ("/usr/share/man/*", "/usr/share/locale/*", "/usr/share/doc/*", "/usr/share/info/*")


def image(release: str, *extras: str) -> Path:
    """The file with a release's disk, built if need be (a minute). ``extras``: further lists of packages."""
    files = [Path(__file__), RECIPE, *sorted(path for path in GUEST.rglob("*") if path.is_file())]
    parts = [part for path in files for part in (str(path.relative_to(HERE)), path.read_bytes())]
    key = cache.key(release, *extras, uml.version(), *parts)
    return cache.made(f"image-{release}", key, lambda target: build(release, extras, target)) / DISK


def build(release: str, extras: Sequence[str], target: Path) -> None:
    """Fill ``target``; its work files go with it when that fails."""
    say(f"building the image of the machines, {release}, below {cache.root()}: takes a minute, once")
    recipe = tomllib.loads(RECIPE.read_text())
    root = target / "root"
    names = [each for name in ("packages", *extras) for each in recipe[name]]
    settings = f'--essential-hook=cp -r {shlex.quote(str(GUEST / "etc/postgresql-common"))} "$1/etc/"'
    bootstrap(release, names, root, EXCLUDED, settings)
    install_modules(recipe["modules"], root)
    configure(recipe, root)
    make_disk(recipe["size"], root, target / DISK)
    shutil.rmtree(root)


def install_modules(modules: Sequence[str], root: Path) -> None:
    """Copy modules, and whole directories of them, of the machines' kernel."""
    source = uml.kernel() / uml.MODULES
    version = uml.version()
    target = root / "lib/modules" / version
    target.mkdir(parents=True)
    for name in ("modules.builtin", "modules.builtin.modinfo", "modules.order"):
        shutil.copy(source / name, target)
    for name in (f"kernel/{module}" for module in modules):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        if (source / name).is_dir():
            shutil.copytree(source / name, target / name, dirs_exist_ok=True)
        elif (source / name).exists():
            shutil.copy(source / name, target / name)
        else:
            raise Failed(f"cannot build the image: the kernel {version} has no module {name}")
    call(["chroot", root, "depmod", version])


def configure(recipe: Mapping[str, Any], root: Path) -> None:
    """The lab's own files, and what systemd starts."""
    shutil.copytree(GUEST, root, dirs_exist_ok=True, symlinks=True)
    units = root / "etc/systemd/system"
    for unit in recipe["masked"]:
        (units / unit).unlink(missing_ok=True)
        (units / unit).symlink_to("/dev/null")
    there = [unit for unit in recipe["disabled"] if (root / f"lib/systemd/system/{unit}.service").exists()]
    call(["systemctl", "--quiet", f"--root={root}", "disable", *there])
    call(["systemctl", "--quiet", f"--root={root}", "enable", *recipe["enabled"]])
    (root / "etc/machine-id").write_text("")  # without the file systemd would ask at the console
    usage = root / "etc/drbd.d/global_common.conf"
    usage.write_text(usage.read_text().replace("usage-count yes", "usage-count no"))
    call(["chroot", root, "passwd", "--delete", "root"])
    link = root / POSTGRESQL[1:]
    [version] = link.parent.iterdir()
    link.symlink_to(version.name)
    shutil.rmtree(root / "var/lib/apt/lists")
    for folder in ("etc", "var"):
        (root / folder / ".updated").touch()  # else each first boot does what follows an update of all of /usr


def make_disk(size: str, root: Path, disk: Path) -> None:
    """An ext4 file system with a journal, so that a power cut leaves it whole."""
    call(["truncate", "--size", size, disk])
    call(["mke2fs", "-q", "-t", "ext4", "-m", "0", "-J", "size=8", "-E", "lazy_itable_init=1", "-d", root, disk])
