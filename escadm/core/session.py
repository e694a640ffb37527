"""The session between two agents on one path: whose word counts, decided from bytes alone.

Each side has a lasting key pair and, for each life, a random *session id*. A sealed datagram is bound to both keys,
both ids and a counter, so it is believed only if its sender has seen this side's id in this life (no replay of an
earlier one), and only if it is newer than all before it. There is no clock in it, and nothing to agree on: whoever has
no session says *hello* (its public key and its id) at every interval, gets an answer of the same form, and seals a
datagram for that id; the first one that can be opened makes the session. A hello is believed nothing but to be worth an
answer, so what is lost, doubled, late or forged changes nothing that the next interval does not put right.

The peer's key is pinned by the first session. Until then, and never again, plain datagrams of a version without keys
are believed too.
"""

from __future__ import annotations

import json
import struct
from base64 import b64decode, b64encode
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Protocol

MAGIC = b"\x89escadm\x01"
HEADER = struct.Struct(">8s16s16sQ")  # magic, the sender's session id, the receiver's, the sender's counter
KEY_BYTES = 32
ID_BYTES = 16
MOST_CANDIDATES = 4  # keys that wait to be pinned: anybody can send a hello
MOST_RETIRED = 10_000  # one for each restart of the peer in this life

NO_KEY = "without a key"
OTHER_KEY = "with another key"
OWN_KEY = "with this node's own key"
FORGED = "with a datagram that the key does not open"
ROUTED = "through a router"
STRANGE = "with something that is not understood"


class Cipher(Protocol):
    """This node's key pair: seals for a peer's public key, and opens what that peer has sealed for this node."""

    @property
    def public(self) -> bytes: ...

    def seal(self, peer: bytes, session: bytes, header: bytes, text: bytes) -> bytes: ...

    def unseal(self, peer: bytes, session: bytes, header: bytes, sealed: bytes) -> bytes | None: ...


class Trust(Protocol):
    """Whose key counts: ``pinned`` is the peer's, None before the first contact."""

    @property
    def pinned(self) -> bytes | None: ...

    def pin(self, key: bytes) -> None: ...


@dataclass(frozen=True, slots=True)
class Reception:
    """What a datagram comes to.

    ``content``: the peer's word, to be believed. ``doubt``: why somebody else must have sent it, ``key`` the public key
    that came with it. ``reply``: to be sent back as it is. ``speak``: the peer waits for a sealed datagram.
    """

    content: bytes | None = None
    doubt: str = ""
    key: bytes | None = None
    reply: bytes | None = None
    speak: bool = False


NOTHING = Reception()


def fingerprint(key: bytes) -> str:
    """A public key as people compare it, in the form of ssh-keygen(1)."""
    return f"SHA256:{_text(sha256(key).digest()).rstrip('=')}"


@dataclass(slots=True)
class Session:
    """One path's session. ``own``: this life's id, random."""

    cipher: Cipher
    trust: Trust
    own: bytes
    _count: int = 0
    _current: bytes | None = None
    _highest: int = 0
    _candidates: dict[bytes, bytes] = field(default_factory=dict)
    _retired: set[bytes] = field(default_factory=set)
    _before: bytes | None = None  # the id before this one, until the peer has taken up this one

    @property
    def is_open(self) -> bool:
        """Whether the peer has proved in this life that it has its key."""
        return self._current is not None

    # --- what goes out ---

    def regular(self, content: bytes) -> list[bytes]:
        """The datagrams of an interval. Before anything is pinned the content goes in plain text too, with the hello:
        a version without keys understands that."""
        if self._current is not None:
            return self.sealed(content)
        plain = content if self.trust.pinned is None else b'{"escadm":2}'
        return [self._hello(wants_answer=True, beside=plain), *self.sealed(content)]

    def sealed(self, content: bytes) -> list[bytes]:
        """The content for whom it is meant: the peer or, while there is no session, whoever may turn out to be it."""
        pinned = self.trust.pinned
        if self._current is not None and pinned is not None:
            return [self._seal(pinned, self._current, content)]
        return [self._seal(key, its, content) for key, its in self._candidates.items() if pinned in (None, key)]

    def _seal(self, key: bytes, its: bytes, content: bytes) -> bytes:
        self._count += 1
        header = HEADER.pack(MAGIC, self.own, its, self._count)
        return header + self.cipher.seal(key, self.own + its, header, content)

    def _hello(self, *, wants_answer: bool, beside: bytes) -> bytes:
        hello = {"key": _text(self.cipher.public), "session": _text(self.own), "answer": wants_answer}
        return json.dumps({**json.loads(beside), "hello": hello}, separators=(",", ":")).encode()

    # --- what comes in ---

    def receive(self, data: bytes, *, is_near: bool = True) -> Reception:
        """Judge a datagram that has the peer's address on it. ``is_near``: no router has passed it on; a version
        without keys cannot show that."""
        if data.startswith(MAGIC):
            return self._sealed_one(data) if is_near else Reception(doubt=ROUTED)
        try:
            told = json.loads(data)
            version, hello = told["escadm"], told.get("hello")
            if hello is not None:
                key, its = _bytes(hello["key"], KEY_BYTES), _bytes(hello["session"], ID_BYTES)
                greeted = self._greeted(key, its, wants_answer=hello.get("answer") is True) if is_near else None
                return greeted or Reception(doubt=ROUTED)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return Reception(doubt=STRANGE)
        if version != 1:
            return Reception(doubt=STRANGE)
        return Reception(content=data) if self.trust.pinned is None else Reception(doubt=NO_KEY)

    def _greeted(self, key: bytes, its: bytes, *, wants_answer: bool) -> Reception:
        if key == self.cipher.public:
            return Reception(doubt=OWN_KEY)
        if self.trust.pinned not in (None, key):
            return Reception(doubt=OTHER_KEY, key=key)
        reply = self._hello(wants_answer=False, beside=b'{"escadm":2}') if wants_answer else None
        if self._current is not None:
            return Reception(reply=reply)
        self._candidates.pop(key, None)
        self._candidates[key] = its
        while len(self._candidates) > MOST_CANDIDATES:
            self._candidates.pop(next(iter(self._candidates)))
        return Reception(reply=reply, speak=True)

    def _sealed_one(self, data: bytes) -> Reception:
        if len(data) < HEADER.size:
            return Reception(doubt=STRANGE)
        header = data[: HEADER.size]
        _, its, mine, count = HEADER.unpack(header)
        is_old = its in self._retired or (its == self._current and count <= self._highest)
        if is_old or mine not in (self.own, self._before):
            return NOTHING  # late, doubled, or of an earlier life: it proves nothing, and harms nobody
        pinned = self.trust.pinned
        for key in list(self._candidates) if pinned is None else [pinned]:
            text = self.cipher.unseal(key, its + mine, header, data[HEADER.size :])
            if text is not None:
                return Reception(content=text, speak=self._opened(key, its, mine, count))
        return Reception(doubt=FORGED) if pinned is not None else NOTHING  # its hello may still be under way

    def _opened(self, key: bytes, its: bytes, mine: bytes, count: int) -> bool:
        """Take note of a datagram that is the peer's; whether it begins a session."""
        begins = its != self._current
        if begins:
            if self._current is not None:
                self._retired.add(self._current)
            if self.trust.pinned is None:
                self.trust.pin(key)
            self._current = its
        self._highest = count
        if mine == self.own and self._before is not None:
            self._before = None
            self._retired.clear()  # what was sealed for the id of before is not taken any more
        elif len(self._retired) > MOST_RETIRED:
            self.renew()
        return begins

    def renew(self) -> None:
        """Go on under another id, for a peer that takes what comes under this one for old: a machine that was set back
        to an earlier state of its memory counts from there. What the peer sends is taken all the same."""
        if self._before is None:
            self._before = self.own
            self.own = sha256(MAGIC + self.own).digest()[:ID_BYTES]


def _text(data: bytes) -> str:
    return b64encode(data).decode()


def _bytes(text: str, length: int) -> bytes:
    found = b64decode(text, validate=True)
    if len(found) != length:
        raise ValueError(f"{len(found)} bytes instead of {length}")
    return found
