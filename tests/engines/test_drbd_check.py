"""What the real parsers of DRBD 8.4 and 9 say of what is made for them, on either node."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest

from escadm.core.specs import Address, DrbdSpec, Secret
from escadm.errors import Failed, NotInstalled, NotPermitted
from escadm.paths import Paths
from escadm.render.drbd import render_drbd
from escadm.system.drbd import parser
from escadm.system.run import Completed

NODES = (ip_address("172.16.0.0"), ip_address("172.16.1.0"))
SIX = (ip_address("fd00::1"), ip_address("fd00::2"))

SPECS = {
    "plain": DrbdSpec(NODES, "/dev/vdb", "/dev/drbd1", 7789),
    "secret": DrbdSpec(NODES, "/dev/vdb", "/dev/drbd1", 7789, shared_secret=Secret("s3 cr#t;{}'!" + "x" * 51)),
    "six": DrbdSpec(SIX, "/dev/disk/by-id/virtio-abc_1", "/dev/drbd0", 65535),
    "options": DrbdSpec(
        NODES,
        "/dev/vg0/esc",
        "/dev/drbd1",
        7789,
        net_options=(("max-buffers", "8000"), ("csums-alg", "sha1"), ("cram-hmac-alg", "sha1")),
        disk_options=(("resync-rate", "100M"), ("c-plan-ahead", "0")),
        shared_secret=Secret("x"),
    ),
}


def text(spec: DrbdSpec) -> str:
    return render_drbd(spec, Paths()).text


@pytest.mark.parametrize("major", parser.PARSERS)
@pytest.mark.parametrize("name", SPECS)
def test_either_parser_accepts_what_is_made_for_it_without_a_word(name: str, major: int) -> None:
    parser.check_config(text(replace(SPECS[name], major=major)), major)


@pytest.mark.parametrize(("made_for", "read_by"), [(8, 9), (9, 8)])
def test_fencing_stands_where_its_own_version_wants_it(made_for: int, read_by: int) -> None:
    with pytest.raises(Failed, match="but got 'fencing'"):
        parser.check_config(text(replace(SPECS["plain"], major=made_for)), read_by)


def on_node(address: Address, script: str, *arguments: str) -> str:
    """What ``script`` says in a network where only ``address`` is this machine's."""
    setup = f"ip link set lo up && ip addr add {address}/{address.max_prefixlen} dev lo && "
    done = subprocess.run(
        ["unshare", "--net", "--map-root-user", "--user", "sh", "-c", setup + script, "sh", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", SPECS)
def test_either_node_finds_itself_and_the_peer(name: str, tmp_path: Path) -> None:
    """Both versions' commands to bring the resource up, and DRBD 9's node ids agree between the nodes."""
    spec = SPECS[name]
    file = tmp_path / "esc.res"
    own_ids: list[str] = []
    for own, peer in (spec.nodes, spec.nodes[::-1]):
        here, there = (
            f"ipv{own.version}:{f'[{each}]' if own.version == 6 else each}:{spec.port}" for each in (own, peer)
        )
        for version in ("9.0.0", "8.4.0"):
            file.write_text(text(replace(spec, major=int(version[0]))))
            up = on_node(own, f'DRBD_DRIVER_VERSION_OVERRIDE={version} drbdadm -c "$1" -d up esc', str(file)).replace(
                "\\", ""
            )
            assert f"{here} {there}" in up
            if version == "9.0.0":
                found = re.search(r"new-resource esc (\d)", up)
                assert found is not None
                own_ids.append(found[1])
                assert f"new-peer esc {1 - int(found[1])} " in up
    assert sorted(own_ids) == ["0", "1"]


def test_the_dump_has_what_was_written(tmp_path: Path) -> None:
    file = tmp_path / "esc.res"
    for major, program in parser.PARSERS.items():
        file.write_text(text(replace(SPECS["secret"], major=major)))
        dump = subprocess.run([program, "-c", str(file), "dump"], capture_output=True, text=True, timeout=60).stdout
        assert "\"s3 cr#t;{}'!" + "x" * 51 + '"' in dump
        assert dump.count("floating") == 2
        assert re.search(r"fencing +resource-and-stonith;", dump)
        assert re.search(r'fence-peer +"?/usr/bin/escadm-fence-peer"?;', dump)


@pytest.mark.parametrize(
    ("old", "new", "major"),
    [
        ("ping-int 2;", "ping-int 2", 9),
        ("ping-int 2;", "ping-intt 2;", 9),
        ("ping-int 2;", "ping-int 999;", 8),
        ("    startup {", "    options { auto-promote no; }\n    startup {", 8),
    ],
)
def test_the_objections_of_either_parser_are_heard(old: str, new: str, major: int) -> None:
    with pytest.raises(Failed) as caught:
        parser.check_config(text(replace(SPECS["plain"], major=major)).replace(old, new), major)
    program = Path(parser.PARSERS[major]).name
    assert caught.value.message.startswith(f"{program} does not accept the configuration made for it:\n  esc.res:")
    assert caught.value.hint.startswith("correct drbd.net_options or drbd.disk_options in esc-config.yaml")


def test_an_objection_does_not_tell_the_secret() -> None:
    long = DrbdSpec(NODES, "/dev/vdb", "/dev/drbd1", 7789, shared_secret=Secret("hidden" * 20))
    with pytest.raises(Failed, match="Value is too long") as caught:
        parser.check_config(text(long), 9)
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize(
    ("noise", "is_fine"),
    [
        ("sh: 1: modinfo: not found\n", True),
        ("modinfo: ERROR: Module drbd not found.\nmodinfo: ERROR: Module drbd not found.\n", True),
        ("modprobe: FATAL: Module drbd not found in directory /lib/modules/6.1.0-32-amd64\n", True),
        (
            "\n  DRBD module version: 8.4.11\n     userland version: 9.22.0\n"
            "mixing different major numbers will not work!\n",
            True,
        ),
        ("sh: 1: modinfo: not found\nesc.res:3: Something else\n", False),
        ("modinfo: ERROR: Module drbd not found. And more\n", False),
    ],
)
def test_a_missing_module_is_no_objection(noise: str, is_fine: bool) -> None:
    def run(argv: Sequence[str], **named: object) -> Completed:
        return Completed(tuple(argv), 0, "", noise)

    if is_fine:
        parser.check_config("", 9, run=run)
    else:
        with pytest.raises(Failed):
            parser.check_config("", 9, run=run)


@pytest.mark.parametrize(
    ("loaded", "on_disk", "major"),
    [
        ("8.4.11\n", None, 8),
        ("9.2.13\n", "8.4.11\n", 9),
        (None, "8.4.11\n", 8),
        (None, "9.1.23\n", 9),
        (None, "", 9),
        (None, None, 9),
    ],
)
def test_the_kernels_version(
    loaded: str | None, on_disk: str | None, major: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The module that is loaded counts, then the one that would be; without either, or without modinfo, the newer."""
    monkeypatch.setattr(parser, "VERSION", tmp_path / "version")
    if loaded is not None:
        parser.VERSION.write_text(loaded)

    def run(argv: Sequence[str], **named: object) -> Completed:
        if on_disk is None:
            raise NotInstalled("modinfo is not installed")
        return Completed(tuple(argv), 0 if on_disk else 1, on_disk, "" if on_disk else "modinfo: ERROR")

    assert parser.kernel_major(run) == major


def test_who_may_not_ask_for_the_module_may_still_look_at_a_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(argv: Sequence[str], **named: object) -> Completed:
        raise NotPermitted("cannot run modinfo: Permission denied")

    monkeypatch.setattr(parser, "VERSION", tmp_path / "version")
    assert parser.kernel_major(run) == 9
