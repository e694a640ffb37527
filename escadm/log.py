"""The one log set-up: a line for each event, on stderr and in /var/log/esc/escadm.log.

Where stderr is systemd's journal, a line goes there with its priority, and without its time, which the journal has.
"""

from __future__ import annotations

import logging
import logging.handlers
import os
import sys
import time
from pathlib import Path

LARGEST = 10 * 2**20
KEPT = 5
FORMAT = "%(asctime)s.%(msecs)03dZ %(levelname)s %(message)s"
PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}


class JournalFormatter(logging.Formatter):
    """``<N>`` before each line of a message: what sd-daemon(3) calls the priority."""

    def format(self, record: logging.LogRecord) -> str:
        prefix = f"<{PRIORITIES.get(record.levelno, 6)}>"
        return "\n".join(prefix + line for line in super().format(record).splitlines())


def get(name: str) -> logging.Logger:
    """The logger for a module of the package."""
    return logging.getLogger(name)


def set_up(file: Path | None, *, debug: bool = False, stderr: bool = True) -> None:
    """Send all log lines to stderr and, where ``file`` is given, there too.

    The file is rotated: at 10 MiB it becomes FILE.1, and five of them are kept.

    ``stderr`` False: to the file alone. Times are UTC, ISO 8601. A log file that cannot be opened costs one warning,
    never the agent.
    """
    formatter = logging.Formatter(FORMAT, datefmt="%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    root = logging.getLogger()
    root.setLevel(logging.DEBUG if debug else logging.INFO)
    root.handlers.clear()
    handlers: list[logging.Handler] = []
    problem: OSError | None = None
    if file is not None:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            handlers.append(
                logging.handlers.RotatingFileHandler(file, maxBytes=LARGEST, backupCount=KEPT, encoding="utf-8")
            )
        except OSError as error:
            problem = error
    for handler in handlers:
        handler.setFormatter(formatter)
    if stderr:
        handlers.append(logging.StreamHandler(sys.stderr))
        handlers[-1].setFormatter(JournalFormatter() if is_journal(2) else formatter)
    for handler in handlers:
        root.addHandler(handler)
    if problem is not None:
        root.warning("cannot write the log file %s: %s; logging to stderr alone", file, problem.strerror)


def is_journal(descriptor: int) -> bool:
    """Whether the descriptor is the one that systemd connected to its journal ($JOURNAL_STREAM, systemd.exec(5))."""
    try:
        found = os.fstat(descriptor)
    except OSError:
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"
