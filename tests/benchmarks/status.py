"""How long ``escadm status`` takes, beside the start of the same interpreter and ``supervisorctl status``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from escadm.lab import Lab
from escadm.lab.node import Node
from tests.benchmarks.failover import healthy_pair
from tests.benchmarks.table import print_table

SUPERVISOR = """\
[supervisord]
nodaemon = true
logfile = /dev/null
logfile_maxbytes = 0
pidfile = /run/supervisord.pid
[unix_http_server]
file = /run/supervisor.sock
[supervisorctl]
serverurl = unix:///run/supervisor.sock
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[program:sleep]
command = sleep infinity
"""
CONTROL = ["supervisorctl", "-c", "/run/supervisord.conf", "status"]


def run(repetitions: int) -> None:
    """Measure all three on one node, in turns, and print."""
    program = str(Path(sys.executable).with_name("escadm"))
    commands = {
        f"{Path(sys.executable).name} -c pass": [sys.executable, "-c", "pass"],
        "escadm status": [program, "status"],
        "supervisorctl status": CONTROL,
    }
    with TemporaryDirectory() as directory, Lab(Path(directory) / "lab") as lab:
        node = lab.node("a")
        start_supervisor(lab, node)
        lab.wait_for(lambda: healthy_pair(lab), 60, "a healthy pair")
        timer = [
            sys.executable,
            str(Path(__file__).with_name("timer.py")),
            str(repetitions),
            json.dumps(list(commands.values())),
        ]
        figures = json.loads(node.exec(timer, timeout=600).stdout)
    print(f"one status, milliseconds: {repetitions} runs of each, in turns, on a node; Python {sys.version.split()[0]}")
    rows = [["", "median", "most"]]
    for name, values in zip(commands, figures, strict=True):
        rows.append([name, f"{median(values) * 1000:.0f}", f"{max(values) * 1000:.0f}"])
    print_table(rows)


def start_supervisor(lab: Lab, node: Node) -> None:
    """A supervisord with one program."""
    node.write("/run/supervisord.conf", SUPERVISOR)
    node.exec(
        ["sh", "-c", "setsid --fork supervisord -c /run/supervisord.conf >/var/log/supervisord.log 2>&1 </dev/null"]
    )
    lab.wait_for(lambda: "RUNNING" in node.exec(CONTROL, check=False).stdout, 30, "supervisord")
