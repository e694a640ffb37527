"""keepalived's own opinion of a keepalived.conf."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from escadm.errors import Failed
from escadm.system.run import ANY_CODE, Run, run

TIMEOUT = 10.0


FOREIGN_INTERFACE = re.compile(
    r"interface \S+ for (vrrp_instance|ip address) \S+ doesn't exist"
    r"|Non-existent interface specified in configuration"
)
"""What ``keepalived -t`` says of a file that was made for another machine."""


def check_config(text: str, *, strict: bool, run: Run = run) -> None:
    """Have ``keepalived -t`` take ``text``; Failed with its words if it has any objection.

    Its exit code alone says too little: it warns with 0, and runs with the faulty line left out after 5. ``strict``
    False lets pass what is only not on this machine: interfaces.
    """
    with tempfile.TemporaryDirectory(prefix="escadm-") as folder:
        file = Path(folder, "keepalived.conf")
        file.write_text(text)
        result = run(["keepalived", "-t", "-f", str(file)], timeout=TIMEOUT, ok=ANY_CODE)
        said = (result.stdout + result.stderr).replace(f"{file}: ", "").replace(str(file), file.name)
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    objections = [line for line in lines if strict or not FOREIGN_INTERFACE.search(line)]
    if objections or (result.code != 0 and not lines):
        words = "\n  ".join(objections) or f"exit code {result.code}"
        raise Failed(f"keepalived does not accept the configuration made for it:\n  {words}")
