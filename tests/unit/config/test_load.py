"""The catalogue and what a file lays over it."""

from pathlib import Path

import pytest

from escadm.config.load import load, parse
from escadm.config.model import Config, Group, Service
from escadm.config.overlay import catalogue
from escadm.config.values import Dependency
from escadm.core.probes import Alive, Check, Exec, Http, Notify, Probe, Tcp
from escadm.errors import Failed, InvalidConfig


def service(config: Config, name: str) -> Service:
    found = config.resources[name]
    assert isinstance(found, Service)
    return found


def web(text: str) -> Service:
    return service(parse(f"resources: {{web: {{command: x, {text}}}}}", "f").config, "web")


def test_the_catalogue_has_the_known_resources() -> None:
    known = "confd drbd esc_service escmanager etsi filesystem keepalived mona monitor pgsql portal snmp vimmanager"

    assert sorted(catalogue()) == known.split()
    assert sorted(parse("", "f").config.resources) == known.split()
    assert parse("", "f").config.mentioned == frozenset()


def test_merging_is_by_key_and_lists_replace() -> None:
    config = parse("resources: {escmanager: {depend_on: confd, start_timeout: 5}, pgsql: }", "f").config

    escmanager = config.resources["escmanager"]
    assert escmanager.depend_on == (Dependency("confd"),)
    assert escmanager.group == "esc_service"
    assert escmanager.start_timeout == 5.0
    assert config.resources["etsi"].depend_on == (Dependency("pgsql"),)
    assert config.mentioned == {"escmanager", "confd", "pgsql"}


def test_an_empty_list_takes_a_default_away() -> None:
    assert parse("resources: {esc_service: {depend_on: []}}", "f").config.resources["esc_service"].depend_on == ()


@pytest.mark.parametrize("alias", ["postgres", "pgsq1"])
def test_an_alias_is_the_same_resource(alias: str) -> None:
    loaded = parse(f"resources: {{{alias}: {{unit: postgresql}}, web: {{depend_on: [{alias}:running]}}}}", "f")

    assert service(loaded.config, "pgsql").unit == "postgresql.service"
    assert loaded.config.resources["web"].depend_on == (Dependency("pgsql", "running"),)
    assert alias not in loaded.config.resources
    assert loaded.config.mentioned == {"pgsql", "web"}
    assert len(loaded.warnings) == 1


def test_startup() -> None:
    assert not web("startup: manual").startup
    assert not web("startup: no").startup
    assert web("startup: true").startup


def test_types() -> None:
    config = parse("resources: {team: {type: group}, web: {type: unit}, job: {type: process, command: j}}", "f").config

    assert isinstance(config.resources["team"], Group)
    assert service(config, "web").type == "unit"
    assert service(config, "job").command == ("j",)


@pytest.mark.parametrize(
    ("text", "argv"),
    [
        ("a --b 'c d' \"e\"", ("a", "--b", "c d", "e")),
        ("[/bin/a, 1, 1.10, 'b c', '|']", ("/bin/a", "1", "1.10", "b c", "|")),
        ("sh -c 'a | b > $HOME'", ("sh", "-c", "a | b > $HOME")),
        ("awk $1 a#b", ("awk", "$1", "a#b")),
    ],
)
def test_commands(text: str, argv: tuple[str, ...]) -> None:
    assert service(parse(f"resources:\n  web:\n    command: {text}\n", "f").config, "web").command == argv


@pytest.mark.parametrize(
    ("text", "probe"),
    [
        ("alive", Alive()),
        ("notify", Notify()),
        ("{tcp: 80}", Tcp(80)),
        ("{tcp: '80', timeout: 3}", Tcp(80, timeout=3.0)),
        ("{tcp: db.example:5432}", Tcp(5432, "db.example")),
        ("{tcp: '[2001:db8::1]:80'}", Tcp(80, "2001:db8::1")),
        ("{http: 'https://[::1]:8443/x?y=z'}", Http("https://[::1]:8443/x?y=z")),
        ("{exec: 'pg_isready -q', timeout: 0.5}", Exec(("pg_isready", "-q"), 0.5)),
    ],
)
def test_ready(text: str, probe: Probe) -> None:
    assert web(f"ready: {text}").ready == probe


def test_check() -> None:
    assert web("check: {tcp: 80}").check == Check(Tcp(80))
    assert web("check: {exec: [a], interval: 1.5, failures: 1}").check == Check(Exec(("a",)), 1.5, 1)


def test_other_values() -> None:
    found = web("option: 1.10, stop_signal: int, environment: {A: '', B: 1.10, C: 'yes', D: 7}")

    assert found.option == "1.10"
    assert found.stop_signal == "SIGINT"
    assert found.environment == {"A": "", "B": "1.10", "C": "yes", "D": "7"}


def test_drbd_options_in_the_words_of_drbd() -> None:
    drbd = parse(
        "resources: {drbd: {net_options: {ping-int: 3, use-rle: no}, shared_secret: hunter2}}", "f"
    ).config.drbd

    assert drbd.net_options == {"ping-int": "3", "use-rle": "no"}
    assert drbd.shared_secret is not None
    assert "hunter2" not in repr(drbd)
    assert drbd.shared_secret.reveal() == "hunter2"


# --- files ------------------------------------------------------------------------------------------------


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig) as caught:
        load(tmp_path / "a.yaml")

    assert str(caught.value) == (
        f"{tmp_path}/a.yaml: there is no such file: "
        "write one with `escadm ha set …`, or copy a sample from /usr/share/doc/escadm/examples"
    )


def test_a_device_that_never_ends() -> None:
    with pytest.raises(InvalidConfig) as caught:
        load(Path("/dev/zero"))

    assert str(caught.value) == "/dev/zero: has more than 1000000 characters: is it the right file?"


def test_not_a_file(tmp_path: Path) -> None:
    with pytest.raises(Failed, match=f"cannot read {tmp_path}: Is a directory"):
        load(tmp_path)


def test_not_utf8(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_bytes(b"resources:\n  # xyz\xe9\n")

    with pytest.raises(InvalidConfig) as caught:
        load(file)

    assert str(caught.value) == f"{file}:2:8: is not UTF-8: save the file as UTF-8"


def test_a_file(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_bytes("resources:\r\n  web: {unit: é}\r\n".replace("é", "e").encode())

    loaded = load(file)

    assert loaded.text == "resources:\r\n  web: {unit: e}\r\n"
    assert loaded.file == str(file)
    assert service(loaded.config, "web").unit == "e.service"
