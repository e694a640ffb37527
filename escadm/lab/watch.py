"""What the client saw: its record read back, and the questions that are asked of it.

``python -m escadm.lab.watch FILE`` prints the longest outage in a record.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from tempfile import NamedTemporaryFile
from types import TracebackType

from escadm.lab import namespaces
from escadm.lab.node import Node


@dataclass(frozen=True, slots=True)
class Answer:
    """One attempt: when it was sent and when it ended (monotonic clock), how, and which node answered."""

    sent: float
    at: float
    kind: str
    node: str | None

    @property
    def served(self) -> bool:
        """Whether the service answered."""
        return self.kind == "ok"

    @property
    def present(self) -> bool:
        """Whether the host answered: a refused connection, too, comes from somebody who has the address."""
        return self.kind in ("ok", "refused")


@dataclass(frozen=True, slots=True)
class Gap:
    """A time without answer: from the last one before it to the first one after it."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        return self.end - self.start


def read(lines: Iterable[str]) -> list[Answer]:
    """The client's lines as answers; a last line that is not complete yet is left out."""
    answers = []
    for line in lines:
        if line.endswith("\n"):
            sent, at, kind, node = line.split()
            answers.append(Answer(float(sent), float(at), kind, None if node == "-" else node))
    return answers


def longest_gap(answers: Sequence[Answer], since: float = 0.0, *, presence: bool = False) -> Gap | None:
    """The longest time without answer that ended after ``since``; ``presence`` counts refusals as answers."""
    times = sorted(answer.at for answer in answers if answer.served or (presence and answer.present))
    gaps = [Gap(start, end) for start, end in pairwise(times) if end > since]
    return max(gaps, key=lambda gap: gap.seconds, default=None)


def first_answer(answers: Sequence[Answer], node: str, since: float = 0.0) -> Answer | None:
    """The first answer after ``since`` in which the service says that it runs on ``node`` (its host name)."""
    return next((answer for answer in answers if answer.served and answer.node == node and answer.at > since), None)


def report(file: Path) -> str:
    """The longest outage in a client's record, for people: how long, and who answered before it and after it."""
    with file.open() as lines:
        answers = [answer for answer in read(lines) if answer.served]
    gap = longest_gap(answers)
    if gap is None:
        return "nobody answered"
    before, after = (next(answer.node for answer in answers if answer.at == at) for at in (gap.start, gap.end))
    return f"{gap.seconds:.2f} s without an answer: before it {before}, after it {after}"


class Watch:
    """A running client; a context manager."""

    def __init__(self, client: Node, target: str, interval: float) -> None:
        self.client, self.target, self.interval = client, target, interval
        self._output: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._answers: list[Answer] = []

    def __enter__(self) -> Watch:
        with NamedTemporaryFile(prefix="watch-", dir=self.client.data, delete=False) as output:
            self._output = Path(output.name)
        argv = [sys.executable, "-m", "escadm.lab.client", self.target]
        argv += ["--interval", str(self.interval), "--output", str(self._output)]
        # its network alone: the process stays a child of this one, to be ended by its pid
        self._process = subprocess.Popen(
            self.client.up.enter(argv, network_only=True), stdin=subprocess.DEVNULL, env=namespaces.environment()
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the client; its answers stay."""
        if self._process:
            self._process.terminate()
            self._process.wait()
            self._process = None
        self.answers()
        if self._output:
            self._output.unlink(missing_ok=True)
            self._output = None

    def answers(self) -> list[Answer]:
        """All attempts that have ended so far, in the order of their ends."""
        if self._output and self._output.exists():
            with self._output.open() as lines:
                self._answers = read(lines)
        return self._answers

    def serving(self) -> str | None:
        """The node that gave the newest answer within the last half second; None when nobody did."""
        answers = self.answers()
        newest = next((answer for answer in reversed(answers) if answer.served), None)
        return newest.node if newest and answers[-1].at - newest.at < 0.5 else None

    def longest_gap(self, since: float = 0.0, *, presence: bool = False) -> Gap | None:
        """See :func:`longest_gap`."""
        return longest_gap(self.answers(), since, presence=presence)

    def first_answer(self, node: str, since: float = 0.0) -> Answer | None:
        """See :func:`first_answer`."""
        return first_answer(self.answers(), node, since)


if __name__ == "__main__":
    print(report(Path(sys.argv[1])))
