"""DRBD's own opinion of an esc.res."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from escadm.errors import EscadmError, Failed
from escadm.system.run import ANY_CODE, Completed, Run, run

PARSERS = {9: "drbdadm", 8: "/lib/drbd/drbdadm-84"}
"""Major version of DRBD -> its parser. The second takes over from the first when the kernel's module is 8.4."""

VERSION = Path("/sys/module/drbd/version")

TIMEOUT = 10.0


NO_MODULE = re.compile(
    r"sh: \d+: (modinfo|modprobe): (not found|Permission denied)"
    r"|modinfo: ERROR: Module drbd not found\."
    r"|modprobe: FATAL: Module drbd not found in directory \S+"
    r"|DRBD module version: \S+|userland version: \S+|mixing different major numbers will not work!"
)
"""drbdadm asks for the module's version even where all it has to do is read a file, and remarks on what it finds."""


SECRET = re.compile(r'(?<=shared-secret ")[^"\n]*')


def kernel_major(run: Run = run) -> int:
    """8 or 9: the DRBD of this kernel, also one that is not loaded; 9 where there is none, and where nobody says."""
    try:
        version = VERSION.read_text()
    except OSError:
        try:
            version = run(["modinfo", "-F", "version", "drbd"], timeout=TIMEOUT, ok=ANY_CODE).stdout
        except EscadmError:
            version = ""
    return 8 if version.startswith("8.") else 9


def check_config(text: str, major: int, *, run: Run = run) -> None:
    """Have the parser of DRBD ``major`` take ``text``; Failed with its words if it has any objection.

    It quotes what it does not like, so it sees a stand-in of the same length instead of the secret.
    """
    with tempfile.TemporaryDirectory(prefix="escadm-") as folder:
        file = Path(folder, "esc.res")
        file.write_text(SECRET.sub(lambda match: "*" * len(match[0]), text))
        _judge(run([PARSERS[major], "-c", str(file), "dump"], timeout=TIMEOUT, ok=ANY_CODE), file)


def _judge(result: Completed, file: Path) -> None:
    said = result.stderr.replace(str(file), file.name)
    lines = [line.strip() for line in said.splitlines() if line.strip() and not NO_MODULE.fullmatch(line.strip())]
    if lines or result.code != 0:
        words = "\n  ".join(lines) or f"exit code {result.code}"
        raise Failed(
            f"{Path(result.argv[0]).name} does not accept the configuration made for it:\n  {words}",
            "correct drbd.net_options or drbd.disk_options in esc-config.yaml; drbd.conf(5) has what there is",
        )
