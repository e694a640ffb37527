"""Builds the .deb: a staged tree, its control files, one archive. The same tree gives the same bytes everywhere."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from string import Template

from tests.packaging import layout
from tests.packaging.completion import completion
from tests.packaging.copyright import Unlicensed, copyright_file
from tests.packaging.distributions import copy_files, distributions, unlocked

ROOT = Path(__file__).parents[2]
LIBRARY = "usr/lib/escadm"
MAINTAINER = "escadm maintainers <maintainers@escadm.invalid>"
SCRIPTS = Path(__file__).parent / "scripts"
WITHOUT_COMMIT = 1580601600
"""The time of all files where there is neither SOURCE_DATE_EPOCH nor git: the one that hatchling gives to a wheel."""
VERSION = re.compile(r'^(__version__ = ")([^"]+)(")$', re.MULTILINE)


class Unbuildable(Exception):
    """The package cannot be built: one sentence that says why."""


def build(output: Path, version: str | None = None) -> Path:
    """Write ``escadm_VERSION_ARCH.deb`` into the folder ``output``, and tell its path.

    ``version``: another one than escadm/__init__.py's, which the packaged program tells as well.
    """
    _check_environment()
    version = version or source_version()
    architecture = _said_by("dpkg", "--print-architecture")
    target = output.absolute() / f"escadm_{debian_version(version)}_{architecture}.deb"
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="escadm-package-") as folder:
        stage = Path(folder) / "stage"
        _fill(stage, version)
        _write_control(stage, debian_version(version), architecture)
        _same_everywhere(stage)
        made = Path(folder) / target.name
        _pack(stage, made)
        shutil.move(made, target)
    return target


def source_version() -> str:
    """The version in the tree."""
    found = VERSION.search((ROOT / "escadm/__init__.py").read_text(encoding="utf-8"))
    if found is None:
        raise Unbuildable("escadm/__init__.py has no __version__")
    return found[2]


def debian_version(version: str) -> str:
    """A version of Python's as Debian sorts it: what comes before the release with a ``~``."""
    return re.sub(r"\.?(dev|a|b|rc)(\d+)", r"~\1\2", version)


def source_time() -> int:
    """When the files of the package were last changed: SOURCE_DATE_EPOCH, or the commit's time."""
    if given := os.environ.get("SOURCE_DATE_EPOCH"):
        return int(given)
    asked = ["git", "-c", "safe.directory=*", "-C", str(ROOT), "log", "-1", "--format=%ct"]
    if shutil.which("git") and (ROOT / ".git").exists():
        return int(_said_by(*asked))
    return WITHOUT_COMMIT


def _check_environment() -> None:
    for program, package in (("dpkg-deb", "dpkg"), ("go-md2man", "go-md2man"), ("strip", "binutils")):
        if shutil.which(program) is None:
            raise Unbuildable(f"needs {program}: apt-get install {package}")
    if problems := unlocked(distributions(), ROOT / "tests/constraints.txt"):
        raise Unbuildable("the environment is not the locked one: " + "; ".join(problems))


def _fill(stage: Path, version: str) -> None:
    library = stage / LIBRARY
    shutil.copytree(ROOT / "escadm", library / "escadm", ignore=shutil.ignore_patterns("__pycache__"))
    told = library / "escadm/__init__.py"
    layout.write(told, VERSION.sub(rf"\g<1>{version}\g<3>", told.read_text(encoding="utf-8")))
    for distribution in distributions().values():
        copy_files(distribution, library)
    _strip(library)
    _compile(stage)
    layout.make_interpreter(library, "{}.{}".format(*sys.version_info))
    layout.copy_programs(stage)
    layout.copy_systemd(ROOT / "systemd", stage)
    layout.copy_configuration(ROOT / "etc", stage)
    layout.copy_manual(ROOT / "docs/man", stage)
    _write_documents(stage, debian_version(version))


def _strip(library: Path) -> None:
    """Extensions as their authors publish them have symbols that only a debugger reads."""
    command: list[str | Path] = ["strip", "--strip-unneeded", "--enable-deterministic-archives"]
    subprocess.run([*command, *sorted(library.rglob("*.so"))], check=True)


def _compile(stage: Path) -> None:
    """One fresh process: what it had seen before would show in the order of what the files share."""
    python = Path(sys.executable).resolve()
    mode = ["--invalidation-mode", "unchecked-hash"]
    command: list[str | Path] = [python, "-S", "-s", "-m", "compileall", "-q", *mode, "-p", "/", LIBRARY]
    environment = {"PATH": "/usr/bin:/bin", "PYTHONHASHSEED": "0"}
    subprocess.run(command, cwd=stage, env=environment, check=True)


def _write_documents(stage: Path, version: str) -> None:
    share = stage / "usr/share"
    documents = share / "doc/escadm"
    try:
        layout.write(documents / "copyright", copyright_file(distributions()))
    except Unlicensed as problem:
        raise Unbuildable(str(problem)) from problem
    layout.write(share / "bash-completion/completions/escadm", completion())
    layout.place(layout.FILES / "lintian-overrides", share / "lintian/overrides/escadm")
    layout.compress((ROOT / "CHANGELOG.md").read_bytes(), documents / "CHANGELOG.md.gz")
    date = format_datetime(datetime.fromtimestamp(source_time(), UTC))
    entry = f"escadm ({version}) unstable; urgency=medium\n\n  * See CHANGELOG.md.gz.\n\n -- {MAINTAINER}  {date}\n"
    layout.compress(entry.encode(), documents / "changelog.gz")


def _write_control(stage: Path, version: str, architecture: str) -> None:
    files = sorted(file for file in stage.rglob("*") if file.is_file())
    conffiles = layout.conffiles(stage)
    control = stage / "DEBIAN"
    major, minor = sys.version_info[:2]
    fields = {
        "version": version,
        "architecture": architecture,
        "maintainer": MAINTAINER,
        "size": sum(-(-file.stat().st_size // 1024) for file in files),
        "python": f"{major}.{minor}",
        "next_python": f"{major}.{minor + 1}",
    }
    text = Template((layout.FILES / "control").read_text(encoding="utf-8"))
    layout.write(control / "control", text.substitute(fields))
    layout.write(control / "conffiles", conffiles)
    sums = [f"{hashlib.md5(each.read_bytes()).hexdigest()}  {each.relative_to(stage)}\n" for each in files]  # noqa: S324
    layout.write(control / "md5sums", "".join(sums))
    for script in sorted(SCRIPTS.iterdir()):
        shutil.copyfile(script, control / script.name)


def _same_everywhere(stage: Path) -> None:
    """Modes and times that depend on neither umask nor checkout."""
    time = source_time()
    for path in (stage, *stage.rglob("*")):
        runs = path.is_dir() or path.parent == stage / "usr/bin" or path.name in ("postinst", "prerm", "postrm")
        if not path.is_symlink():
            path.chmod(0o755 if runs else 0o644)
        os.utime(path, (time, time), follow_symlinks=False)


def _pack(stage: Path, target: Path) -> None:
    """gzip: half the size of the tree, and five times quicker to unpack than xz on a slow machine."""
    environment = {"PATH": os.environ["PATH"], "SOURCE_DATE_EPOCH": str(source_time())}
    command: list[str | Path] = ["dpkg-deb", "--root-owner-group", "-Zgzip", "-z6", "--build", stage, target]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise Unbuildable(f"dpkg-deb failed: {done.stderr.strip()}")


def _said_by(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
