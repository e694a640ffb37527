"""The disk of the machines: this machine's Debian release with the lab's packages, its kernel, and an initrd.

Needs root, mmdebstrap, busybox-static, cpio and e2fsprogs. The packages come through apt, from where this machine's
own apt takes Debian's. The image has nothing of escadm in it.
"""

from __future__ import annotations

import gzip
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from escadm.errors import Failed
from tests.vm import cache

HERE = Path(__file__).parent
GUEST = HERE / "guest"
RECIPE = HERE / "image.toml"


def image() -> Path:
    """The directory with ``vmlinuz``, ``initrd`` and ``base.img``, built if need be (about two minutes)."""
    files = [Path(__file__), RECIPE, HERE / "initrd-init"]
    files += sorted(path for path in GUEST.rglob("*") if path.is_file())
    parts = [part for path in files for part in (str(path.relative_to(HERE)), path.read_bytes())]
    return cache.made("image", cache.key(release(), *parts), build)


def release() -> str:
    """The code name of this machine's Debian release, which the guests get too: same release, same Python."""
    return platform.freedesktop_os_release().get("VERSION_CODENAME", "")


def build(target: Path) -> None:
    """Fill ``target``; its work files go with it when that fails."""
    if os.geteuid() != 0:
        raise Failed("cannot build the image of the virtual machines: only root can", "run this as root")
    say(f"building the image of the virtual machines below {cache.root()}: takes a minute or two, once")
    recipe = tomllib.loads(RECIPE.read_text())
    root, kernel = target / "root", target / "kernel"
    unpack_kernel(recipe["kernel"], target, kernel)
    version = next((kernel / "lib/modules").iterdir())
    make_initrd({"order": recipe["early_modules"], "seed": recipe["seed_modules"]}, version, target)
    bootstrap(recipe["packages"], target, root)
    install_modules(recipe["modules"], version, root)
    configure(recipe, root)
    make_disk(recipe["size"], root, target / "base.img")
    shutil.rmtree(root)
    shutil.rmtree(kernel)


def say(text: str) -> None:
    """A line for those who wait, past pytest's capture of stdout."""
    print(text, file=sys.__stderr__, flush=True)


def call(argv: Sequence[str | Path], *, cwd: Path | None = None, input: bytes | None = None) -> bytes:  # noqa: A002
    """Run a command of the build; Failed with the end of what it said."""
    environment = os.environ | {"LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run([str(word) for word in argv], cwd=cwd, input=input, env=environment, capture_output=True)
    if done.returncode != 0:
        end = "\n".join((done.stderr or done.stdout).decode(errors="replace").splitlines()[-20:])
        raise Failed(f"cannot build the image: {argv[0]} exited with code {done.returncode}\n{end}")
    return done.stdout


def unpack_kernel(name: str, target: Path, kernel: Path) -> None:
    """The kernel's package, unpacked and not installed: it would bring tools to make an initrd that nobody needs."""
    depends = call(["apt-cache", "depends", name]).decode().split()
    package = next((word for word in depends if word.startswith("linux-image-") and word != name), None)
    if package is None:
        raise Failed(f"cannot build the image: apt knows no {name}", "apt-get update")
    call(["apt-get", "download", package], cwd=target)
    archive = next(target.glob("linux-image-*.deb"))
    call(["dpkg-deb", "--extract", archive, kernel])
    archive.unlink()
    shutil.copy(next((kernel / "boot").glob("vmlinuz-*")), target / "vmlinuz")


def sources() -> str:
    """Where this machine's apt takes its Debian release from, as one-line entries."""
    fields = "$(REPO_URI)|$(RELEASE)|$(COMPONENT)"
    rows = call(["apt-get", "indextargets", "--format", fields, "Created-By: Packages", "Origin: Debian"]).decode()
    lines = []
    for row in rows.splitlines():
        uri, suite, component = row.split("|")
        if suite.split("-")[0] == release():
            lines.append(f"deb {uri} {suite} {component}")
    if not lines:
        raise Failed("cannot build the image: this machine's apt has no Debian sources", "apt-get update")
    return "\n".join(dict.fromkeys(lines)) + "\n"


def bootstrap(packages: Sequence[str], target: Path, root: Path) -> None:
    """A minimal Debian with the packages, without manuals and translations."""
    settings = target / "apt.conf"
    proxies = ("Acquire::http", "Acquire::https", "Acquire::Retries")
    dump = call(["apt-config", "dump"]).decode().splitlines()
    settings.write_text("".join(f"{line}\n" for line in dump if line.startswith(proxies)))
    excluded = ("/usr/share/man/*", "/usr/share/locale/*", "/usr/share/doc/*", "/usr/share/info/*")
    # what mmdebstrap mounts is in a namespace of its own, which ends with this process: a build that is killed leaves
    # neither processes nor mounts behind, and nobody ever removes files through a mount that was left
    argv: list[str | Path] = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--propagation", "private"]
    argv += ["--pid", "--fork", "--kill-child=KILL", "--mount-proc"]
    argv += ["mmdebstrap", "--variant=minbase", "--mode=root", f"--include={','.join(packages)}"]
    argv += [f"--aptopt={settings}", '--aptopt=APT::Install-Recommends "false"', "--dpkgopt=force-unsafe-io"]
    argv += [f"--dpkgopt=path-exclude={path}" for path in excluded]
    argv += [f'--essential-hook=cp -r {shlex.quote(str(GUEST / "etc/postgresql-common"))} "$1/etc/"']
    argv += [release(), root, "-"]
    call(argv, input=sources().encode())
    settings.unlink()


def install_modules(modules: Sequence[str], version: Path, root: Path) -> None:
    """Copy modules, and whole directories of them, for the image's kernel."""
    target = root / "lib/modules" / version.name
    target.mkdir(parents=True)
    for name in ("modules.builtin", "modules.builtin.modinfo", "modules.order"):
        shutil.copy(version / name, target)
    for name in (f"kernel/{module}" for module in modules):
        source = version / name
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target / name, dirs_exist_ok=True)
        elif source.exists():
            shutil.copy(source, target / name)
        else:
            raise Failed(f"cannot build the image: {version.name} has no module {name}")
    call(["chroot", root, "depmod", version.name])


def configure(recipe: Mapping[str, Any], root: Path) -> None:
    """The lab's own files, and what systemd starts."""
    shutil.copytree(GUEST, root, dirs_exist_ok=True, symlinks=True)
    units = root / "etc/systemd/system"
    for unit in recipe["masked"]:
        (units / unit).unlink(missing_ok=True)
        (units / unit).symlink_to("/dev/null")
    call(["systemctl", "--quiet", f"--root={root}", "disable", *recipe["disabled"]])
    call(["systemctl", "--quiet", f"--root={root}", "enable", *recipe["enabled"]])
    (root / "etc/machine-id").write_text("")  # without the file systemd would ask at the console
    usage = root / "etc/drbd.d/global_common.conf"
    usage.write_text(usage.read_text().replace("usage-count yes", "usage-count no"))
    call(["chroot", root, "passwd", "--delete", "root"])
    shutil.rmtree(root / "var/lib/apt/lists")


def make_disk(size: str, root: Path, disk: Path) -> None:
    """An ext4 file system with a journal, so that a power cut leaves it whole."""
    call(["truncate", "--size", size, disk])
    call(["mke2fs", "-q", "-t", "ext4", "-J", "size=8", "-E", "lazy_itable_init=1", "-d", root, disk])


def make_initrd(modules: Mapping[str, Sequence[str]], version: Path, target: Path) -> None:
    """A static busybox, the modules and in which order to load them, and the script that mounts the disk."""
    folder = target / "ramdisk"
    for name in ("bin", "proc", "sys", "dev", "modules", "root"):
        (folder / name).mkdir(parents=True)
    shutil.copy("/bin/busybox", folder / "bin")
    shutil.copy(HERE / "initrd-init", folder / "init")
    for name, words in modules.items():
        for module in words:
            shutil.copy(next(version.rglob(f"{module}.ko")), folder / "modules")
        (folder / "modules" / name).write_text("".join(f"{module}\n" for module in words))
    names = "\n".join(str(path.relative_to(folder)) for path in sorted(folder.rglob("*")))
    archive = call(["cpio", "--create", "--format=newc", "--quiet"], cwd=folder, input=names.encode())
    (target / "initrd").write_bytes(gzip.compress(archive, 1))
    shutil.rmtree(folder)
