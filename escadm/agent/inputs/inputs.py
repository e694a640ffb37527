"""All that this node hears and sees from outside its own units: a feed for each thing, and what was heard last."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace

from escadm.agent.inputs.addresses import AddressFeed
from escadm.agent.inputs.adverts import AdvertFeed
from escadm.agent.inputs.claims import ClaimFeed
from escadm.agent.inputs.drbd_events import ReplicaFeed
from escadm.agent.inputs.gateway import GatewayFeed
from escadm.agent.inputs.identity import Identity
from escadm.agent.inputs.peer_links import PeerLinks
from escadm.agent.inputs.vrrp_fifo import RoleFeed
from escadm.core.drbd.fencing import sees_more
from escadm.core.drbd.state import Replica
from escadm.core.role import Peer
from escadm.core.rules.peer import heartbeat_interval
from escadm.core.situation import Situation
from escadm.core.specs import KeepalivedSpec
from escadm.core.states import Vrrp
from escadm.log import get
from escadm.paths import Paths

SURE_AFTER = 3.5
"""Seconds: a silence of the peer within them says nothing, the agent has only begun to listen."""

log = get(__name__)


class Inputs:
    """The feeds, and their news. ``on_change`` hears of all that may change a decision; before that ``on_word`` hears
    each new word of keepalived's, and ``on_loss`` that the volume is gone while DRBD is listened to. ``tell`` is what
    the peer is told.

    keepalived's words and DRBD's events are listened to by whoever starts these; the rest by :meth:`open` and
    :meth:`connect`. ``vrrp`` and ``replica``: keepalived's last word, and the volume as it was last seen. ``asked``:
    how many wait to be told what has become of the peer.
    """

    def __init__(
        self,
        paths: Paths,
        *,
        on_change: Callable[[], None],
        on_word: Callable[[Vrrp], None],
        on_loss: Callable[[], None],
        tell: Callable[[], Mapping[str, object]],
    ) -> None:
        self._on_change = on_change
        self._on_word = on_word
        self._on_loss = on_loss
        self._tell = tell
        self.identity = Identity(paths)
        self._sure_at = 0.0
        self.addresses = AddressFeed(on_change)
        self.adverts = AdvertFeed(on_change)
        self.claims = ClaimFeed(on_change)
        self.gateway = GatewayFeed(on_change)
        self.link: PeerLinks | None = None
        self.words = RoleFeed(paths, self._on_vrrp)
        self.vrrp = Vrrp.UNKNOWN
        self.volume = ReplicaFeed(self._on_replica)
        self.replica: Replica | None = None
        self.asked = 0

    def open(self, on_machine: Callable[[], None]) -> None:
        """Look at this machine's network from now on; ``on_machine`` hears as well when its addresses change."""
        self.addresses.open(on_machine)
        self.adverts.open()

    def connect(self, spec: KeepalivedSpec | None) -> None:
        """Listen and speak where the plan says from now on: to the peer, to the gateway, to VRRP's adverts."""
        interval = heartbeat_interval(spec.advert_interval) if spec else 1.0
        self.adverts.watch(spec)
        self.claims.watch(spec)
        self.gateway.ask(spec.gateway if spec else (), interval)
        route = (spec.peer_paths if spec else (), interval)
        if self.link is not None and self.link.route == route:
            return
        if self.link is not None:
            self.link.close()
        self.link = PeerLinks(*route, self._tell, self._on_change, self.identity) if route[0] else None
        loop = asyncio.get_running_loop()
        self._sure_at = loop.time() + SURE_AFTER
        if self.link is not None:
            self._opening = loop.create_task(self.link.open())

    def gather(self, known: Situation) -> Situation:
        """What is ``known`` of this node itself, with all that is known here."""
        link = self.link
        return replace(
            known,
            vrrp=self.vrrp,
            peer=self.peer,
            heard_at=link.heard_at if link else None,
            known=link.acquaintance() if link else None,
            interfaces=self.addresses.interfaces,
            adverts=self.adverts.seen,
            claims=self.claims.seen,
            gateway=self.gateway.seen,
            replica=self.replica,
            asked=self.asked > 0,
            sure_at=self._sure_at,
        )

    @property
    def peer(self) -> Peer | None:
        """What the peer has said last; None where nobody knows its address."""
        return self.link.peer if self.link else None

    def say(self) -> None:
        """Tell the peer at once, if there is news."""
        if self.link is not None:
            self.link.say()

    def close(self) -> None:
        """Hear nothing more; the peer is told what is so now."""
        self.say()
        if self.link is not None:
            self.link.close()
        self.words.close()
        self.volume.close()
        self.gateway.close()
        self.addresses.close()
        self.adverts.close()
        self.claims.close()

    def _on_vrrp(self, vrrp: Vrrp) -> None:
        before, self.vrrp = self.vrrp, vrrp
        if vrrp is not before:
            self._on_word(vrrp)
            self._on_change()

    def _on_replica(self, replica: Replica | None) -> None:
        if replica is None and self.replica is not None and self.volume.is_open:
            self._on_loss()
        if replica != self.replica:
            if replica is None or self.replica is None or replica.words != self.replica.words:
                log.info("drbd: %s", replica.words if replica else "not up")
            if self.link is not None and sees_more(self.replica, replica):
                self.link.age()
            self.replica = replica
            self._on_change()
