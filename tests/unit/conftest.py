"""What holds for all unit tests: no way out of the pure packages.

The tests of core and config work on values. A process, a connection or a sleep in one of them is a mistake of the
test or of the code, so it raises. The interpreter's audit events are watched, so it does not matter how the way out
was imported; only ``time.sleep`` has no such event before Python 3.13 and is replaced.
"""

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

PURE = tuple(Path(__file__).parent / name for name in ("core", "config"))
WAYS_OUT = frozenset(
    {
        "os.exec",
        "os.fork",
        "os.forkpty",
        "os.posix_spawn",
        "os.system",
        "socket.connect",
        "socket.sendmsg",
        "socket.sendto",
        "subprocess.Popen",
    }
)


class TouchedTheMachine(BaseException):
    """Not an Exception: code that takes every error for an answer must not swallow it."""


class _Guard:
    closed = False

    def __call__(self, event: str, arguments: tuple[object, ...]) -> None:
        if self.closed and event in WAYS_OUT:
            raise TouchedTheMachine(f"{event}{arguments!r} in a test of a pure package")


def _no_sleep(seconds: float) -> None:
    raise TouchedTheMachine(f"time.sleep({seconds}) in a test of a pure package")


_guard = _Guard()
sys.addaudithook(_guard)


@pytest.fixture(autouse=True, scope="module")
def touches_nothing(request: pytest.FixtureRequest) -> Iterator[type[TouchedTheMachine]]:
    """In the folders of the pure packages every way out raises; elsewhere nothing changes."""
    if not any(request.path.is_relative_to(folder) for folder in PURE):
        yield TouchedTheMachine
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "sleep", _no_sleep)
        patch.setattr(_guard, "closed", True)
        yield TouchedTheMachine
