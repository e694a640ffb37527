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


def test_the_wheel_has_the_whole_package_and_nothing_else(wheel: Path) -> None:
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    tree = (path for path in (ROOT / "escadm").rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    assert packed == {str(path.relative_to(ROOT)) for path in tree}


def test_the_program_runs_where_the_wheel_was_installed(wheel: Path, tmp_path: Path) -> None:
    python = tmp_path / "venv/bin/python"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    _pip("--python", python, "install", wheel)
    file = tmp_path / "root/opt/cisco/esc/esc-config/esc-config.yaml"
    file.parent.mkdir(parents=True)
    shutil.copyfile(ROOT / "etc/samples/pair.yaml", file)

    def said(*arguments: str) -> str:
        command = [str(tmp_path / "venv/bin/escadm"), *arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert done.stdout, done.stderr
        return done.stdout

    assert said("version").split()[-1] == escadm.__version__
    assert "pgsql" in said("--root", str(tmp_path / "root"), "plan")
    assert "virtual_ipaddress" in said("--root", str(tmp_path / "root"), "diff")
    assert (tmp_path / "venv/bin/escadm-fence-peer").exists()
