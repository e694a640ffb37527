"""Who else speaks with the peer's address: named with the way out, told once, forgotten after a while."""

from escadm.core.impostors import HINTS, LASTS, MOST_KEYS, Impostors
from escadm.core.session import FORGED, NO_KEY, OTHER_KEY, STRANGE, fingerprint
from escadm.core.trust import Acquaintance, decode, encode

ADDRESS = "172.16.1.0"
SPEAKS = f"somebody else speaks with the peer's address {ADDRESS}, "


def test_nobody_was_heard() -> None:
    assert not Impostors(ADDRESS).sentence()


def test_what_alternates_is_news_once() -> None:
    strangers = Impostors(ADDRESS)
    kinds = [(OTHER_KEY, b"key"), (FORGED, None), (STRANGE, None), (NO_KEY, None)]
    assert [strangers.note(doubt, key, 0.1 * turn) for turn in range(50) for doubt, key in kinds].count(True) == 4
    assert strangers.sentence().startswith(f"{SPEAKS}{OTHER_KEY} {fingerprint(b'key')}: "), "the most telling one"


def test_it_is_forgotten_and_news_again() -> None:
    strangers = Impostors(ADDRESS)
    assert strangers.note(OTHER_KEY, b"key", 0.0)
    assert not strangers.note(OTHER_KEY, b"key", LASTS - 1)
    strangers.expire(2 * LASTS - 2)
    assert strangers.keys
    strangers.expire(2 * LASTS)
    assert (strangers.sentence(), strangers.keys) == ("", {})
    assert strangers.note(OTHER_KEY, b"key", 2 * LASTS)


def test_many_keys_are_not_all_kept_nor_shown() -> None:
    strangers = Impostors(ADDRESS)
    for number in range(100):
        strangers.note(OTHER_KEY, bytes([number]), 0.0)
    assert list(strangers.keys) == [bytes([number]) for number in range(100 - MOST_KEYS, 100)]
    assert strangers.sentence() == f"{SPEAKS}{OTHER_KEY}: {HINTS[OTHER_KEY]}"


def test_every_kind_has_a_sentence() -> None:
    for doubt, hint in HINTS.items():
        assert Impostors(ADDRESS).describe(doubt) == f"{SPEAKS}{doubt}" + (f": {hint}" if hint else "")


# --- as people see it -------------------------------------------------------------------------------------


def test_the_lines_of_status() -> None:
    assert Acquaintance(ADDRESS, True, "SHA256:one", "SHA256:two").lines() == [
        f"peer {ADDRESS} is connected: its key is SHA256:two",
        "this node's key is SHA256:one",
    ]
    assert Acquaintance(ADDRESS, False, stranger="somebody").lines() == [
        f"peer {ADDRESS} is not connected: its key is not known yet",
        "somebody",
    ]


def test_there_and_back() -> None:
    for known in (Acquaintance(ADDRESS, True, "SHA256:one", "SHA256:two", "x"), Acquaintance(ADDRESS, False)):
        assert decode(encode(known)) == known
    assert decode(None) is None
    assert decode({"heard": "yes"}) == Acquaintance("", False)
