"""The package itself: the same bytes from the same tree, what lies in it, and that the program in it runs."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import escadm
from tests.packaging import deb as builder
from tests.packaging import layout
from tests.packaging.conftest import TIME, build_in
from tests.packaging.distributions import distributions, unlocked

ROOT = builder.ROOT
FROM_LIBC = {"libc.so.6", "libpthread.so.0", "librt.so.1", "libdl.so.2", "libm.so.6", "ld-linux-x86-64.so.2"}
NEEDED = FROM_LIBC | {"ld-linux-aarch64.so.1", "libgcc_s.so.1"}
"""What the extensions may link against: what libc6 and libgcc-s1 bring."""


def _fields(unpacked: Path) -> dict[str, str]:
    lines = (unpacked / "DEBIAN/control").read_text().splitlines()
    return {name: value.strip() for name, colon, value in (line.partition(":") for line in lines) if colon}


def _files(unpacked: Path) -> Iterator[Path]:
    yield from (path.relative_to(unpacked) for path in unpacked.rglob("*") if path.is_file())


def _run(unpacked: Path, program: str, *arguments: str, root: Path, call: str = "") -> subprocess.CompletedProcess[str]:
    """A program of the package by the machine's Python, which sees the libraries of the package alone.

    ``call``: what it does in place of its last line.
    """
    launcher = (unpacked / "usr/bin" / program).read_text()
    own = launcher.replace("/usr/lib/escadm", str(unpacked / "usr/lib/escadm"))
    if call:
        own = own.rstrip().rpartition("\n")[0] + f"\n{call}\n"
    flags = re.match(r"#!/usr/bin/python3 (-\w+)\n", launcher)
    assert flags and own != launcher
    command = [str(Path(sys.executable).resolve()), flags[1], "-c", own, *arguments]
    environment = {"PATH": os.environ["PATH"], "ESCADM_ROOT": str(root)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)


def test_another_checkout_gives_the_same_bytes(checkout: Path, deb: Path, tmp_path: Path) -> None:
    """Another folder, mask, time zone, locale, with later times, and with what running the tests leaves behind."""
    tree = tmp_path / "a longer name" / "tree"
    shutil.copytree(checkout, tree, copy_function=shutil.copyfile, ignore=shutil.ignore_patterns("__pycache__"))
    litter = tree / "escadm/core/__pycache__/types.cpython-311.pyc"
    litter.parent.mkdir()
    litter.write_bytes(b"litter")
    again = build_in(tree, tmp_path, umask=0o077, TZ="Asia/Tokyo", LC_ALL="POSIX")
    assert (again.parent, again.name) == (tmp_path, deb.name)
    assert hashlib.sha256(again.read_bytes()).digest() == hashlib.sha256(deb.read_bytes()).digest(), _difference(
        deb, again
    )


def test_its_time_is_that_of_the_commit_unless_another_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", TIME)
    assert builder.source_time() == int(TIME)
    monkeypatch.delenv("SOURCE_DATE_EPOCH")
    if (ROOT / ".git").exists():
        asked = ["git", "-c", "safe.directory=*", "-C", str(ROOT), "show", "--no-patch", "--format=%ct", "HEAD"]
        commit = subprocess.run(asked, capture_output=True, text=True).stdout.strip()
        assert str(builder.source_time()) == commit
    else:
        assert builder.source_time() == builder.WITHOUT_COMMIT


def _difference(*packages: Path) -> str:
    """The first lines of what differs in the contents: names, sizes and times, and sums."""
    told = []
    for package in packages:
        listed = subprocess.run(["dpkg-deb", "-c", package], capture_output=True, text=True).stdout
        sums = subprocess.run(["dpkg-deb", "-I", package, "md5sums"], capture_output=True, text=True).stdout
        told.append(set((listed + sums).splitlines()))
    return "\n".join(sorted(told[0] ^ told[1])[:20])


def test_lintian_finds_no_error(deb: Path) -> None:
    done = subprocess.run(
        ["lintian", "--fail-on", "error", "--no-cfg", deb], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout


def test_the_program_runs_with_the_libraries_of_the_package(unpacked: Path, tmp_path: Path) -> None:
    file = tmp_path / "opt/cisco/esc/esc-config/esc-config.yaml"
    file.parent.mkdir(parents=True)
    shutil.copyfile(unpacked / "usr/share/doc/escadm/examples/samples/pair.yaml", file)
    assert _run(unpacked, "escadm", "version", root=tmp_path).stdout.split()[-1] == escadm.__version__
    assert "pgsql" in _run(unpacked, "escadm", "plan", root=tmp_path).stdout
    assert "virtual_ipaddress" in _run(unpacked, "escadm", "diff", root=tmp_path).stdout
    told = _run(unpacked, "escadm-fence-peer", root=tmp_path, call="print(main.__module__)")
    assert told.stdout == "escadm.cli.fence_peer\n", told.stderr


def test_its_python_sees_the_package_and_nothing_of_the_machine(unpacked: Path, tmp_path: Path) -> None:
    """The lab's processes are started with it; so nobody has to set PYTHONPATH, which services would inherit."""
    python = unpacked / "usr/lib/escadm/bin/python3"
    done = subprocess.run([python, "-m", "escadm", "version"], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.split()[-1] == escadm.__version__, done.stderr
    asked = "import escadm, sys; print(escadm.__file__, *sys.path)"
    told = subprocess.run([python, "-c", asked], cwd=tmp_path, capture_output=True, text=True).stdout
    assert told.startswith(str(unpacked / "usr/lib/escadm/escadm/"))
    assert "dist-packages" not in told
    assert 'sys.executable = "/usr/lib/escadm/bin/python3"' in (unpacked / "usr/bin/escadm").read_text()


def test_it_is_compiled_for_good(unpacked: Path) -> None:
    """Each module as a .pyc that is taken without a look at the source; so nothing is ever written there."""
    for source in (unpacked / "usr/lib/escadm").rglob("*.py"):
        compiled = source.parent / "__pycache__" / f"{source.stem}.{sys.implementation.cache_tag}.pyc"
        assert compiled.read_bytes()[4:8] == b"\x01\x00\x00\x00", compiled
    traces = [path for path in unpacked.rglob("*.pyc") if str(unpacked.parent).encode() in path.read_bytes()]
    assert not traces


def test_it_depends_on_what_its_extensions_need(unpacked: Path) -> None:
    depends = _fields(unpacked)["Depends"]
    major, minor = sys.version_info[:2]
    assert f"python3 (>= {major}.{minor}), python3 (<< {major}.{minor + 1})" in depends
    assert "libc6" in depends
    assert "libgcc-s1" in depends
    for extension in unpacked.rglob("*.so"):
        told = subprocess.run(["readelf", "-d", extension], capture_output=True, text=True, check=True).stdout
        assert set(re.findall(r"\(NEEDED\).*\[(.+)\]", told)) <= NEEDED, extension


def test_it_has_the_locked_libraries_and_nothing_else(unpacked: Path) -> None:
    library = unpacked / "usr/lib/escadm"
    told = {path.name.rpartition(".dist-info")[0] for path in library.glob("*.dist-info")}
    assert len(told) == len(distributions())
    assert "PyYAML==6.0.3" in (ROOT / "tests/constraints.txt").read_text() and "pyyaml-6.0.3" in told
    foreign = {"pip", "setuptools", "pytest", "hypothesis", "_pytest", "tests", "test"}
    assert not [path for path in library.rglob("*") if path.is_dir() and path.name in foreign]
    assert not [path for path in library.rglob("*") if path.name in ("RECORD", "INSTALLER", "direct_url.json")]


def test_another_version_of_a_library_is_refused(tmp_path: Path) -> None:
    constraints = tmp_path / "constraints.txt"
    constraints.write_text((ROOT / "tests/constraints.txt").read_text().replace("PyYAML==", "PyYAML==1"))
    assert unlocked(distributions(), constraints) == ["pyyaml is 6.0.3 here, 16.0.3 in constraints.txt"]
    assert not unlocked(distributions(), ROOT / "tests/constraints.txt")


def test_everything_is_at_its_place(unpacked: Path) -> None:
    files = {str(path) for path in _files(unpacked)}
    pages = {page.stem for page in (ROOT / "docs/man").glob("*.md")}
    assert {f"usr/share/man/man{page.rpartition('.')[2]}/{page}.gz" for page in pages} <= files
    assert pages >= {"escadm.8", "esc-config.yaml.5"}
    examples = {str(each.relative_to(ROOT / "etc")) for each in (ROOT / "etc").rglob("*.yaml")}
    assert {f"usr/share/doc/escadm/examples/{each}" for each in examples} <= files
    assert files >= {
        "usr/lib/systemd/system/esc_service.service",
        "usr/lib/systemd/system/keepalived.service.d/escadm.conf",
        "usr/lib/tmpfiles.d/escadm.conf",
        "usr/share/bash-completion/completions/escadm",
        "usr/share/doc/escadm/copyright",
    }
    assert (unpacked / "DEBIAN/conffiles").read_text() == (
        "/etc/logrotate.d/escadm\n/etc/needrestart/conf.d/escadm.conf\n"
    )
    assert {name.partition("/")[0] for name in files} == {"usr", "etc", "DEBIAN"}


def test_modes(unpacked: Path) -> None:
    for path in unpacked.rglob("*"):
        runs = path.is_dir() or path.parent.name == "bin" or path.name in ("postinst", "prerm", "postrm")
        assert stat.S_IMODE(path.stat().st_mode) == (0o755 if runs else 0o644), path


def test_each_library_comes_with_its_licence(unpacked: Path) -> None:
    text = (unpacked / "usr/share/doc/escadm/copyright").read_text()
    for each in distributions().values():
        assert f"\nLicense: {each.metadata['Name']}-{each.version}\n" in text
    assert "Copyright: 2022 Samuel Colvin" in text
    assert "Frank Denis" in text, "libsodium's, which PyNaCl brings"


def test_a_unit_of_unknown_kind_is_not_left_out_in_silence(tmp_path: Path) -> None:
    (tmp_path / "esc.unit").touch()
    with pytest.raises(ValueError, match=r"systemd/esc\.unit: no place is known"):
        layout.copy_systemd(tmp_path, tmp_path / "stage")


@pytest.mark.parametrize(
    ("older", "newer"),
    [("0.1.0.dev1", "0.1.0"), ("0.1.0.dev2", "0.1.0.dev10"), ("0.2.0rc1", "0.2.0"), ("0.1.0", "0.2.0.dev1")],
)
def test_versions_sort_as_pythons_do(older: str, newer: str) -> None:
    pair = [builder.debian_version(older), "lt", builder.debian_version(newer)]
    assert subprocess.run(["dpkg", "--compare-versions", *pair]).returncode == 0


def test_logrotate_takes_the_services_logs_and_leaves_the_agents(unpacked: Path, tmp_path: Path) -> None:
    logs = tmp_path / "log"
    logs.mkdir()
    for name in ("escadm.log", "escmanager.log", "e.log"):
        (logs / name).write_text("a line\n")
    file = tmp_path / "logrotate.conf"
    file.write_text((unpacked / "etc/logrotate.d/escadm").read_text().replace("/var/log/esc", str(logs)))
    command = ["logrotate", "--verbose", "--force", "--state", str(tmp_path / "state"), str(file)]
    with (logs / "escmanager.log").open("a") as service:
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0 and "error:" not in done.stderr, done.stderr
        print("later", file=service, flush=True)
    assert (logs / "escmanager.log").read_text() == "later\n"
    left = {path.name for path in logs.iterdir()}
    assert left == {"escadm.log", "escmanager.log", "escmanager.log.1", "e.log", "e.log.1"}


def test_needrestart_leaves_our_units_alone(unpacked: Path) -> None:
    """As it reads its configuration: a fragment of Perl about %nrconf."""
    script = """our %nrconf; do $ARGV[0] or die $@ || $!;
        my %told = %{$nrconf{override_rc}};
        for my $unit (qw(esc_service.service esc_stop.service keepalived.service)) {
            print "$unit $told{$_}\n" for grep { $unit =~ $_ } keys %told;
        }"""
    file = unpacked / "etc/needrestart/conf.d/escadm.conf"
    done = subprocess.run(["perl", "-e", script, file], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("esc_service.service 0\nesc_stop.service 0\n", "")


def test_logrotates_own_check(unpacked: Path) -> None:
    done = subprocess.run(["logrotate", "--debug", unpacked / "etc/logrotate.d/escadm"], capture_output=True, text=True)
    assert done.returncode == 0
    assert "error:" not in done.stderr
