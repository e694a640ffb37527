"""What the two agents of a pair tell each other: small UDP datagrams between the nodes' own addresses, VRRP's and,
where these are others, DRBD's: whoever has two paths should not believe the peer dead because one of them is.

Each says what it is (keepalived's state, the role reached, fitness and why) a few times in the interval after which
silence counts. Nothing here gives a role; it answers "could the peer take over?" and "do we both think the same?".
Whose word counts is decided by :class:`escadm.core.session.Session`; the rest only shows as a stranger.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from escadm.agent.inputs.identity import Identity
from escadm.agent.inputs.peer_link import PORT, PeerLink
from escadm.core.peer import encode
from escadm.core.session import fingerprint
from escadm.core.specs import Address
from escadm.core.trust import Acquaintance
from escadm.errors import Failed

__all__ = ["PORT", "PeerLinks"]


class PeerLinks:
    """The link on every path (own address, peer's address), VRRP's first. ``peer`` is what was heard last on any."""

    def __init__(
        self,
        paths: Sequence[tuple[Address, Address]],
        interval: float,
        tell: Callable[[], Mapping[str, object]],
        on_change: Callable[[], None],
        identity: Identity,
    ) -> None:
        self.route = (paths, interval)
        self._tell = tell
        self._on_change = on_change
        self._identity = identity
        self._links = [
            PeerLink(path, interval, self._content, partial(self._changed, index), identity)
            for index, path in enumerate(paths)
        ]
        self.peer = self._links[0].peer
        self._stranger = ""

    @property
    def heard_at(self) -> float | None:
        """When the last datagram came, by the loop's clock; None before the first."""
        return max((link.heard_at for link in self._links if link.heard_at is not None), default=None)

    async def open(self) -> None:
        await asyncio.gather(*(link.open() for link in self._links))

    def close(self) -> None:
        for link in self._links:
            link.close()

    def say(self) -> None:
        """Send at once, on every path, if there is news."""
        for link in self._links:
            link.say()

    def age(self) -> None:
        """What was heard so far is old: something else is known of the peer by now. The next datagram is new again."""
        for link in self._links:
            link.age()
        self.peer = replace(self.peer, stale=self.peer.heard)

    # --- whose word counts ---

    def acquaintance(self) -> Acquaintance:
        """How the two nodes know each other."""
        identity, stranger = self._identity, self._strange()
        return Acquaintance(
            self.peer.address, self.peer.heard, identity.node_fingerprint, identity.peer_fingerprint, stranger
        )

    def trust(self, wanted: str) -> str:
        """Take the key that a stranger offers, the one with the fingerprint ``wanted`` if there are several, for the
        peer's; what has changed, as a sentence. Raises Failed."""
        offered = {fingerprint(key): key for link in self._links for key in link.offered()}
        before = self._identity.peer_fingerprint or "not known"
        if wanted and wanted == before:
            return f"the peer's key is {before} already"
        if not offered:
            raise Failed(f"nobody offers another key with the address of the peer; its key is {before}")
        if wanted not in offered and (wanted or len(offered) > 1):
            raise Failed(
                f"cannot tell which key is the peer's: {', '.join(offered)}",
                "escadm ha show says so on the other node; then: escadm ha trust FINGERPRINT",
            )
        found = wanted or next(iter(offered))
        self._identity.accept(offered[found])
        self._begin_anew()
        return f"the peer's key was {before}, and is {found} from now on"

    def forget(self) -> str:
        """Be as before the first contact; what has changed, as a sentence."""
        before = self._identity.peer_fingerprint or "not known"
        self._identity.forget()
        self._begin_anew()
        return f"the peer's key was {before}; the next one that proves itself with its address is pinned"

    def _begin_anew(self) -> None:
        for link in self._links:
            link.begin_anew()

    # --- inside ---

    def _content(self) -> bytes:
        return encode(self._tell(), [link.peer.address for link in self._links if link.peer.heard])

    def _strange(self) -> str:
        return next((told for link in self._links if (told := link.stranger())), "")

    def _changed(self, index: int) -> None:
        """A path that has fallen silent says nothing as long as another one speaks."""
        first = self._links[0].peer
        newest = next((link.peer for link in (self._links[index], *self._links) if link.peer.heard), first)
        peer = replace(newest, address=first.address, near=first.heard)
        stranger = self._strange()
        if (peer, stranger) != (self.peer, self._stranger):
            self.peer, self._stranger = peer, stranger
            self._on_change()
