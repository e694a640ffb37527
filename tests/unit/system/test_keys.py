"""The key files, and the cryptography that they are for."""

from base64 import b64encode
from pathlib import Path

import pytest
from nacl.bindings import crypto_scalarmult_base

from escadm.errors import Failed
from escadm.paths import Paths
from escadm.system.cipher import MOST_KEPT, KeyPair, derive, load_pair
from escadm.system.keys import forget, pin, read_key

SESSION, HEADER = b"s" * 32, b"header"


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(tmp_path)


# --- files ------------------------------------------------------------------------------------------------


def test_a_pair_is_made_once_and_the_private_half_is_roots(paths: Paths) -> None:
    made = load_pair(paths)
    assert (paths.node_key.stat().st_mode & 0o777, paths.node_pub.stat().st_mode & 0o777) == (0o600, 0o644)
    assert read_key(paths.node_pub) == made.public == load_pair(paths).public
    assert load_pair(Paths(paths.root / "other")).public != made.public


def test_a_key_that_was_brought_gets_its_public_half_and_its_mode(
    paths: Paths, caplog: pytest.LogCaptureFixture
) -> None:
    paths.node_key.parent.mkdir(parents=True)
    paths.node_key.write_text(b64encode(bytes(range(32))).decode())  # as a template writes it, without a newline
    paths.node_pub.write_text("stale\n")
    pair = load_pair(paths)
    assert read_key(paths.node_pub) == pair.public == crypto_scalarmult_base(bytes(range(32)))
    assert paths.node_key.stat().st_mode & 0o777 == 0o600
    assert "could be read by others" in caplog.text


@pytest.mark.parametrize("text", ["", "AAAA", "not base64 at all", "A" * 44, "\0" * 32])
def test_what_is_no_key_is_refused_and_not_shown(paths: Paths, text: str) -> None:
    paths.node_key.parent.mkdir(parents=True)
    paths.node_key.write_text(text)
    with pytest.raises(Failed, match=r"cannot use .*node\.key: it is not 32 bytes in base64") as refusal:
        load_pair(paths)
    assert not text or text not in str(refusal.value)
    assert paths.node_key.read_text() == text, "nothing takes its place"


def test_the_peers_key_is_pinned_and_forgotten(paths: Paths) -> None:
    assert read_key(paths.peer_pub) is None
    pin(paths, bytes(32))
    assert read_key(paths.peer_pub) == bytes(32)
    forget(paths)
    forget(paths)
    assert read_key(paths.peer_pub) is None


# --- cryptography -----------------------------------------------------------------------------------------


def test_the_derived_key_is_that_of_the_standard() -> None:
    """RFC 5869, A.1: the first block."""
    info, salt = bytes(range(0xF0, 0xFA)), bytes(range(13))
    okm = "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"
    assert derive(b"\x0b" * 22, salt, info).hex() == okm


def test_two_nodes_understand_each_other_and_nobody_else() -> None:
    one, two, three = (KeyPair(bytes([number]) * 32) for number in (1, 2, 3))
    sealed = one.seal(two.public, SESSION, HEADER, b"text")
    assert b"text" not in sealed
    assert two.unseal(one.public, SESSION, HEADER, sealed) == b"text"
    assert two.unseal(three.public, SESSION, HEADER, sealed) is None
    assert three.unseal(one.public, SESSION, HEADER, sealed) is None
    assert two.unseal(one.public, b"t" * 32, HEADER, sealed) is None
    assert two.unseal(one.public, SESSION, b"other", sealed) is None
    assert one.unseal(two.public, SESSION, HEADER, sealed) is None, "it is for one direction"
    for place in range(len(sealed)):
        broken = bytes(each ^ (index == place) for index, each in enumerate(sealed))
        assert two.unseal(one.public, SESSION, HEADER, broken) is None
    for length in (0, 1, 23, 24, 39, len(sealed) - 1):
        assert two.unseal(one.public, SESSION, HEADER, sealed[:length]) is None


def test_the_same_twice_is_not_the_same() -> None:
    one, two = KeyPair(bytes([1]) * 32), KeyPair(bytes([2]) * 32)
    first, second = (one.seal(two.public, SESSION, HEADER, b"text") for _ in range(2))
    assert first != second


def test_two_nodes_have_a_secret_that_nobody_else_has_and_every_version_has_the_same() -> None:
    one, two, three = (KeyPair(bytes([number]) * 32) for number in (1, 2, 3))
    secret = one.secret_with(two.public)
    assert secret is not None
    assert secret.reveal() == "05c2c183867df9563b3658819600f5b5dce8477cedddecef4ea2ffb0a31f3a"
    assert two.secret_with(one.public) == secret
    assert len({secret, one.secret_with(three.public), two.secret_with(three.public)}) == 3
    assert secret.reveal() not in f"{secret} {secret!r}"
    assert one.secret_with(bytes(32)) is None


def test_a_public_key_that_shares_nothing_opens_and_seals_nothing() -> None:
    one = KeyPair(bytes([1]) * 32)
    assert one.seal(bytes(32), SESSION, HEADER, b"text") == b""
    assert one.unseal(bytes(32), SESSION, HEADER, bytes(100)) is None


def test_what_was_worked_out_does_not_grow_for_ever() -> None:
    one = KeyPair(bytes([1]) * 32)
    for number in range(3 * MOST_KEPT):
        one.seal(KeyPair(bytes([number + 1]) * 32).public, SESSION, HEADER, b"text")
    assert len(one._keys) == len(one._shared) == MOST_KEPT
