"""Debian's releases: which one this machine has, and the other one in a folder of its own.

The packages come through apt, from where this machine's own apt takes Debian's.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from escadm.errors import Failed

BOOKWORM, TRIXIE = "bookworm", "trixie"
HERE = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
"""The code name of this machine's release."""
OTHER = BOOKWORM if HERE == TRIXIE else TRIXIE
ALONE = ("setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc")
"""Mounts and processes of a command's own: all of them end with the process (the thread, even) that has started it."""


def say(text: str) -> None:
    """A line for those who wait, past pytest's capture of stdout."""
    print(text, file=sys.__stderr__, flush=True)


def call(argv: Sequence[str | Path], *, input: bytes | None = None) -> bytes:  # noqa: A002
    """What a command says; Failed, with the end of it, where its exit code is not 0."""
    environment = os.environ | {"LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run([str(word) for word in argv], input=input, env=environment, capture_output=True)
    if done.returncode != 0:
        end = "\n".join((done.stderr or done.stdout).decode(errors="replace").splitlines()[-20:])
        raise Failed(f"{argv[0]} exited with code {done.returncode}\n{end}")
    return done.stdout


def sources(release: str) -> str:
    """Where this machine's apt would take a release from, as one-line entries."""
    fields = "$(REPO_URI)|$(RELEASE)|$(COMPONENT)"
    rows = call(["apt-get", "indextargets", "--format", fields, "Created-By: Packages", "Origin: Debian"]).decode()
    lines = []
    for row in rows.splitlines():
        uri, suite, component = row.split("|")
        name, dash, pocket = suite.partition("-")
        if name == HERE and pocket != "backports":
            lines.append(f"deb {uri} {release}{dash}{pocket} {component}")
    if not lines:
        raise Failed("this machine's apt has no Debian sources", "apt-get update")
    return "\n".join(dict.fromkeys(lines)) + "\n"


def bootstrap(release: str, packages: Sequence[str], root: Path, *options: str) -> None:
    """A minimal system of the release with the packages in the folder ``root``; ``options`` are mmdebstrap's."""
    if os.geteuid() != 0:
        raise Failed(f"cannot build a system of Debian {release}: only root can", "run this as root")
    proxies = ("Acquire::http", "Acquire::https", "Acquire::Retries")
    dump = call(["apt-config", "dump"]).decode().splitlines()
    settings = [f"--aptopt={line}" for line in dump if line.startswith(proxies)]
    # what mmdebstrap mounts is in a namespace of its own, which ends with this process: a build that is killed leaves
    # neither processes nor mounts behind, and nobody ever removes files through a mount that was left
    argv: list[str | Path] = [*ALONE, "mmdebstrap", "--variant=minbase", "--mode=root"]
    argv += [f"--include={','.join(packages)}", '--aptopt=APT::Install-Recommends "false"', *settings]
    argv += ["--dpkgopt=force-unsafe-io", *options, release, root, "-"]
    call(argv, input=sources(release).encode())
