"""What is said about user data: the good file of etc/user-data with one thing changed, or a whole text."""

from __future__ import annotations

import base64
import gzip
from pathlib import Path

import pytest

from escadm.config.user_data import examine_user_data
from escadm.errors import InvalidUserData

ROOT = Path(__file__).parents[3]
GOOD = (ROOT / "etc/user-data/user-data-1").read_text(encoding="utf-8")
OTHER = (ROOT / "etc/user-data/user-data-2").read_text(encoding="utf-8")
CASES = Path(__file__).with_name("user-data.txt")
"""What is replaced, by what, and what is said then; ``⏎`` begins a new line."""
CONFIG = "/opt/cisco/esc/esc-config/esc-config.yaml"
SMALL = f"#cloud-config\nwrite_files:\n- path: {CONFIG}\n  encoding: ENCODING\n  content: CONTENT\n"


def said(text: str, *, chkconfig: bool = False) -> list[str]:
    """Everything, errors and warnings."""
    try:
        return [str(each) for each in examine_user_data(text, "f", chkconfig=chkconfig).warnings]
    except InvalidUserData as error:
        return str(error).splitlines()


def cases() -> list[tuple[str, str, list[str]]]:
    rows = []
    for block in CASES.read_text(encoding="utf-8").strip().split("\n\n"):
        old, new, *told = block.replace("⏎", "\n").split("\n=> ")
        rows.append((old, new, told))
    return rows


@pytest.mark.parametrize(("old", "new", "told"), cases(), ids=lambda value: str(value)[:50])
def test_one_change(old: str, new: str, told: list[str]) -> None:
    assert GOOD.count(old) == 1
    assert said(GOOD.replace(old, new)) == told


@pytest.mark.parametrize(("own", "text"), [("172.16.0.0", GOOD), ("172.16.1.0", OTHER)])
def test_the_two_files_are_good(own: str, text: str) -> None:
    found = examine_user_data(text, "f", chkconfig=False)
    assert found.warnings == ()
    assert found.plan is not None
    assert found.plan.keepalived is not None
    assert str(found.plan.keepalived.unicast_source) == own
    assert found.plan.keepalived.interface == "eth0"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "Content-Type: multipart/mixed; boundary=x\n",
            "is a MIME message of several parts: check each part by itself",
        ),
        ("MIME-Version: 1.0\n", "is a MIME message of several parts: check each part by itself"),
        ("#!/bin/sh\n", "is a script: cloud-init runs it, and this command cannot tell what it does"),
        ("#include\nhttp://192.0.2.1/a\n", "names other files: check those"),
        ("#cloud-config-archive\n", "is an archive of several parts: check each part by itself"),
        ("## template: jinja\n#cloud-config\n", "is a template: check what it becomes"),
    ],
)
def test_what_is_no_cloud_config(text: str, told: str) -> None:
    assert said(text) == [f"f:1:1: {told}"]


def test_a_file_that_cannot_be_read_says_that_alone() -> None:
    assert said("#cloud-config\nruncmd:\n\t- a\n") == ["f:3:1: a tab: indent with blanks"]
    assert said("#cloud-config\n- a\n") == ["f:2:1: the file is no mapping: begin with the line `#cloud-config`"]
    twice = "#cloud-config\nruncmd: [a]\nruncmd: [b]\n"
    assert said(twice) == ["f:3:1: runcmd: is there twice, the first time in line 2: keep one of them"]


def test_an_empty_file_makes_nothing() -> None:
    assert said("#cloud-config\n") == [
        f"f: warning: nothing writes {CONFIG}: the node will be standalone",
        "f: warning: runcmd: nothing starts esc_service: systemctl enable --now esc_service",
    ]


@pytest.mark.parametrize(
    ("encoding", "content"),
    [
        ("b64", base64.b64encode(b"resources: {mona: {stattup: no}}").decode()),
        ("gz+base64", base64.b64encode(gzip.compress(b"resources: {mona: {stattup: no}}", mtime=0)).decode()),
        ("text/plain", '"resources: {mona: {stattup: no}}"'),
        ("text/plain", ">\n    resources:\n      {mona: {stattup: no}}"),
    ],
)
def test_content_in_another_form_is_read_and_told_as_a_whole(encoding: str, content: str) -> None:
    found = said(SMALL.replace("ENCODING", encoding).replace("CONTENT", content))
    assert "f:5:12: resources.mona.stattup: unknown key for a service: did you mean startup?" in found


def test_content_that_is_not_what_it_says() -> None:
    found = said(SMALL.replace("ENCODING", "gzip+b64").replace("CONTENT", base64.b64encode(b"no gzip").decode()))
    assert "f:5:12: write_files[0].content: is not gzip+b64" in found


NETWORKS = {
    "two addresses, the router beside the first": """
      version: 2
      ethernets: {eth0: {addresses: [172.16.0.1/24, 10.0.0.5/24], gateway4: 172.16.0.254}}""",
    "a router outside, on the same wire": """
      version: 2
      ethernets: {eth0: {addresses: [172.16.0.1/24], routes: [{to: 0.0.0.0/0, via: 10.9.0.1, on-link: true}]}}""",
    "an address without a network": """
      version: 1
      config:
      - {type: physical, name: eth0, subnets: [{type: static, address: 172.16.0.1/32, gateway: 10.9.0.1}]}
      - {type: physical, name: eth1, subnets: [{type: static, address: 172.16.0.3/24}]}""",
    "the nodes are on a bond": """
      version: 2
      ethernets: {eth0: {addresses: [10.0.0.5/24]}, eth1: {}, eth2: {}}
      bonds: {bond0: {interfaces: [eth1, eth2], addresses: [172.16.0.1/24]}}""",
    "the nodes are on a VLAN": """
      version: 1
      config:
      - {type: physical, name: eth0, subnets: [{type: static, address: 10.0.0.5/24}]}
      - {type: vlan, name: eth0.7, vlan_link: eth0, vlan_id: 7, subnets: [{type: static, address: 172.16.0.1/24}]}""",
    "a route of IPv6": """
      version: 1
      config:
      - type: physical
        name: eth0
        subnets:
        - {type: static, address: 172.16.0.1/24}
        - type: static6
          address: 2001:db8::5/64
          routes: [{network: '2001:db8:9::', netmask: 48, gateway: 2001:db8::1}]""",
}


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize(
    "other",
    ["", "- path: /etc/cloud/cloud.cfg.d/99-off.cfg\n  content: 'network: {config: disabled}'\n"],
    ids=["alone", "with a word that changes nothing"],
)
def test_a_network_that_works_is_good(network: str, other: str) -> None:
    head, rest = GOOD.split("    network:\n", 1)
    text = f"{head}    network:{network}\n- path: {CONFIG}{rest.split(CONFIG, 1)[1]}"
    text = text.replace("- 172.16.0.0", "- 172.16.0.1").replace("- 172.16.1.0", "- 172.16.0.2")
    text = text.replace("vip: 172.16.2.0", "vip: 172.16.0.9").replace("runcmd:\n", f"{other}runcmd:\n", 1)
    assert said(text) == []


def test_a_network_that_is_left_to_others_need_not_be_put_into_effect() -> None:
    off = "- path: /etc/cloud/cloud.cfg.d/99-off.cfg\n  content: 'network: {config: disabled}'\n"
    small = SMALL.replace("ENCODING", "text/plain").replace("CONTENT", "'resources: {}'")
    assert said(f"{small}{off}runcmd: [escadm start]\n") == []


@pytest.mark.parametrize("first", ["\n\n#cloud-config", "#cloud-config # node 1", "#Cloud-Config"])
def test_the_first_word_is_found_as_cloud_init_does_it(first: str) -> None:
    assert said(GOOD.replace("#cloud-config", first, 1)) == []


def test_chkconfig_where_there_is_one() -> None:
    text = GOOD.replace("systemctl enable --now esc_service", "chkconfig esc_service on && service esc_service start")
    assert said(text, chkconfig=True) == []
    assert len(said(text)) == 1
