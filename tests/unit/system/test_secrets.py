import logging
import subprocess
import threading
from pathlib import Path

import pytest

from escadm.core.environment_file import updated
from escadm.errors import Failed
from escadm.paths import Paths
from escadm.system.secrets import changing, hidden, read


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(tmp_path)


def write(paths: Paths, text: str, mode: int = 0o600) -> None:
    paths.secrets.parent.mkdir(parents=True, exist_ok=True)
    paths.secrets.write_text(text)
    paths.secrets.chmod(mode)


def plain(variables: dict[str, str]) -> dict[str, str]:
    return {name: "".join(value) for name, value in variables.items()}


def test_no_file_is_no_variables(paths: Paths) -> None:
    assert read(paths) == {}


def test_variables_do_not_show_themselves(paths: Paths, caplog: pytest.LogCaptureFixture) -> None:
    write(paths, '# ours\nESC_A="hunter2\\$"\nB=hunter2\n')
    found = read(paths)
    assert plain(found) == {"ESC_A": "hunter2$", "B": "hunter2"}
    assert "hunter2" not in f"{found} {found['B']}"
    assert not caplog.records


def test_what_a_command_says_shows_no_secret() -> None:
    variables = {"ESC_REST_PASSWORD": "hunter2", "ESC_ADMIN_PASSWORD": "hunter22", "API_KEY": "", "ESC_X": "said"}
    assert hidden("hunter22 and hunter2 were said", variables) == "*** and *** were said"


@pytest.mark.parametrize("value", ["$(id) `id` $HOME", "\"'\\", "a\\\nb\n", " # x ", "!!", "ä€", "\\$", "\r"])
def test_a_shell_that_sources_the_file_reads_the_same(paths: Paths, value: str) -> None:
    write(paths, updated("# ours\n", {"ESC_A": value, "ESC_B": "end"}))
    script = '. "$1"; printf "%s\\0%s" "$ESC_A" "$ESC_B"'
    done = subprocess.run(["sh", "-euc", script, "sh", paths.secrets], capture_output=True, check=True)
    assert done.stdout == f"{value}\0end".encode()
    assert plain(read(paths)) == {"ESC_A": value, "ESC_B": "end"}


def test_what_is_wrong_with_the_file_is_told_in_the_log(paths: Paths, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    write(paths, 'A=1\nexport C=hunter2\nB="hunter2', 0o640)
    assert plain(read(paths, tell=True)) == {"A": "1", "B": "hunter2"}
    assert [each.getMessage() for each in caplog.records] == [
        f"{paths.secrets}:2: this line is no NAME=VALUE: it is passed over",
        f"{paths.secrets}: a quote is not closed: the last value goes on to the end of the file",
        f"{paths.secrets} can be read by others: chmod 600 it",
    ]


def test_a_file_that_cannot_be_read_is_a_failure(paths: Paths) -> None:
    paths.secrets.mkdir(parents=True)
    with pytest.raises(Failed, match="it is a directory"):
        read(paths)


def test_changes_take_turns(paths: Paths) -> None:
    order: list[str] = []
    asked = threading.Event()

    def second() -> None:
        asked.set()
        with changing(paths):
            order.append("second")

    other = threading.Thread(target=second)
    with changing(paths):
        other.start()
        assert asked.wait(10)
        other.join(0.2)  # it cannot come in: had it, the order would tell
        order.append("first")
    other.join(10)
    assert order == ["first", "second"]


def test_what_a_power_cut_left_is_cleared_away(paths: Paths) -> None:
    write(paths, "A=1\n")
    left = paths.secrets.with_name(".secrets.env.x1y2z3")
    left.write_text("A=hunter2\n")
    with changing(paths):
        assert not left.exists()
    assert paths.secrets.read_text() == "A=1\n"
