from __future__ import annotations

import subprocess
from ipaddress import ip_address
from pathlib import Path

import pytest

from escadm.core.specs import KeepalivedSpec
from escadm.errors import Failed
from escadm.paths import Paths
from escadm.render.keepalived import render_keepalived
from escadm.render.template import is_generated

PLAIN = KeepalivedSpec(ip_address("172.16.2.0"), "eth0", "eth0", 51)
UNICAST = KeepalivedSpec(
    ip_address("172.16.2.0"),
    "eth0",
    "eth1",
    7,
    vip_prefix=16,
    advert_interval=0.2,
    priority=200,
    unicast_source=ip_address("172.16.0.0"),
    unicast_peers=(ip_address("172.16.1.0"),),
    gateway=(ip_address("172.16.9.9"),),
)


def lines(spec: KeepalivedSpec, root: str = "/") -> list[str]:
    text = render_keepalived(spec, Paths(Path(root))).text
    return [line.strip() for line in text.splitlines()]


def block(spec: KeepalivedSpec, opening: str) -> list[str]:
    """What stands between ``opening`` and its closing brace."""
    found = lines(spec)
    start = found.index(opening) + 1
    return found[start : found.index("}", start)]


def test_path_mode_and_head() -> None:
    file = render_keepalived(PLAIN, Paths())
    assert (file.path, file.mode) == ("/etc/keepalived/keepalived.conf", 0o640)
    assert is_generated(file.text)
    assert file.text.endswith("}\n")
    assert not any(line != line.rstrip() for line in file.text.splitlines())


def test_it_is_the_same_every_time() -> None:
    assert render_keepalived(UNICAST, Paths()) == render_keepalived(UNICAST, Paths())


def test_the_instance() -> None:
    found = lines(PLAIN)
    start = found.index("vrrp_instance ESC {")
    assert found[start + 1 : start + 7] == [
        "state BACKUP",
        "nopreempt",
        "interface eth0",
        "virtual_router_id 51",
        "priority 250",
        "advert_int 1",
    ]
    assert "advert_int 0.2" in lines(UNICAST)


def test_multicast_unless_both_sides_are_known() -> None:
    source, peers = UNICAST.unicast_source, UNICAST.unicast_peers
    for own, others in ((None, ()), (source, ()), (None, peers)):
        spec = KeepalivedSpec(PLAIN.vip, "eth0", "eth0", 51, unicast_source=own, unicast_peers=others)
        assert not any("unicast" in line for line in lines(spec))
    assert block(UNICAST, "unicast_peer {") == ["172.16.1.0"]
    assert {"check_unicast_src", "unicast_src_ip 172.16.0.0"} <= set(lines(UNICAST))


@pytest.mark.parametrize(
    ("spec", "line"),
    [
        (PLAIN, "172.16.2.0"),
        (UNICAST, "172.16.2.0/16 dev eth1"),
        (KeepalivedSpec(ip_address("fd00::5"), "eth0", "eth0", 51, vip_prefix=64), "fd00::5/64"),
    ],
)
def test_the_manuals_find_the_vip_with_sed(spec: KeepalivedSpec, line: str) -> None:
    text = render_keepalived(spec, Paths()).text
    found = subprocess.run(
        ["sed", "-n", "/virtual_ipaddress/{n;p;}"], input=text, capture_output=True, text=True, check=True, timeout=10
    )
    assert found.stdout.strip() == line
    assert block(spec, "virtual_ipaddress {") == [line]


def test_every_path_is_below_the_root() -> None:
    file = render_keepalived(PLAIN, Paths(Path("/srv/try it")))
    assert file.path == "/srv/try it/etc/keepalived/keepalived.conf"
    found = lines(PLAIN, "/srv/try it")
    assert 'vrrp_notify_fifo "/srv/try it/run/escadm/vrrp.fifo"' in found
    assert 'file "/srv/try it/run/escadm/fitness"' in found
    words = [word for line in found if not line.startswith("#") for word in line.split('"')[1:]]
    assert [word for word in words if word.startswith("/")] == [
        "/srv/try it/run/escadm/vrrp.fifo",
        "/srv/try it/run/escadm/fitness",
    ]


@pytest.mark.parametrize("name", ["eth0}", "eth0#", "eth 0", 'e"0', "e\n0", "${X}", "eth0;", "eth0!", "{"])
def test_an_interface_name_that_the_kernel_allows_cannot_break_out(name: str) -> None:
    with pytest.raises(Failed, match="is not one plain word"):
        render_keepalived(KeepalivedSpec(PLAIN.vip, name, "eth0", 51), Paths())
    with pytest.raises(Failed, match="is not one plain word"):
        render_keepalived(KeepalivedSpec(PLAIN.vip, "eth0", name, 51), Paths())


@pytest.mark.parametrize("name", ["eth0", "br-0f3a", "eth0.100", "wg_vpn+", "a@b"])
def test_usual_interface_names(name: str) -> None:
    assert f"interface {name}" in lines(KeepalivedSpec(PLAIN.vip, name, name, 51))


@pytest.mark.parametrize("root", ['/a"b', "/a\nb", "/a\\b", "/ä"])
def test_a_root_that_cannot_be_quoted(root: str) -> None:
    with pytest.raises(Failed, match="cannot be quoted"):
        render_keepalived(PLAIN, Paths(Path(root)))
