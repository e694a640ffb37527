"""DRBD's own opinion of an esc.res."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from escadm.errors import Failed, NotInstalled
from escadm.system.run import Completed, Run, run

PARSERS = ("drbdadm", "/lib/drbd/drbdadm-84")
"""The parser for DRBD 9, and the one that takes over when the kernel's module is 8.4."""

TIMEOUT = 10.0

ANY_CODE = range(256)

NO_MODULE = re.compile(
    r"sh: \d+: (modinfo|modprobe): (not found|Permission denied)"
    r"|modinfo: ERROR: Module drbd not found\."
    r"|modprobe: FATAL: Module drbd not found in directory \S+"
    r"|DRBD module version: \S+|userland version: \S+|mixing different major numbers will not work!"
)
"""drbdadm asks for the module's version even where all it has to do is read a file, and remarks on what it finds."""


SECRET = re.compile(r'(?<=shared-secret ")[^"\n]*')


def check_config(text: str, *, run: Run = run) -> None:
    """Have every installed parser take ``text``; Failed with its words if it has any objection.

    The parsers quote what they do not like, so they see a stand-in of the same length instead of the secret.
    """
    with tempfile.TemporaryDirectory(prefix="escadm-") as folder:
        file = Path(folder, "esc.res")
        file.write_text(SECRET.sub(lambda match: "*" * len(match[0]), text))
        missing = []
        for parser in PARSERS:
            try:
                result = run([parser, "-c", str(file), "dump"], timeout=TIMEOUT, ok=ANY_CODE)
            except NotInstalled as error:
                missing.append(error)
                continue
            _judge(result, file)
        if len(missing) == len(PARSERS):
            raise missing[0]


def _judge(result: Completed, file: Path) -> None:
    said = result.stderr.replace(str(file), file.name)
    lines = [line.strip() for line in said.splitlines() if line.strip() and not NO_MODULE.fullmatch(line.strip())]
    if lines or result.code != 0:
        words = "\n  ".join(lines) or f"exit code {result.code}"
        raise Failed(f"{Path(result.argv[0]).name} does not accept the configuration made for it:\n  {words}")
