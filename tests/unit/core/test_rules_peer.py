"""How often the peer speaks."""

from __future__ import annotations

from escadm.core.rules.peer import heartbeat_interval


def test_heartbeat_follows_vrrp_within_bounds() -> None:
    assert [heartbeat_interval(advert) for advert in (0.05, 0.5, 1.0, 40.0)] == [0.2, 0.5, 1.0, 1.0]
