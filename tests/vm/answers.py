"""What a client of the virtual address sees: a ping every 50 ms, and how many of them went without an answer."""

from __future__ import annotations

import itertools
import re
import signal
import subprocess
import threading
import time
from types import TracebackType

from tests.vm.pair import VIP, Pair

INTERVAL = 0.05
SEQUENCE = re.compile(r"icmp_seq=(\d+)")


class Answers:
    """A context manager; the figures are those of the time since it began."""

    def __init__(self, pair: Pair) -> None:
        argv = pair.client_argv("ping", "-n", "-i", str(INTERVAL), "-W", "1", VIP)
        self._ping = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self._heard: list[tuple[float, int]] = []
        self._reader = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Answers:
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ping.send_signal(signal.SIGINT)
        with self._ping:
            self._reader.join()

    def _read(self) -> None:
        assert self._ping.stdout is not None
        for line in self._ping.stdout:
            if "bytes from" in line and (found := SEQUENCE.search(line)):
                self._heard.append((time.monotonic(), int(found[1])))

    @property
    def heard(self) -> int:
        """How many answers have come."""
        return len(self._heard)

    def lost(self) -> int:
        """How many pings before the newest answer went without one; each that was answered counts once."""
        numbers = {number for _, number in self._heard}
        return max(numbers, default=0) - len(numbers)

    def heard_after(self, moment: float) -> bool:
        """Whether an answer has come since then."""
        return bool(self._heard) and self._heard[-1][0] > moment

    def longest_gap(self, begin: float) -> float:
        """The most seconds without an answer since then."""
        moments = [begin, *(at for at, _ in self._heard if at > begin)]
        return max(later - earlier for earlier, later in itertools.pairwise(moments))
