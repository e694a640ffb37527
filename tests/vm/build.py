"""What the builders of the lab share: saying what they do, running what they need, and Debian's packages."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from escadm.errors import Failed, NotInstalled

FIELDS = "$(REPO_URI)|$(RELEASE)|$(COMPONENT)"
PASSED_ON = ("Acquire::http", "Acquire::https", "Acquire::Retries")
"""What a new system's apt is told of this machine's: how the archive is reached."""
ALONE = ("setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc")
"""A command with mounts and processes of its own, which end with the thread that has started it: a build that is killed
leaves neither behind, and nobody ever removes files through a mount that was left."""


def say(text: str) -> None:
    """A line for those who wait, past pytest's capture of stdout."""
    print(text, file=sys.__stderr__, flush=True)


def call(argv: Sequence[str | Path], *, cwd: Path | None = None, input: bytes | None = None) -> bytes:  # noqa: A002
    """Run a command of the build; Failed with the end of what it said."""
    environment = os.environ | {"LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run([str(word) for word in argv], cwd=cwd, input=input, env=environment, capture_output=True)
    except FileNotFoundError:
        raise NotInstalled(f"there is no {argv[0]} on this machine", "tests/packages.txt names its package") from None
    if done.returncode != 0:
        end = "\n".join((done.stderr or done.stdout).decode(errors="replace").splitlines()[-20:])
        raise Failed(f"{argv[0]} exited with code {done.returncode}\n{end}")
    return done.stdout


def release() -> str:
    """The code name of this machine's Debian release."""
    return platform.freedesktop_os_release().get("VERSION_CODENAME", "")


def indexes() -> list[tuple[str, str, str]]:
    """Where this machine's apt takes Debian's packages from: address, suite, component."""
    rows = call(["apt-get", "indextargets", "--format", FIELDS, "Created-By: Packages", "Origin: Debian"]).decode()
    found = [(uri, suite, component) for uri, suite, component in (row.split("|") for row in rows.splitlines())]
    if not found:
        raise Failed("this machine's apt has no Debian sources", "apt-get update")
    return list(dict.fromkeys(found))


def mirror() -> str:
    """The address of the archive that has this machine's own suite."""
    return next((uri for uri, suite, _ in indexes() if suite == release()), indexes()[0][0])


def sources(name: str) -> str:
    """The sources of a Debian release, from where this machine's apt takes its own, as one-line entries."""
    here = release()
    lines = [f"deb {uri} {suite.replace(here, name)} {part}" for uri, suite, part in indexes() if here in suite]
    return "\n".join(dict.fromkeys(lines)) + "\n"


def bootstrap(name: str, packages: Sequence[str], root: Path, excluded: Sequence[str], *options: str) -> None:
    """A minimal system of a Debian release in the new folder ``root``, without the files that match ``excluded``."""
    if os.geteuid() != 0:
        raise Failed(f"cannot build a system of Debian {name}: only root can", "run this as root")
    settings = [line for line in call(["apt-config", "dump"]).decode().splitlines() if line.startswith(PASSED_ON)]
    argv: list[str | Path] = [*ALONE, "mmdebstrap", "--variant=minbase", "--mode=root"]
    argv += [f"--include={','.join(packages)}", "--dpkgopt=force-unsafe-io"]
    argv += [f"--aptopt={line}" for line in ('APT::Install-Recommends "false"', *settings)]
    argv += [*(f"--dpkgopt=path-exclude={path}" for path in excluded), *options, name, root, "-"]
    call(argv, input=sources(name).encode())
