import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from escadm.actions.config_check import check
from escadm.actions.dump import dump
from escadm.actions.plan import PlanView, plan
from escadm.core.problem import HostFacts
from escadm.errors import Failed, InvalidConfig, NotInstalled, Usage
from escadm.paths import Paths
from escadm.system.host import Host
from escadm.system.run import Completed

SEED = Path(__file__).parents[2] / "golden/seed-1/esc-config.yaml"
FACTS = HostFacts({}, strict=False)


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    found = Paths(tmp_path)
    found.config.parent.mkdir(parents=True)
    found.config.write_bytes(SEED.read_bytes())
    return found


def names(view: PlanView) -> list[str]:
    return [name for wave in view.waves for name in wave]


def test_the_order_of_the_seed(paths: Paths) -> None:
    view = plan(paths, FACTS)

    assert view.waves == (
        ("drbd", "keepalived"),
        ("keepalived:master",),
        ("drbd:master",),
        ("filesystem",),
        ("confd", "mona", "monitor", "pgsql", "vimmanager"),
        ("escmanager",),
        ("esc_service",),
    )
    assert view.waits_for["drbd:master"] == ("drbd", "keepalived:master")
    assert [each.path for each in view.warnings] == [
        "resources.drbd.nodes",
        "resources.escmanager.depend_on[0]",
        "resources.keepalived",
    ]


def test_a_stop_is_the_exact_reverse(paths: Paths) -> None:
    start, stop = plan(paths, FACTS), plan(paths, FACTS, stop=True)

    assert stop.waves == start.waves[::-1]
    assert stop.waits_for["filesystem"] == (
        "confd",
        "esc_service",
        "escmanager",
        "mona",
        "monitor",
        "pgsql",
        "vimmanager",
    )
    assert stop.waits_for["esc_service"] == ()


@pytest.mark.parametrize("stop", [False, True])
def test_a_wave_waits_for_the_waves_before_it_alone(paths: Paths, stop: bool) -> None:
    view = plan(paths, FACTS, stop=stop)
    before: set[str] = set()
    for wave in view.waves:
        assert all(set(view.waits_for[name]) <= before for name in wave)
        before |= set(wave)


def test_named_resources_with_what_must_go_up_before_them(paths: Paths) -> None:
    assert names(plan(paths, FACTS, ["mona"])) == [
        "drbd", "keepalived", "keepalived:master", "drbd:master", "filesystem", "mona",
    ]  # fmt: skip
    assert names(plan(paths, FACTS, ["drbd", "keepalived"])) == ["drbd", "keepalived"]


def test_named_resources_with_what_must_go_down_before_them(paths: Paths) -> None:
    assert names(plan(paths, FACTS, ["postgres"], stop=True)) == ["esc_service", "escmanager", "pgsql"]
    assert names(plan(paths, FACTS, ["keepalived:master"], stop=True))[-3:] == [
        "filesystem", "drbd:master", "keepalived:master",
    ]  # fmt: skip


def test_what_is_switched_off_is_in_it_when_it_is_named(paths: Paths) -> None:
    assert names(plan(paths, FACTS, ["etsi"]))[-2:] == ["pgsql", "etsi"]
    assert "etsi" not in names(plan(paths, FACTS, ["pgsql"], stop=True))
    assert names(plan(paths, FACTS, ["etsi"], stop=True)) == ["etsi"]


def test_an_unknown_resource(paths: Paths) -> None:
    with pytest.raises(Usage) as caught:
        plan(paths, FACTS, ["monna"])

    assert str(caught.value) == "there is no resource monna\n  did you mean mona?"


def test_json(paths: Paths) -> None:
    document = json.loads(plan(paths, FACTS, ["drbd:master"]).to_json())

    assert list(document) == ["schema", "waves", "units"]
    assert document == {
        "schema": 1,
        "waves": [["drbd", "keepalived"], ["keepalived:master"], ["drbd:master"]],
        "units": {
            "drbd": {"waits_for": []},
            "keepalived": {"waits_for": []},
            "keepalived:master": {"waits_for": ["keepalived"]},
            "drbd:master": {"waits_for": ["drbd", "keepalived:master"]},
        },
    }


def test_dot(paths: Paths) -> None:
    assert plan(paths, FACTS, ["keepalived:master"]).to_dot() == (
        'digraph "escadm" {\n  rankdir=LR;\n  "keepalived";\n  "keepalived:master";\n'
        '  "keepalived" -> "keepalived:master";\n}\n'
    )


def test_text(paths: Paths) -> None:
    assert plan(paths, FACTS, ["drbd:master"]).to_text() == (
        "  1  drbd\n     keepalived\n  2  keepalived:master  (after keepalived)\n"
        "  3  drbd:master  (after drbd, keepalived:master)\n"
    )


def test_check(paths: Paths) -> None:
    found = check(paths.config, paths, FACTS, Host(run=lambda argv, **_: Completed(tuple(argv), 0, "", "")))

    assert (found.path, found.text) == (paths.config, "one node of a pair, 12 units to start, 3 switched off")
    assert len(found.warnings) == 3


def test_check_has_the_engines_try_it(paths: Paths) -> None:
    asked: list[str] = []

    def refuse(argv: Sequence[str], **_: object) -> Completed:
        asked.append(Path(argv[0]).name)
        return Completed(tuple(argv), int(asked[-1] == "drbdadm"), "", "")

    with pytest.raises(Failed, match="drbdadm does not accept the configuration made for it"):
        check(paths.config, paths, FACTS, Host(run=refuse))
    assert asked == ["keepalived", "drbdadm"]
    assert list(paths.root.rglob("*.res")) == []


def test_check_where_the_engines_are_not_installed(paths: Paths) -> None:
    def missing(argv: Sequence[str], **_: object) -> Completed:
        raise NotInstalled(f"{argv[0]} is not installed")

    found = check(paths.config, paths, FACTS, Host(run=missing))
    assert [str(warning) for warning in found.warnings[3:]] == [
        f"{paths.config}: warning: keepalived is not installed: what it says of its keepalived.conf is not known",
        f"{paths.config}: warning: drbdadm is not installed: what it says of its esc.res is not known",
    ]


def test_dump(paths: Paths) -> None:
    found = dump(paths)

    assert found.text.startswith("resources:\n  keepalived:\n    type: keepalived\n")
    assert "pgsq1" not in found.text
    assert len(found.warnings) == 1


def test_a_configuration_with_mistakes(paths: Paths) -> None:
    paths.config.write_text("resources: {mona: {depend_on: mona}}")

    for action in (lambda: plan(paths, FACTS), lambda: check(paths.config, paths, FACTS, Host())):
        with pytest.raises(InvalidConfig, match="mona depends on itself"):
            action()


def test_a_group_by_name_means_its_members(paths: Paths) -> None:
    view = plan(paths, FACTS, ["esc_service"], stop=True)

    assert {name for wave in view.waves for name in wave} == {
        "confd",
        "esc_service",
        "escmanager",
        "mona",
        "monitor",
        "pgsql",
        "vimmanager",
    }
