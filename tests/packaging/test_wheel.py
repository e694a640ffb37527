"""``pip install`` brings all that the program needs: templates, catalogue, both commands."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import escadm
from tests.packaging.deb import ROOT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    _pip("wheel", "--no-deps", "--wheel-dir", folder, ROOT)
    return next(folder.glob("*.whl"))


def _pip(*arguments: str | Path) -> None:
    environment = os.environ | {"PIP_CONSTRAINT": str(ROOT / "tests/constraints.txt"), "PIP_NO_COMPILE": "1"}
    command: list[str | Path] = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def venv(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment into which the wheel was installed."""
    made = tmp_path_factory.mktemp("installed") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", made], check=True)
    _pip("--python", made / "bin/python", "install", wheel)
    return made


def test_the_wheel_has_the_whole_package_and_nothing_else(wheel: Path) -> None:
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    tree = (path for path in (ROOT / "escadm").rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    assert packed == {str(path.relative_to(ROOT)) for path in tree}


def test_the_program_runs_where_the_wheel_was_installed(venv: Path, tmp_path: Path) -> None:
    file = tmp_path / "root/opt/cisco/esc/esc-config/esc-config.yaml"
    file.parent.mkdir(parents=True)
    shutil.copyfile(ROOT / "etc/samples/pair.yaml", file)

    def said(*arguments: str) -> str:
        command = [str(venv / "bin/escadm"), *arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert done.stdout, done.stderr
        return done.stdout

    assert said("version").split()[-1] == escadm.__version__
    assert "pgsql" in said("--root", str(tmp_path / "root"), "plan")
    assert "virtual_ipaddress" in said("--root", str(tmp_path / "root"), "diff")
    assert (venv / "bin/escadm-fence-peer").exists()


def test_a_program_that_imports_the_package_gets_its_types(venv: Path, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text("from escadm.core.states import Role\n\nrole: int = Role.MASTER\n")
    mypy = Path(sys.executable).with_name("mypy")
    command: list[str | Path] = [mypy, "--strict", "--python-executable", venv / "bin/python", program]
    told = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300).stdout
    assert 'program.py:3: error: Incompatible types in assignment (expression has type "Role"' in told
