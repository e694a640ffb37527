from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest

from escadm.core.specs import DrbdSpec, Secret
from escadm.errors import Failed
from escadm.paths import Paths
from escadm.render.drbd import pair_secret_in, render_drbd, with_pair_secret

NODES = (ip_address("172.16.0.0"), ip_address("172.16.1.0"))
PLAIN = DrbdSpec(NODES, "/dev/vdb", "/dev/drbd1", 7789)
SECRET = DrbdSpec(NODES, "/dev/vdb", "/dev/drbd1", 7789, shared_secret=Secret("s3 cr#t"))


def section(spec: DrbdSpec, name: str) -> dict[str, str]:
    text = render_drbd(spec, Paths()).text
    inside = text.split(f"    {name} {{\n", 1)[1].split("    }\n", 1)[0]
    return dict(line.strip().rstrip(";").split(" ", 1) for line in inside.splitlines())


def test_the_same_file_on_both_nodes_whatever_the_order() -> None:
    turned = DrbdSpec(NODES[::-1], "/dev/vdb", "/dev/drbd1", 7789)
    assert render_drbd(PLAIN, Paths()) == render_drbd(turned, Paths())


def test_addresses_and_not_names() -> None:
    text = render_drbd(PLAIN, Paths()).text
    for address in NODES:
        assert f"    floating ipv4 {address}:7789 {{\n        device /dev/drbd1;\n        disk /dev/vdb;\n" in text
    assert "node-id" not in text
    assert " on " not in text.split("resource esc")[1]
    six = DrbdSpec((ip_address("fd00::1"), ip_address("fd00::2")), "/dev/vdb", "/dev/drbd1", 7789)
    assert "floating ipv6 [fd00::1]:7789 {" in render_drbd(six, Paths()).text


def test_who_may_read_it() -> None:
    assert render_drbd(PLAIN, Paths(Path("/srv"))).path == "/srv/etc/drbd.d/esc.res"
    assert render_drbd(PLAIN, Paths()).mode == 0o644
    assert render_drbd(SECRET, Paths()).mode == 0o640


def test_a_secret_brings_the_algorithm_that_needs_it() -> None:
    assert "cram-hmac-alg" not in section(PLAIN, "net")
    net = section(SECRET, "net")
    assert (net["cram-hmac-alg"], net["shared-secret"]) == ("sha256", '"s3 cr#t"')
    chosen = DrbdSpec(
        NODES, "/dev/vdb", "/dev/drbd1", 1, net_options=(("cram-hmac-alg", "sha1"),), shared_secret=Secret("x")
    )
    assert section(chosen, "net")["cram-hmac-alg"] == "sha1"


PAIR_SECRET = Secret("0a" * 31)


def test_the_secret_of_the_keys_stands_beside_the_rest_and_can_be_put_and_taken_away() -> None:
    bare, secret = render_drbd(PLAIN, Paths()), render_drbd(PLAIN, Paths(), PAIR_SECRET)
    assert secret.mode == 0o640
    assert f'        shared-secret "{PAIR_SECRET.reveal()}";\n        cram-hmac-alg sha256;\n' in secret.text
    assert pair_secret_in(bare.text) is None
    assert pair_secret_in(secret.text) == PAIR_SECRET
    assert with_pair_secret(bare.text, PAIR_SECRET) == secret.text
    assert with_pair_secret(secret.text, None) == with_pair_secret(bare.text, None) == bare.text
    another = with_pair_secret(secret.text, Secret("0b" * 31))
    assert pair_secret_in(another) == Secret("0b" * 31)
    assert another.count("shared-secret") == another.count("cram-hmac-alg") == 1


def test_an_algorithm_that_was_chosen_stays() -> None:
    chosen = DrbdSpec(NODES, "/dev/vdb", "/dev/drbd1", 1, net_options=(("cram-hmac-alg", "sha1"),))
    bare, secret = render_drbd(chosen, Paths()).text, render_drbd(chosen, Paths(), PAIR_SECRET).text
    assert "sha256" not in secret
    assert pair_secret_in(secret) == PAIR_SECRET
    assert with_pair_secret(secret, None) == bare
    assert with_pair_secret(bare, PAIR_SECRET) == secret


def test_a_secret_that_was_configured_counts_and_is_not_taken_for_that_of_the_keys() -> None:
    configured = render_drbd(SECRET, Paths(), PAIR_SECRET)
    assert configured == render_drbd(SECRET, Paths())
    assert pair_secret_in(configured.text) is None
    assert with_pair_secret(configured.text, PAIR_SECRET) == with_pair_secret(configured.text, None) == configured.text


def test_a_file_of_somebody_elses_gets_no_secret() -> None:
    theirs = "resource esc {\n    net {\n    }\n}\n"
    assert with_pair_secret(theirs, PAIR_SECRET) == theirs


def test_no_policy_that_throws_data_away() -> None:
    net = section(PLAIN, "net")
    assert net["protocol"] == "C"
    assert {key: value for key, value in net.items() if key.startswith("after-sb")} == {
        "after-sb-0pri": "discard-zero-changes",
        "after-sb-1pri": "disconnect",
        "after-sb-2pri": "disconnect",
    }


def test_a_dead_peer_is_noticed_as_fast_as_by_vrrp_and_timeout_is_below_its_bounds() -> None:
    net = {key: int(value) for key, value in section(PLAIN, "net").items() if value.isdigit()}
    assert net["ping-int"] + net["ping-timeout"] / 10 <= 3
    assert net["timeout"] / 10 < min(net["ping-int"], net["connect-int"])


@pytest.mark.parametrize(("major", "here", "not_here"), [(8, "disk", "net"), (9, "net", "disk")])
def test_drbd_asks_before_it_goes_on_without_its_peer(major: int, here: str, not_here: str) -> None:
    spec = replace(PLAIN, major=major)
    assert section(spec, here)["fencing"] == "resource-and-stonith"
    assert "fencing" not in section(spec, not_here)
    assert section(spec, "handlers") == {"fence-peer": '"/usr/bin/escadm-fence-peer"'}
    assert 'fence-peer "/srv/usr/bin/escadm-fence-peer";' in render_drbd(spec, Paths(Path("/srv"))).text


def test_no_boot_waits_for_ever() -> None:
    assert all(0 < int(seconds) <= 60 for seconds in section(PLAIN, "startup").values())
    assert section(PLAIN, "startup").keys() == {"wfc-timeout", "degr-wfc-timeout", "outdated-wfc-timeout"}


def test_the_configuration_overrides_and_adds() -> None:
    spec = DrbdSpec(
        NODES,
        "/dev/vg0/esc",
        "/dev/drbd7",
        7000,
        net_options=(("max-buffers", "8000"), ("ping-int", "1")),
        disk_options=(("resync-rate", "100M"), ("on-io-error", "pass_on")),
    )
    net = section(spec, "net")
    assert (net["max-buffers"], net["ping-int"]) == ("8000", "1")
    disk = section(spec, "disk")
    assert (disk["on-io-error"], disk["resync-rate"], disk["c-min-rate"]) == ("pass_on", "100M", "20M")
    text = render_drbd(spec, Paths()).text
    assert text.count("ping-int") == 1
    assert "device /dev/drbd7;" in text
    assert "disk /dev/vg0/esc;" in text


@pytest.mark.parametrize("disk", ["/dev/vdb; }", "/dev/v db", '/dev/"', "/dev/vdb\n"])
def test_no_value_breaks_out(disk: str) -> None:
    with pytest.raises(Failed, match="is not one plain word"):
        render_drbd(DrbdSpec(NODES, disk, "/dev/drbd1", 7789), Paths())
    with pytest.raises(Failed, match="is not one plain word"):
        render_drbd(DrbdSpec(NODES, "/dev/vdb", "/dev/drbd1", 7789, disk_options=(("resync-rate", disk),)), Paths())


@pytest.mark.parametrize("secret", ['a"b', "a\nb", "a\\b", ""])
def test_a_secret_that_cannot_be_quoted_is_refused_without_being_told(secret: str) -> None:
    with pytest.raises(Failed) as caught:
        render_drbd(DrbdSpec(NODES, "/dev/vdb", "/dev/drbd1", 7789, shared_secret=Secret(secret)), Paths())
    assert caught.value.message.startswith("cannot write '***' into a configuration file")
