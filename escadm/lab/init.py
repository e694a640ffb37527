"""PID 1 of a lab's namespaces: reaps what is orphaned, keeps the agent running where it is asked to, ends on TERM.

Runs as ``python -m escadm.lab.init --control FD [--hostname NAME]`` with one end of a socket pair as FD. It
sends ``ready`` there; the other side answers ``stay``. Should the other side go away before that, PID 1 ends, and the
kernel ends with it every process of the namespace: a lab whose maker is interrupted leaves nothing behind.

SIGUSR1 starts the agent, SIGUSR2 ends it, as ``service esc_service start`` and ``stop`` do. An agent that was killed is
started again, as systemd's ``Restart=on-abnormal`` does; what it had started is left alone.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import time

RESTART_DELAY = 0.1
STOP_TIMEOUT = 30.0
CLEAN_SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE}
AGENT = [sys.executable, "-m", "escadm", "agent"]


class Init:
    """The loop: one wake-up pipe for signals, one control socket, one time that something is due."""

    def __init__(self, control: socket.socket) -> None:
        self.control: socket.socket | None = control
        self.agent = 0
        self.ending = False
        self.again = False
        self.restart_at: float | None = None
        self.end_at: float | None = None

    def run(self) -> None:
        """Until TERM, or until the maker of the lab goes away before it said ``stay``."""
        wake, writer = os.pipe()
        os.set_blocking(wake, False)
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer)
        for each in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(each, lambda *_: None)
        assert self.control is not None  # noqa: S101
        poll = select.poll()
        poll.register(wake, select.POLLIN)
        poll.register(self.control, select.POLLIN)
        self.control.send(b"ready")
        while True:
            for descriptor, _ in poll.poll(self.patience()):
                if descriptor == wake:
                    for number in os.read(wake, 512):
                        self.take(number)
                elif not self.stays():
                    return
                else:
                    poll.unregister(descriptor)
            if self.restart_at is not None and time.monotonic() >= self.restart_at:
                self.start_agent()
            if self.end_at is not None and (not self.agent or time.monotonic() >= self.end_at):
                return

    def patience(self) -> int | None:
        """Milliseconds until something is due."""
        due = [at for at in (self.restart_at, self.end_at) if at is not None]
        return max(0, int((min(due) - time.monotonic()) * 1000) + 1) if due else None

    def stays(self) -> bool:
        """Whether the maker of the lab lets it go on alone."""
        assert self.control is not None  # noqa: S101
        word = self.control.recv(64)
        self.control.close()
        self.control = None
        return word == b"stay"

    def take(self, number: int) -> None:
        """Act on a signal."""
        if number == signal.SIGCHLD:
            self.reap()
        elif number == signal.SIGUSR1:
            self.again = self.ending
            self.start_agent()
        else:
            self.restart_at = None
            if self.agent:
                self.ending = True
                self.again = False
                os.kill(self.agent, signal.SIGTERM)
            if number != signal.SIGUSR2:
                self.end_at = time.monotonic() + STOP_TIMEOUT

    def start_agent(self) -> None:
        """Start the agent in a session of its own, unless it runs or the node is going down."""
        self.restart_at = None
        if not self.agent and self.end_at is None:
            self.agent = os.posix_spawn(sys.executable, AGENT, os.environ, setsid=True)

    def reap(self) -> None:
        """Bury every child that has ended; note it when one of them was the agent."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self.agent:
                self.agent = 0
                self.agent_ended(os.waitstatus_to_exitcode(status))

    def agent_ended(self, code: int) -> None:
        """Start the agent again if a signal killed it; say what happened either way."""
        killed = code < 0 and -code not in CLEAN_SIGNALS
        what = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"exited with code {code}"
        print(f"lab: the agent {what}{': starting it again' if killed and self.end_at is None else ''}", flush=True)
        if self.again or (killed and self.end_at is None):
            self.restart_at = time.monotonic() + RESTART_DELAY
        self.ending = self.again = False


def main(arguments: list[str]) -> None:
    """Run as PID 1; see the module's text for the arguments."""
    options = dict(zip(arguments[::2], arguments[1::2], strict=True))
    if "--hostname" in options:
        socket.sethostname(options["--hostname"])
    Init(socket.socket(fileno=int(options["--control"]))).run()


if __name__ == "__main__":
    main(sys.argv[1:])
