"""Whatever stands in the file: a plan, or an error that names places; never anything else."""

from pathlib import Path
from typing import Any

import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from escadm.config import parse_plan
from escadm.config.edit import set_values
from escadm.config.model import MODELS
from escadm.config.user_data import examine_user_data
from escadm.core.problem import HostFacts
from escadm.errors import EscadmError, InvalidConfig, InvalidUserData

ROOT = Path(__file__).parents[3]
TEXTS = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "etc/samples").glob("*.yaml"))]
USER_DATA = (ROOT / "etc/user-data/user-data-1").read_text(encoding="utf-8")
FACTS = HostFacts({}, strict=False)
KEYS = sorted({key for model in MODELS.values() for key in model.model_fields} | {"tcp", "http", "exec", "timeout"})
NAMES = ["drbd", "keepalived", "filesystem", "esc_service", "pgsql", "postgres", "web", "web:x", ""]
WORDS = ["drbd:master", "pgsql", "192.0.2.1", "192.0.2.2", "::1", "process", "group", "x y", "/a", "", "web", "eth0"]

scalars = st.one_of(
    st.sampled_from(WORDS), st.none(), st.booleans(), st.integers(-1, 300), st.floats(), st.text(max_size=4)
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3)
)
resources = st.dictionaries(st.sampled_from(NAMES), st.dictionaries(st.sampled_from(KEYS), values, max_size=4) | values)
changes = st.dictionaries(
    st.sampled_from([("resources", "keepalived", "vip"), ("resources", "drbd", "nodes"), ("resources", "web", "x")]),
    st.sampled_from(["192.0.2.9", ["192.0.2.1", "192.0.2.2"], None, 7]),
)


@st.composite
def damaged(draw: st.DrawFn, texts: list[str] = TEXTS) -> str:
    """A good file with something cut out of it and something put in."""
    text = draw(st.sampled_from(texts))
    start = draw(st.integers(0, len(text)))
    end = draw(st.integers(start, min(len(text), start + 30)))
    return (
        text[:start]
        + draw(st.sampled_from(["", "\n", "  ", "\t", ":", "- ", "&a ", "*a", "{", "]", "'", "!!x ", "\0"]))
        + text[end:]
    )


def look(text: str) -> None:
    try:
        parse_plan(text, "f", FACTS)
    except InvalidConfig as error:
        assert error.problems
        assert all(each.message and not each.warning for each in error.problems)


@given(damaged(), changes)
def test_a_damaged_file(text: str, wanted: dict[tuple[str, ...], Any]) -> None:
    look(text)
    try:
        after = set_values(text, "f", wanted)
    except EscadmError:
        return
    assert set_values(after, "f", wanted) == after


@given(st.text())
@example("\ud800")
@example("? a\n: b")
@example("? [a]\n: b")
@example("resources: {? a}")
@example("%YAML 1.1\n---\nresources:")
def test_any_characters(text: str) -> None:
    look(text)


@given(resources)
def test_any_values(found: dict[str, Any]) -> None:
    look(yaml.safe_dump({"resources": found}, allow_unicode=True))


CLOUD = (
    "runcmd bootcmd write_files network version config ethernets addresses type name subnets address netmask routes "
    "gateway gateway4 via path content encoding permissions append"
)
cloud_keys = st.sampled_from(CLOUD.split())
cloud_words = st.sampled_from(
    [1, 2, 24, "static", "physical", "b64", "gz", "/a", "/etc/cloud/cloud.cfg.d/a", "fe80::1%a"]
)
cloud_values = st.recursive(
    scalars | cloud_words, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(cloud_keys, inner, max_size=4)
)


def look_at_user_data(text: str) -> None:
    try:
        assert all(each.warning for each in examine_user_data(text, "f", chkconfig=False).warnings)
    except InvalidUserData as error:
        assert not all(each.warning for each in error.problems)


@given(damaged([USER_DATA]))
def test_damaged_user_data(text: str) -> None:
    look_at_user_data(text)


@given(st.dictionaries(cloud_keys, cloud_values), cloud_values)
def test_any_user_data(found: dict[str, Any], network: Any) -> None:
    files = [
        {"path": "/etc/cloud/cloud.cfg.d/a.cfg", "content": yaml.safe_dump({"network": network}, allow_unicode=True)},
        *(found["write_files"] if isinstance(found.get("write_files"), list) else ()),
    ]
    text = yaml.safe_dump({**found, "write_files": files}, allow_unicode=True)
    look_at_user_data(f"#cloud-config\n{text}")
