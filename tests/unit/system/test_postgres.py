"""Which postmaster.pid goes when the volume of a dead node has been mounted, against real processes."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from escadm.system.postgres import remove_stale_pid_files

REST = "\n/data\n1700000000\n5432\n/run/postgresql\n*\n  5432001    163840\nready\n"


@contextmanager
def program(folder: Path, name: str) -> Iterator[int]:
    """The pid of a living program of that name."""
    shutil.copy("/bin/sleep", folder / name)
    with subprocess.Popen([str(folder / name), "600"]) as process:
        try:
            yield process.pid
        finally:
            process.kill()


def dead() -> int:
    with subprocess.Popen(["true"]) as process:
        pass
    return process.pid


def put(volume: Path, place: str, first_line: str) -> Path:
    file = volume / place / "postmaster.pid"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(first_line + REST)
    return file


def test_the_file_of_a_dead_process_goes(tmp_path: Path) -> None:
    file = put(tmp_path, "data", str(dead()))
    (tmp_path / "data" / "postgresql.conf").touch()
    assert remove_stale_pid_files(tmp_path) == [file]
    assert [each.name for each in file.parent.iterdir()] == ["postgresql.conf"]
    assert remove_stale_pid_files(tmp_path) == []


def test_the_file_of_a_zombie_goes(tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    file = put(tmp_path, "data", str(child))
    assert remove_stale_pid_files(tmp_path) == [file]
    os.waitpid(child, 0)


def test_the_number_may_be_that_of_another_program_by_now(tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    with program(tmp_path, "postgrey") as pid:
        file = put(volume, "data", str(pid))
        own = put(volume, "own", str(os.getpid()))
        first = put(volume, "first", "1")
        assert remove_stale_pid_files(volume) == [file, first, own]


@pytest.mark.parametrize("name", ["postgres", "postmaster"])
@pytest.mark.parametrize("sign", ["", "-"])
def test_a_server_that_lives_here_keeps_its_file(tmp_path: Path, name: str, sign: str) -> None:
    """With a minus it is a server in single-user mode."""
    volume = tmp_path / "volume"
    with program(tmp_path, name) as pid:
        file = put(volume, "data", f"{sign}{pid}")
        assert remove_stale_pid_files(volume) == []
        assert file.read_text() == f"{sign}{pid}{REST}"
    assert remove_stale_pid_files(volume) == [file]


@pytest.mark.parametrize("text", [b"", b"\n"])
def test_an_empty_file_goes(tmp_path: Path, text: bytes) -> None:
    file = put(tmp_path, "data", "")
    file.write_bytes(text)
    assert remove_stale_pid_files(tmp_path) == [file]


@pytest.mark.parametrize("text", [b"main\n", b"12 34\n", b"\xff\xfe\0", b"0x10\n"])
def test_what_names_no_process_is_left_alone(tmp_path: Path, text: bytes) -> None:
    file = put(tmp_path, "data", "")
    file.write_bytes(text)
    assert remove_stale_pid_files(tmp_path) == []
    assert file.read_bytes() == text


def test_it_is_looked_for_three_folders_deep_and_no_deeper(tmp_path: Path) -> None:
    pid = str(dead())
    files = [put(tmp_path, place, pid) for place in (".", "data", "15/main", "pg/15/main")]
    deeper = put(tmp_path, "a/b/c/d", pid)
    other = tmp_path / "data" / "postmaster.opts"
    other.write_text(pid)
    assert remove_stale_pid_files(tmp_path) == files
    assert deeper.exists()
    assert other.exists()


def test_a_folder_of_that_name_and_no_volume_at_all(tmp_path: Path) -> None:
    (tmp_path / "data" / "postmaster.pid").mkdir(parents=True)
    assert remove_stale_pid_files(tmp_path) == []
    assert remove_stale_pid_files(tmp_path / "nothing") == []
