"""The commands of user data: what they do, in which order, and which of them would never return."""

from __future__ import annotations

import re

from escadm.config.findings import Findings, did_you_mean
from escadm.config.reader import Path
from escadm.config.values import describe

Command = tuple[Path, str]

_START = re.compile(
    r"\bservice\s+esc_service\s+(re)?start\b|\bsystemctl\b[^;&|]*\s(start|restart|--now)\s[^;&|]*\besc_service\b"
    r"|\bsystemctl\b[^;&|]*\besc_service\b[^;&|]*\s--now\b"
    r"|\bescadm\s+(re)?start\b"
)
_MERGE = re.compile(r"\bescadm\s+ovf\s+merge\b")
_RELOAD = re.compile(r"\bescadm\s+reload\b")
_DRBD = re.compile(r"\bescadm\s+drbd\s+init\b")
_SYSTEMCTL = re.compile(r"\bsystemctl\b([^;&|]*)")
_BLOCKING = re.compile(r"\s(?:start|restart|--now|isolate)(?:\s|$)")
_FREQUENCIES = ("once", "instance", "always")
_AFTER_CLOUD_INIT = frozenset({"cloud-init.target", "cloud-final.service", "cloud-final"})
"""What waits for the end of runcmd, which runs inside of cloud-final.service."""


def read_commands(value: object, path: Path, findings: Findings) -> list[Command]:
    """The commands in order, each as one line with its place."""
    if not isinstance(value, list):
        if value is not None:
            findings.error(path, f"{describe(value)} instead of a list of commands")
        return []
    commands = []
    for index, each in enumerate(value):
        here: Path = (*path, index)
        words = each if isinstance(each, list) else [each]
        if any(isinstance(word, dict | list) for word in words):
            findings.error(here, "a mapping or a list instead of a word", "quote a command that has `: ` in it")
        elif not isinstance(each, list | str) or None in words or not "".join(str(word) for word in words).strip():
            findings.error(here, "an empty command or word")
        else:
            commands.append((here, " ".join(str(word) for word in words)))
            _once(here, [str(word) for word in words], findings)
    return commands


def _once(path: Path, words: list[str], findings: Findings) -> None:
    """The frame ``cloud-init-per FREQUENCY NAME COMMAND``."""
    if words[0].rpartition("/")[2] != "cloud-init-per":
        return
    if len(words) < 4:
        findings.error(path, "cloud-init-per needs a frequency, a name and a command")
    elif words[1] not in _FREQUENCIES:
        hint = did_you_mean(words[1], _FREQUENCIES) or f"one of {', '.join(_FREQUENCIES)}"
        findings.error((*path, 1), f"{words[1]!r} is no frequency of cloud-init-per", hint)
    elif "/" in words[2]:
        findings.error((*path, 2), "the name of cloud-init-per cannot have a / in it")


def check_commands(
    commands: list[Command], waiting: frozenset[str], findings: Findings, *, chkconfig: bool, replicated: bool
) -> None:
    """The order of what escadm does, and what would wait for itself.

    ``waiting``: units that the user data itself orders after cloud-init; ``chkconfig``: whether this machine has it.
    """
    _names(commands, findings)
    for path, text in commands:
        for arguments in _SYSTEMCTL.findall(text):
            held = sorted((waiting | _AFTER_CLOUD_INIT) & set(arguments.split()))
            held += [f"{each}.service" for each in arguments.split() if f"{each}.service" in waiting]
            if held and _BLOCKING.search(arguments) and "--no-block" not in arguments:
                message = f"{held[0]} waits for cloud-init, which waits for this command"
                findings.error(path, message, "add --no-block, or order the unit otherwise")
        if re.search(r"\bchkconfig\b", text) and not chkconfig:
            findings.warn(path, "this machine has no chkconfig", "systemctl enable --now esc_service does the same")
    start, merge = _first(commands, _START), _first(commands, _MERGE)
    reload, drbd = _first(commands, _RELOAD), _first(commands, _DRBD)
    if start is None:
        findings.warn(("runcmd",), "nothing starts esc_service", "systemctl enable --now esc_service", key=True)
    elif merge is not None and start < merge:
        findings.error(commands[start[0]][0], "starts the service before `escadm ovf merge`", "merge first")
    if not replicated:
        return
    if drbd is None:
        hint = "add `escadm reload` and `escadm drbd init` before the service's start"
        findings.warn(("runcmd",), "drbd.nodes, and nothing makes the volume", hint, key=True)
    elif reload is None or drbd < reload:
        findings.error(commands[drbd[0]][0], "drbd init needs what `escadm reload` writes", "reload first")


def _names(commands: list[Command], findings: Findings) -> None:
    taken: set[tuple[str, str]] = set()
    for path, text in commands:
        words = text.split()
        if words[0].rpartition("/")[2] == "cloud-init-per" and len(words) > 2 and words[1] != "always":
            key = (words[1], words[2].replace("-", "_"))
            if key in taken:
                findings.error((*path, 2), f"{words[2]} is there twice: cloud-init-per leaves the second one out")
            taken.add(key)


def _first(commands: list[Command], pattern: re.Pattern[str]) -> tuple[int, int] | None:
    """Where something is done for the first time: the number of the command, and the place in it."""
    found = ((index, pattern.search(text)) for index, (_, text) in enumerate(commands))
    return next(((index, match.start()) for index, match in found if match), None)
