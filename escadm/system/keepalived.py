"""keepalived as the agent starts it, its own opinion of a keepalived.conf, and its last words."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from escadm.errors import Failed
from escadm.paths import Paths
from escadm.system.process import PLAIN_ENVIRONMENT, START_DIRECTORY
from escadm.system.run import ANY_CODE, Run, run

TIMEOUT = 10.0
TEST = "--config-test"


FOREIGN_INTERFACE = re.compile(
    r"interface \S+ for (vrrp_instance|ip address) \S+ doesn't exist"
    r"|Non-existent interface specified in configuration"
)
"""What ``keepalived -t`` says of a file that was made for another machine."""

NO_OPTIONS = "Unable to read build config options file"
"""What keepalived 2.3 of Debian says, and ends, without a file of its package; it does not say which one."""
OPTIONS = "/etc/keepalived/keepalived.config-opts"
BRING_BACK = "apt-get install --reinstall -o Dpkg::Options::=--force-confmiss keepalived"

TIME = re.compile(r"\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}: ")
TOLD_TO_END = "Stopping"
NARRATIVE = re.compile(
    r"(Starting|Stopped|Running on|Command line:|Opening file|Configuration file|Registering|CPU usage|NOTICE:) .*"
    r"|pid \d+ exited with .*|Startup complete|Assigned address .*|VRRP sockpool: .*|.*gratuitous ARP.*"
    r"|\(\w+\) ((removing|setting) VIPs\.|Entering \w+ STATE.*|Receive advertisement timeout)"
    r"|\(\w+\) (Backup received priority 0|Received advert|Master received advert|sent 0 priority).*"
    r"|\s+'.*'"
)
"""What keepalived tells of its start, its end and its roles whatever happens: it explains nothing."""
LONGEST = 200


def command(file: Path, paths: Paths) -> tuple[str, ...]:
    """The command line that the agent starts keepalived with."""
    pid_files = ("--pid", str(paths.keepalived_pid), "--vrrp_pid", str(paths.vrrp_pid))
    options = ("--dont-fork", "--log-console", "--log-detail", "--vrrp")
    return ("keepalived", *options, "--use-file", str(file), *pid_files)


def check_config(text: str, paths: Paths, *, strict: bool, run: Run = run) -> None:
    """Have keepalived, started as the agent starts it, test ``text``; Failed with its words if it has any objection.

    Its exit code alone says too little: it warns with 0, and runs with the faulty line left out after 5. ``strict``
    False lets pass what is only not on this machine: interfaces.
    """
    with tempfile.TemporaryDirectory(prefix="escadm-") as folder:
        file = Path(folder, "keepalived.conf")
        file.write_text(_with_run_directory(text, paths, Path(folder)))
        argv = [*command(file, paths), TEST]
        result = run(argv, timeout=TIMEOUT, ok=ANY_CODE, env=PLAIN_ENVIRONMENT, cwd=START_DIRECTORY)
        said = (result.stdout + result.stderr).replace(f"{file}: ", "").replace(str(file), file.name)
        said = said.replace(folder, "")
    lines = list(dict.fromkeys(line.strip() for line in said.splitlines() if line.strip()))
    if NO_OPTIONS in lines:
        raise Failed(f"keepalived cannot start: {explained(NO_OPTIONS)}", f"bring it back: {BRING_BACK}")
    objections = [line for line in lines if strict or not FOREIGN_INTERFACE.search(line)]
    if objections or (result.code != 0 and not lines):
        words = "\n  ".join(objections) or f"exit code {result.code}"
        raise Failed(f"keepalived does not accept the configuration made for it:\n  {words}")


def _with_run_directory(text: str, paths: Paths, folder: Path) -> str:
    """``text`` as it will be read: the agent makes its run directory before it starts keepalived.

    keepalived 2.3 leaves a ``track_file`` out whose directory is missing. Until there is one, another stands in.
    """
    if paths.run.is_dir():
        return text
    stand_in = f"{folder}{paths.run}"
    Path(stand_in).mkdir(parents=True)
    return text.replace(f'"{paths.run}/', f'"{stand_in}/')


def last_words(output: str) -> str:
    """What keepalived complained of last, in one line without control characters; empty if it was told to end."""
    lines = [TIME.sub("", "".join(filter(str.isprintable, line))) for line in output.splitlines()]
    if TOLD_TO_END in lines:
        return ""
    telling = [line.strip() for line in lines if line.strip() and not NARRATIVE.fullmatch(line)]
    return explained(telling[-1][:LONGEST]) if telling else ""


def explained(line: str) -> str:
    """The line, with what keepalived leaves out of it."""
    return f"{line}, which is {OPTIONS} of its Debian package" if line == NO_OPTIONS else line
