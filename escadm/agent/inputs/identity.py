"""Who this node is and whom it takes for its peer: the key files, as the running agent has them."""

from __future__ import annotations

from escadm.core.session import Cipher, fingerprint
from escadm.core.specs import Secret
from escadm.errors import EscadmError
from escadm.log import get
from escadm.paths import Paths
from escadm.system import keys
from escadm.system.cipher import KeyPair, load_pair

log = get(__name__)


class Identity:
    """This node's key pair and the peer's pinned key; :meth:`load` comes first."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._pair: KeyPair | None = None
        self.pinned: bytes | None = None

    def load(self) -> Cipher:
        """Read the files, and make what this node has for itself where it is missing. Raises EscadmError."""
        if self._pair is None:
            pair = load_pair(self._paths)
            self.pinned = keys.read_key(self._paths.peer_pub)
            self._pair = pair
        return self._pair

    def pin(self, key: bytes) -> None:
        """From now on this key alone is the peer's, whether that can be written down or not."""
        log.info("the peer's key is %s from now on", fingerprint(key))
        self.pinned = key
        try:
            keys.pin(self._paths, key)
        except (EscadmError, OSError) as error:
            log.error("the peer's key is known until the agent's end alone: %s", error)  # noqa: TRY400

    def accept(self, key: bytes) -> None:
        """Take another key for the peer's, if that can be written down. Raises EscadmError."""
        keys.pin(self._paths, key)
        self.pin(key)

    def forget(self) -> None:
        """The next key that proves itself with the peer's address is the peer's."""
        log.info("the peer's key is forgotten")
        keys.forget(self._paths)
        self.pinned = None

    @property
    def secret(self) -> Secret | None:
        """What this node and its peer alone can work out; None before the peer's key is pinned."""
        return self._pair.secret_with(self.pinned) if self._pair and self.pinned else None

    @property
    def node_fingerprint(self) -> str:
        return fingerprint(self._pair.public) if self._pair else ""

    @property
    def peer_fingerprint(self) -> str:
        return fingerprint(self.pinned) if self.pinned else ""
