"""The cryptography between the two nodes: X25519, HKDF with SHA-256 (RFC 5869), XChaCha20-Poly1305; libsodium's.

Loaded by the agent, and by the command that makes a key, alone.
"""

from __future__ import annotations

import hmac
import os
import stat
from hashlib import blake2b, sha256
from typing import TypeVar

from nacl.bindings import (
    crypto_aead_xchacha20poly1305_ietf_decrypt,
    crypto_aead_xchacha20poly1305_ietf_encrypt,
    crypto_scalarmult,
    crypto_scalarmult_base,
)
from nacl.exceptions import CryptoError

from escadm.core.specs import Secret
from escadm.log import get
from escadm.paths import Paths
from escadm.system.keys import LENGTH, read_key, write_pair

NONCE = 24
LABEL = b"escadm agents 1"
DRBD_LABEL = b"escadm drbd 1"
DRBD_BYTES = 31  # in hexadecimal digits, of which DRBD takes 63 at most
MOST_KEPT = 16

K = TypeVar("K")

log = get(__name__)


class KeyPair:
    """A node's key pair, with what it shares with others worked out once."""

    def __init__(self, private: bytes) -> None:
        self._private = private
        self.public: bytes = crypto_scalarmult_base(private)
        self._shared: dict[bytes, bytes] = {}
        self._keys: dict[tuple[bytes, ...], bytes] = {}

    def seal(self, peer: bytes, session: bytes, header: bytes, text: bytes) -> bytes:
        """``text`` for ``peer`` alone, which learns that neither it nor ``header`` was changed on the way."""
        nonce = os.urandom(NONCE)
        key = self._key(self.public, peer, peer, session)
        if key is None:
            return b""
        return nonce + crypto_aead_xchacha20poly1305_ietf_encrypt(text, header, nonce, key)

    def unseal(self, peer: bytes, session: bytes, header: bytes, sealed: bytes) -> bytes | None:
        """The text that ``peer`` has sealed for this node; None where it has not."""
        key = self._key(peer, self.public, peer, session)
        if key is None:
            return None
        try:
            text: bytes = crypto_aead_xchacha20poly1305_ietf_decrypt(sealed[NONCE:], header, sealed[:NONCE], key)
        except (CryptoError, ValueError):
            return None
        return text

    def secret_with(self, peer: bytes) -> Secret | None:
        """A text that this node and ``peer`` alone can work out, the same on both, for DRBD; None for a public key that
        shares nothing (of low order)."""
        shared = self._shared_with(peer)
        if shared is None:
            return None
        both = b"".join(sorted((self.public, peer)))
        return Secret(blake2b(both, key=shared, digest_size=DRBD_BYTES, person=DRBD_LABEL).hexdigest())

    def _key(self, sender: bytes, receiver: bytes, peer: bytes, session: bytes) -> bytes | None:
        """The key of one direction of one session; None for a public key that shares nothing."""
        name = (sender, receiver, session)
        if name not in self._keys:
            shared = self._shared_with(peer)
            if shared is None:
                return None
            _keep(self._keys, name, derive(shared, session, LABEL + sender + receiver))
        return self._keys[name]

    def _shared_with(self, peer: bytes) -> bytes | None:
        try:
            shared: bytes = self._shared.get(peer) or crypto_scalarmult(self._private, peer)
        except CryptoError:
            return None
        _keep(self._shared, peer, shared)
        return shared


def derive(shared: bytes, salt: bytes, info: bytes) -> bytes:
    """One key of 32 bytes by HKDF with SHA-256."""
    extracted = hmac.digest(salt, shared, sha256)
    return hmac.digest(extracted, info + b"\x01", sha256)


def load_pair(paths: Paths) -> KeyPair:
    """This node's key pair, made where there is none yet. Raises EscadmError where that cannot be."""
    private = read_key(paths.node_key)
    if private is None:
        private = os.urandom(LENGTH)
        log.info("made a key pair: %s", paths.node_key)
    elif stat.S_IMODE(paths.node_key.stat().st_mode) & 0o077:
        log.warning("%s could be read by others: it is root's alone from now on", paths.node_key)
    pair = KeyPair(private)
    write_pair(paths, private, pair.public)
    return pair


def _keep(table: dict[K, bytes], name: K, value: bytes) -> None:
    table[name] = value
    while len(table) > MOST_KEPT:
        table.pop(next(iter(table)))
