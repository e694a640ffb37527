"""The key files: this node's key pair and the peer's public key, each 32 bytes of X25519 in base64, as wg(8) has them.

No cryptography here: who only shows keys need not load it.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from pathlib import Path

from escadm.errors import Failed
from escadm.paths import Paths
from escadm.system.files import read, write_atomically

LENGTH = 32


def read_key(path: Path) -> bytes | None:
    """The key in a file, None where there is none. Raises Failed for anything else, without showing it."""
    text = read(path)
    if text is None:
        return None
    try:
        found = b64decode(text.strip(), validate=True)
    except ValueError:
        found = b""
    if len(found) != LENGTH:
        raise Failed(f"cannot use {path}: it is not {LENGTH} bytes in base64", "remove it, or put the right key there")
    return found


def pin(paths: Paths, key: bytes) -> None:
    """From now on the peer is who has this key."""
    write_atomically(paths.peer_pub, _line(key), 0o644)


def forget(paths: Paths) -> None:
    """The next one who speaks with the peer's address and a key is the peer."""
    paths.peer_pub.unlink(missing_ok=True)


def write_pair(paths: Paths, private: bytes, public: bytes) -> None:
    """Keep a key pair; the half that others may know can be read by everybody."""
    write_atomically(paths.node_key, _line(private), 0o600)
    write_atomically(paths.node_pub, _line(public), 0o644)


def _line(key: bytes) -> str:
    return f"{b64encode(key).decode()}\n"
