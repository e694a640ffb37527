"""The pair by hand: python -m tests.vm.shell [RELEASE]. See docs/how-to/vm-lab.md."""

from __future__ import annotations

import cmd
import shlex
import subprocess
import sys
from collections.abc import Callable
from typing import IO

from escadm.errors import EscadmError
from tests.releases import BOOKWORM, TRIXIE
from tests.vm import build
from tests.vm.machine import LINKS, Machine
from tests.vm.pair import Pair


class Shell(cmd.Cmd):
    """A line: a machine (a, b, client) and a command for it, or one of the words below (help WORD)."""

    prompt = "vm> "
    intro = (
        "a COMMAND, b COMMAND, client COMMAND; power, freeze, thaw, cut, partition, silence, isolate, heal, logs, end\n"
        "help WORD"
    )

    def __init__(self, pair: Pair, stdin: IO[str] | None = None) -> None:
        super().__init__(stdin=stdin)
        self.pair = pair
        self.machines = {"a": pair.a, "b": pair.b}

    def onecmd(self, line: str) -> bool:
        """One line; what goes wrong is said, and the shell goes on."""
        try:
            return bool(super().onecmd(line))
        except EscadmError as error:
            print(error, file=self.stdout)
        except (KeyError, ValueError):  # not the words that the verb takes
            print(self._usage(line.split(maxsplit=1)[0]), file=self.stdout)
        return False

    def default(self, line: str) -> None:
        print(f"no such word; {self.intro}", file=self.stdout)

    def _usage(self, verb: str) -> str:
        return (getattr(self, f"do_{verb}").__doc__ or "").strip()

    def emptyline(self) -> bool:
        """Nothing is not the last command again."""
        return False

    def _run(self, machine: Machine, line: str) -> None:
        done = machine.exec(["/bin/sh", "-c", line], check=False, timeout=600)
        print(done.stdout + done.stderr, end="", file=self.stdout)
        if done.code:
            print(f"[{done.code}]", file=self.stdout)

    def do_a(self, line: str) -> None:
        """a COMMAND: run it on node-a."""
        self._run(self.pair.a, line)

    def do_b(self, line: str) -> None:
        """b COMMAND: run it on node-b."""
        self._run(self.pair.b, line)

    def do_client(self, line: str) -> None:
        """client COMMAND: run it on the client, which is this machine with eth0's network alone."""
        subprocess.run(self.pair.client_argv("sh", "-c", line))

    def do_power(self, line: str) -> None:
        """power cut|on|off a|b: at once, a boot, or an orderly shutdown."""
        what, name = shlex.split(line)
        acts: dict[str, Callable[[Machine], None]] = {
            "cut": Machine.power_cut,
            "on": Machine.power_on,
            "off": Machine.shutdown,
        }
        acts[what](self.machines[name])

    def do_freeze(self, line: str) -> None:
        """freeze a|b: the machine stands still, with all that is in it."""
        self.machines[line.strip()].freeze()

    def do_thaw(self, line: str) -> None:
        """thaw a|b: it goes on."""
        self.machines[line.strip()].thaw()

    def do_cut(self, line: str) -> None:
        """cut LINK [a|b]: pull the cable of one machine, or of both."""
        link, *names = shlex.split(line)
        self.pair.cut(link, self.machines[names[0]] if names else None)

    def do_partition(self, line: str) -> None:
        """partition [LINK…]: the machines do not hear each other; all carriers stay."""
        self.pair.partition(*shlex.split(line))

    def do_silence(self, line: str) -> None:
        """silence a|b [LINK…]: the other machine does not hear this one, which still hears the other."""
        name, *links = shlex.split(line)
        machine = self.machines[name]
        self.pair.silence(machine, self.pair.other(machine), *links)

    def do_isolate(self, line: str) -> None:
        """isolate a|b [LINK…]: nobody hears this machine; all carriers stay."""
        name, *links = shlex.split(line)
        self.pair.isolate(self.machines[name], *links)

    def do_heal(self, line: str) -> None:
        """heal [LINK…]: all cables plugged in, everybody hears everybody."""
        self.pair.heal(*shlex.split(line))

    def do_logs(self, line: str) -> None:
        """logs [a|b]: the ends of the agent's log, the journal and the console."""
        for name in shlex.split(line) or self.machines:
            print(self.machines[name].logs(), file=self.stdout)

    def do_end(self, line: str) -> bool:
        """end: switch everything off; nothing stays behind. So does the end of the input."""
        return True

    do_EOF = do_end  # noqa: N815 - the name that cmd looks for


def main() -> None:
    """Start the pair, and read lines until the end."""
    release = (sys.argv[1:] or [build.release()])[0]
    if release not in (BOOKWORM, TRIXIE):
        sys.exit(f"usage: python -m tests.vm.shell [{BOOKWORM}|{TRIXIE}]")
    with Pair(release, ready=Pair.install) as pair:
        for machine in pair.machines:
            print(f"{machine.hostname}: {machine.address} on {LINKS[0]}, {machine.cross_address} on {LINKS[1]}")
        try:
            Shell(pair).cmdloop()
        except KeyboardInterrupt:
            print()


if __name__ == "__main__":
    main()
