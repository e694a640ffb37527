"""Commands in the other one of Debian's two releases: in a system that is built once and forgets what they change.

This work tree is /srv/escadm there, with a virtual environment of that release's Python in .venv. The command has
mounts and processes of its own, which end with the thread that has started it.
"""

from __future__ import annotations

import ast
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from escadm.errors import Failed
from tests.vm import cache
from tests.vm.build import ALONE, bootstrap, release, say

BOOKWORM, TRIXIE = "bookworm", "trixie"
HERE = release()
OTHER = BOOKWORM if HERE == TRIXIE else TRIXIE
"""The code names of this machine's Debian release, and of the one that the tests run on besides."""
TREE = Path(__file__).parents[1]
THERE = Path("/srv/escadm")
PYTHON = ".venv/bin/python"
"""From the directory that a command begins in."""
SUITES = ("unit", "engines", "golden", "cli", "lab", "packaging")
PACKAGES = ("python3-venv", "ca-certificates")
NOT_INSTALLED = ("/usr/share/locale/*", "/usr/share/info/*")
CERTIFICATES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
PROXIES = ("http_proxy", "https_proxy", "no_proxy")


def run_in(name: str, argv: Sequence[str], **settings: Any) -> subprocess.CompletedProcess[Any]:
    """As subprocess.run in the tree of the release, which may be this machine's; see ``entering``."""
    share, environment = settings.pop("share", ()), settings.pop("env", {})
    return subprocess.run(entering(name, argv, share=share, env=environment), cwd=TREE, **settings)


def entering(
    name: str, argv: Sequence[str], *, share: Sequence[Path] = (), env: Mapping[str, str] | None = None
) -> list[str]:
    """The command that runs ``argv`` in the release's tree, if it is started in this one.

    ``share``: folders that it has under the same path. ``env``: variables besides those that tell pip its way.
    """
    if name == HERE:
        return ["env", *(f"{variable}={value}" for variable, value in (env or {}).items()), *argv]
    system = root(name)
    return _entering(system, _environment(name, system), argv, share, env or {})


def root(name: str) -> Path:
    """The folder whose ``root`` is a system of that release with all that the quick suites need (built in minutes)."""
    packages = sorted({*PACKAGES, *(name for suite in SUITES for name in needed_by(suite))})

    def build(target: Path) -> None:
        say(f"building a system of Debian {name} below {cache.root()}: takes a minute or two, once")
        (target / "scratch").mkdir()
        bootstrap(name, packages, target / "root", NOT_INSTALLED)

    return cache.made(f"release-{name}", cache.key(*packages, *NOT_INSTALLED), build)


def needed_by(suite: str) -> list[str]:
    """The Debian packages that the table names for a suite."""
    for line in (TREE / "tests/packages.txt").read_text().splitlines():
        name, colon, packages = line.partition(":")
        if colon and name == suite:
            return packages.split()
    raise Failed(f"tests/packages.txt has no line for {suite}")


def _environment(name: str, system: Path) -> Path:
    """The virtual environment of that system's Python, which is bound to the tree's .venv there."""
    files = (TREE / "pyproject.toml", TREE / "tests/constraints.txt")

    def build(target: Path) -> None:
        argv = _entering(system, target, ["bash", "-c", "SUITES=unit; source tests/setup.sh"], (), {})
        if subprocess.run(argv, cwd=TREE, stdin=subprocess.DEVNULL, stdout=2).returncode:
            raise Failed(f"the set-up in {system} has failed (its output is above)")

    return cache.made(f"venv-{name}", cache.key(system.name, *(file.read_bytes() for file in files)), build)


def _entering(
    system: Path, environment: Path, argv: Sequence[str], share: Sequence[Path], env: Mapping[str, str]
) -> list[str]:
    (TREE / ".venv").mkdir(exist_ok=True)
    bound = [(path, path) for path in (*_used_by_pip(), *_repository(), *share)]
    bound += [(TREE, THERE), (environment, THERE / ".venv")]
    variables = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
    variables |= {name: value for name, value in os.environ.items() if _is_passed_on(name)} | dict(env)
    return [
        *ALONE,
        "env",
        "-i",
        *(f"{name}={value}" for name, value in variables.items()),
        "bash",
        str(Path(__file__).with_name("enter")),
        str(system),
        str(THERE),
        *(str(path) for pair in bound for path in pair),
        "--",
        *argv,
    ]


def _is_passed_on(name: str) -> bool:
    return name in ("HOME", "TERM", "CI", *CERTIFICATES) or name.startswith("PIP_") or name.lower() in PROXIES


def _repository() -> Iterator[Path]:
    """Where git has what belongs to this tree, if that is elsewhere."""
    pointer = TREE / ".git"
    if pointer.is_file():
        yield Path(pointer.read_text().removeprefix("gitdir: ").strip()).parents[1]


def _used_by_pip() -> Iterator[Path]:
    """What pip reads on this machine: its settings, its cache, and the files and folders that the settings name."""
    home = Path.home()
    fixed = ["/etc/resolv.conf", "/etc/hosts", "/etc/pip.conf", "/etc/xdg/pip", home / ".config/pip", home / ".pip"]
    words = [str(path) for path in fixed]
    told = subprocess.run([TREE / PYTHON, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True)
    for line in told.stdout.splitlines():
        words += str(ast.literal_eval(line.partition("=")[2])).split()
    words += [os.environ.get(name, "") for name in CERTIFICATES]
    (home / ".cache/pip").mkdir(parents=True, exist_ok=True)
    words.append(str(home / ".cache/pip"))
    for word in dict.fromkeys(words):
        # the files of an index lie beside its folder of pages
        path = Path(word.removeprefix("file://")).parent if word.startswith("file://") else Path(word)
        if path.is_absolute() and path.exists() and path != Path("/"):
            yield path
