"""What the nodes tell each other, as text and back; and what comes in that is none of ours."""

import json
from typing import Any

import pytest

from escadm.core.drbd.evidence import Evidence, encode
from escadm.core.drbd.secret import PairSecret
from escadm.core.drbd.secret import encode as encode_secret
from escadm.core.peer import REASONS_TAKEN, parse
from escadm.core.peer import encode as encode_content
from escadm.core.role import Peer
from escadm.core.states import Role, Vrrp

THERE = "127.0.0.3"
SAID: dict[str, Any] = {"escadm": 1, "vrrp": "BACKUP", "role": "BACKUP", "fit": True, "settled": True}


def parsed(**more: Any) -> Peer | None:
    return parse(json.dumps({**SAID, **more}).encode(), THERE)


def test_good_datagram() -> None:
    assert parsed(reasons=["pgsql died"], pairing={"vip": "172.16.2.0"}, of_a_later_version=[1]) == Peer(
        THERE, True, Vrrp.BACKUP, Role.BACKUP, True, True, ("pgsql died",), {"vip": "172.16.2.0"}
    )
    assert parsed(role=None) == Peer(THERE, True, Vrrp.BACKUP, None, True, True, (), {})


def test_what_the_peer_tells_of_its_copy() -> None:
    copy = Evidence("Secondary", "StandAlone", "UpToDate", out_of_sync=4096)
    told = parsed(replica=encode(copy))
    assert told is not None
    assert told.replica == copy
    strange = parsed(replica="StandAlone")
    assert strange is not None
    assert strange.replica is None


def test_what_the_peer_tells_of_the_secret_of_the_keys() -> None:
    told = parsed(secret=encode_secret(PairSecret("aa", "bb", "")))
    assert told is not None
    assert told.secret == PairSecret("aa", "bb", "")
    older, strange = parsed(), parsed(secret=["aa"])
    assert older is not None
    assert strange is not None
    assert older.secret is strange.secret is None


def test_what_the_peer_tells_of_a_loss() -> None:
    told = parsed(holds=True, gateway=False, has_volume=False, asks=True)
    assert told is not None
    assert (told.holds, told.gateway, told.has_volume, told.asks) == (True, False, False, True)
    silent = parsed()
    assert silent is not None
    assert (silent.holds, silent.gateway, silent.has_volume, silent.asks) == (False, None, True, False)
    strange = parsed(holds="yes", gateway="yes", has_volume="no", asks=1)
    assert strange == silent


def test_only_true_is_true() -> None:
    for value in (1, "true", [True], None):
        told = parsed(fit=value, settled=value)
        assert told is not None
        assert (told.fit, told.settled) == (False, False)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        b"\xff\x00\xfe",
        b"null",
        b"7",
        b'"escadm"',
        b"[1]",
        b"{}",
        b'{"escadm": 2}',
        b'{"escadm": 1}',
        b"[" * 60_000,
        b'{"a":' * 10_000,
    ],
    ids=range(12),
)
def test_garbage(data: bytes) -> None:
    assert parse(data, THERE) is None


@pytest.mark.parametrize(
    "more",
    [
        {"vrrp": "PRESIDENT"},
        {"vrrp": None},
        {"vrrp": ["BACKUP"]},
        {"role": "PRESIDENT"},
        {"role": 7},
        {"reasons": 7},
        {"reasons": None},
        {"pairing": 7},
        {"pairing": ["vip"]},
        {"escadm": "1"},
    ],
    ids=str,
)
def test_wrong_types(more: dict[str, Any]) -> None:
    assert parsed(**more) is None


def test_what_will_stand_in_the_status_is_short_and_plain() -> None:
    told = parsed(reasons=["x" * 60_000, "line\nline\x1b[31m", 7, {}] * 30, pairing={"vip\n": "a\tb"})
    assert told is not None
    assert len(told.reasons) == REASONS_TAKEN
    assert all(len(reason) <= 200 and reason.isprintable() for reason in told.reasons)
    assert told.reasons[1] == "line line [31m"
    assert told.pairing == {"vip ": "a b"}


def test_what_the_peer_says_that_it_hears() -> None:
    said = {key: value for key, value in SAID.items() if key != "escadm"}
    for hears, hears_us in (([], False), ([THERE], True)):
        told = parse(encode_content(said, hears), THERE)
        assert told is not None
        assert told.hears_us is hears_us
    nothing: tuple[object, ...] = (None, 7, "yes", {})
    for strange in nothing:
        told = parsed(hears=strange)
        assert told is not None
        assert told.hears_us is None, "a version that does not say, or says it in words of its own"
