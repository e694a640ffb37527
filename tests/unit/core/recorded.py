"""What DRBD says: 8.4 as recorded on two machines, 9 as its documentation has it. Each has a README."""

from pathlib import Path

from escadm.core.drbd.state import Replica, parse_events2

SAMPLES = Path(__file__).parents[1] / "system" / "drbd"
SIZE = 131032 * 1024
STATES = {path.name.removesuffix(".events2.txt"): path for path in (SAMPLES / "8.4").glob("*.[ab].events2.txt")}
STATES_OF_9 = {path.name.removesuffix(".events2.txt"): path for path in (SAMPLES / "9").glob("*.events2.txt")}


def recorded(state: str) -> Replica | None:
    """The samples of 8.4 were recorded with --timestamps, which escadm does not ask for: the first word goes."""
    lines = STATES[state].read_text().splitlines()
    return parse_events2("".join(f"{line.split(' ', 1)[1]}\n" for line in lines))


def of_9(state: str) -> Replica | None:
    """A state as DRBD 9 tells it."""
    return parse_events2(STATES_OF_9[state].read_text())


def said(what: str) -> str:
    """A complaint of 8.4 without the prompt in front and the exit code behind."""
    return "".join((SAMPLES / "8.4" / f"said.{what}.txt").read_text().splitlines(keepends=True)[1:-1])
