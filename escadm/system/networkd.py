"""systemd-networkd, as far as it manages the virtual address's interface: what it must be told so that it leaves it.

networkd removes addresses that it does not know whenever it configures an interface anew, unless the interface's file
has ``KeepConfiguration=`` (systemd.network(5)). A drop-in of that file adds it.
"""

from __future__ import annotations

import re
import socket
from pathlib import Path

from escadm.paths import Paths

LINKS = "/run/systemd/netif/links"
FOLDERS = ("/etc/systemd/network", "/run/systemd/network", "/usr/local/lib/systemd/network", "/usr/lib/systemd/network")
DROP_IN = "escadm.conf"
_FILE = re.compile(r"^NETWORK_FILE=(/.+\.network)$", re.MULTILINE)
_DECIDED = re.compile(r"^\s*KeepConfiguration\s*=", re.MULTILINE)


def drop_in_for(interface: str, paths: Paths) -> Path | None:
    """Where the drop-in for the interface belongs.

    None where networkd does not manage the interface, or where an administrator has set KeepConfiguration= himself.
    """
    try:
        link = paths.below(f"{LINKS}/{socket.if_nametoindex(interface)}").read_text()
    except OSError:
        return None
    found = _FILE.search(link)
    if found is None:
        return None
    name = Path(found[1]).name
    files = [paths.below(found[1])]
    files += [each for folder in FOLDERS for each in paths.below(f"{folder}/{name}.d").glob("*.conf")]
    if any(_DECIDED.search(_text(each)) for each in files if each.name != DROP_IN):
        return None
    return paths.below(f"{FOLDERS[0]}/{name}.d/{DROP_IN}")


def drop_ins(paths: Paths) -> list[Path]:
    """Those of escadm's name that are there."""
    return sorted(paths.below(FOLDERS[0]).glob(f"*.network.d/{DROP_IN}"))


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
