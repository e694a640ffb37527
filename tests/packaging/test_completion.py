"""bash completion as a shell without a terminal, without Python and without the program sees it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

ASK = """\
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
_escadm
printf '%s\\n' "${COMPREPLY[@]}"
"""


def _completed(unpacked: Path, *words: str, root: Path = Path("/nowhere")) -> set[str]:
    """What TAB offers for the last of the words, as readline splits them (``=`` is a word)."""
    file = unpacked / "usr/share/bash-completion/completions/escadm"
    command: list[str | Path] = ["bash", "--norc", "-c", ASK, "bash", file, "escadm", *words]
    environment = {"ESCADM_ROOT": str(root), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd="/", timeout=30)
    assert (done.returncode, done.stderr) == (0, "")
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["sta"], {"start", "status"}),
        (["ha", ""], {"set", "show", "trust", "unset"}),
        (["--root", "/etc", "drbd", "r"], {"resolve"}),
        (["--debug", "config", "c"], {"check"}),
        (["status", "--j"], {"--json"}),
        (["ha", "set", "--kad_v"], {"--kad_vip", "--kad_vif", "--kad_vri"}),
        (["ha", "set", "--kad_vif", "l"], {"lo"}),
        (["ha", "set", "--kad_vif", "=", "l"], {"lo"}),
        (["ha", "set", "--kad-vif", "="], {path.name for path in Path("/sys/class/net").iterdir()}),
        (["ha", "set", "--kad_vip", ""], set()),
        (["config", "check", "/etc/debian_v"], {"/etc/debian_version"}),
        (["--root", "/opt/no", "star"], {"start"}),
        (["restart", "pg"], {"pgsql"}),
        (["start", "no-such"], set()),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_is_offered(unpacked: Path, words: list[str], offered: set[str]) -> None:
    assert _completed(unpacked, *words) == offered


def test_the_names_are_those_of_the_agent(unpacked: Path, tmp_path: Path) -> None:
    published = tmp_path / "run/escadm/status.json"
    published.parent.mkdir(parents=True)
    names = ["keepalived", "catalog", f"$(touch {tmp_path}/run-by-bash)"]
    published.write_text(json.dumps({"resources": [{"name": name, "state": "running"} for name in names]}, indent=1))
    assert _completed(unpacked, "stop", "", root=tmp_path) == {"keepalived", "catalog"}
    assert not (tmp_path / "run-by-bash").exists()


def test_without_an_agent_those_of_the_configuration(unpacked: Path, tmp_path: Path) -> None:
    file = tmp_path / "opt/cisco/esc/esc-config/esc-config.yaml"
    file.parent.mkdir(parents=True)
    file.write_text("# mine\nresources:\n  catalog:\n    command: sleep 1\n  `id`:\n    command: x\nother:\n  no:\n")
    offered = _completed(unpacked, "plan", "", root=tmp_path)
    assert {"catalog", "pgsql", "keepalived"} <= offered
    assert not offered & {"no", "other", "command", "`id`"}
