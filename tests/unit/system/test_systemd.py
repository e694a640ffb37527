"""Which units systemd knows, read from folders below a root of the test's own."""

from pathlib import Path

import pytest

from escadm.paths import Paths
from escadm.system.systemd import UNIT_FOLDERS, enabled_units, masked_units, unit_exists


@pytest.mark.parametrize("folder", UNIT_FOLDERS)
def test_unit_in_each_folder(tmp_path: Path, folder: str) -> None:
    paths = Paths(tmp_path)
    assert not unit_exists("portal.service", paths)
    place = paths.below(folder)
    place.mkdir(parents=True)
    assert not unit_exists("portal.service", paths)
    (place / "portal.service").write_text("[Service]\n")
    assert unit_exists("portal.service", paths)
    assert not unit_exists("portal.socket", paths)
    assert not unit_exists("portal", paths)


def test_instance_of_a_template(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    place = paths.below("/usr/lib/systemd/system")
    place.mkdir(parents=True)
    (place / "postgresql@.service").write_text("[Service]\n")
    assert unit_exists("postgresql@15-main.service", paths)
    assert unit_exists("postgresql@a.b@c.service", paths)
    assert not unit_exists("postgresql@15-main.socket", paths)
    assert not unit_exists("postgresql.service", paths)
    (place / "pgbouncer@one.service").write_text("[Service]\n")
    assert unit_exists("pgbouncer@one.service", paths)
    assert not unit_exists("pgbouncer@two.service", paths)


def test_alias_counts_and_an_alias_of_nothing_does_not(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    place = paths.below("/etc/systemd/system")
    place.mkdir(parents=True)
    (place / "real.service").write_text("")
    (place / "alias.service").symlink_to("real.service")
    (place / "dangling.service").symlink_to("gone.service")
    assert unit_exists("alias.service", paths)
    assert not unit_exists("dangling.service", paths)


def link(root: Path, place: str, target: str) -> None:
    file = root / place
    file.parent.mkdir(parents=True, exist_ok=True)
    file.symlink_to(target)


def test_what_begins_with_the_machine_and_what_to_disable(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    assert enabled_units(paths) == {}
    etc, generated = "etc/systemd/system", "run/systemd/generator"
    link(tmp_path, f"{etc}/multi-user.target.wants/postgresql.service", "/lib/systemd/system/postgresql.service")
    link(tmp_path, f"{generated}/postgresql.service.wants/postgresql@15-main.service", "/lib/x")
    link(tmp_path, f"{generated}/postgresql@15-main.service.wants/stats.service", "/lib/x")
    link(tmp_path, f"{etc}/rarely.service.requires/seldom.service", "/lib/x")
    link(tmp_path, "run/systemd/generator.late/multi-user.target.wants/script.service", "../script.service")
    (tmp_path / etc / "web.service").write_text("")
    (tmp_path / etc / "web.service.d").mkdir()
    assert enabled_units(paths) == {
        "postgresql.service": "postgresql.service",
        "postgresql@15-main.service": "postgresql.service",
        "stats.service": "postgresql.service",
        "script.service": "script.service",
    }


def test_masked(tmp_path: Path) -> None:
    assert masked_units(Paths(tmp_path)) == frozenset()
    link(tmp_path, "etc/systemd/system/web.service", "/dev/null")
    link(tmp_path, "etc/systemd/system/alias.service", "web.service")
    assert masked_units(Paths(tmp_path)) == {"web.service"}
