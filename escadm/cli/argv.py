"""The command line as people write it, turned into the one that the parser takes. Pure.

The manual prints ``--kad_vip= 172.16.2.0 --ha_node_list= 172.16.0.0 172.16.1.0``: a blank after ``=``, and a list
of words. An option that takes a value never takes the next option for it.
"""

from __future__ import annotations

from collections.abc import Sequence

from escadm.errors import Usage

LIST_OPTIONS = frozenset({"--ha-node-list", "--kad-unicast-peer", "--gateway"})
VALUE_OPTIONS = LIST_OPTIONS | {
    "--root",
    "--kad-vip",
    "--kad-vif",
    "--kad-vri",
    "--kad-unicast-src-ip",
    "--advert-interval",
    "--erase",
    "--file",
    "--keep",
    "--yes",
    "--wait",
    "--user-data",
}
GLOBAL_FLAGS = frozenset({"--debug"})
_FOREIGN = ("lab", "exec")


def normalise(argv: Sequence[str]) -> list[str]:
    """``argv`` with each value joined to its option by ``=`` and the global options in front.

    ``--opt VALUE``, ``--opt=VALUE`` and ``--opt= VALUE`` become ``--opt=VALUE``; an option that takes a list becomes
    one ``--opt=ITEM`` for each of the words up to the next option. What follows ``--`` or belongs to the command
    of ``lab exec`` is left alone. Raises Usage for an option without its value.
    """
    in_front: list[str] = []
    rest: list[str] = []
    words: list[str] = []
    queue = list(argv)
    while queue:
        token = queue.pop(0)
        name, equals, value = token.partition("=")
        key = canonical(name)
        if token == "--" or tuple(words) == _FOREIGN:  # noqa: S105
            return [*in_front, *rest, token, *queue]
        if key in VALUE_OPTIONS:
            values = _take(name, key, [value] if equals and value.strip() else [], queue)
            target = in_front if key == "--root" else rest
            target += [f"{name}={each}" for each in values]
        elif key in GLOBAL_FLAGS:
            in_front.append(token)
        else:
            if not token.startswith("-"):
                words.append(token)
            rest.append(token)
    return [*in_front, *rest]


def verb(argv: Sequence[str]) -> str | None:
    """The command of a normalised command line; None where it asks for none, or for help before it."""
    for token in argv:
        if not token.startswith("-"):
            return token
        if canonical(token.partition("=")[0]) not in VALUE_OPTIONS | GLOBAL_FLAGS:
            return None
    return None


def canonical(option: str) -> str:
    """The name of an option with ``-`` for each ``_``; a word that is no option stays as it is."""
    return option.replace("_", "-") if option.startswith("--") else option


def split_list(values: Sequence[str]) -> list[str]:
    """The items of a list option, however they were separated: by blanks, by commas, or as words."""
    return [item for value in values for item in value.replace(",", " ").split()]


def _take(name: str, key: str, values: list[str], queue: list[str]) -> list[str]:
    """The option's values, taken off the front of ``queue``."""
    is_list = key in LIST_OPTIONS
    while queue and (queue[0] == "-" or not queue[0].startswith("-")) and (is_list or not values):
        word = queue.pop(0)
        word = word if values else word.removeprefix("=")
        if word.strip(" ,"):
            values.append(word.strip())
    if not values or not any(split_list(values)):
        raise Usage(f"option {name} needs a value", f"write it as {name}=VALUE or {name} VALUE")
    return values
