"""Changes to a text: what they make of it, byte for byte."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from escadm.config.edit import KeyPath, set_values
from escadm.config.reader import read
from escadm.errors import Failed, InvalidConfig


def key(name: str) -> KeyPath:
    return ("resources", *name.split("."))


VIP = {key("keepalived.vip"): "192.0.2.10"}
NODES = {key("drbd.nodes"): ["192.0.2.11", "192.0.2.12"]}

SET = {
    "no file": ("", VIP, "resources:\n  keepalived:\n    vip: 192.0.2.10\n"),
    "comments alone": ("# mine", VIP, "# mine\nresources:\n  keepalived:\n    vip: 192.0.2.10\n"),
    "a document mark": ("---\n", VIP, "---\nresources:\n  keepalived:\n    vip: 192.0.2.10\n"),
    "a document mark and an end": ("---\n...\n", VIP, "---\nresources:\n  keepalived:\n    vip: 192.0.2.10\n...\n"),
    "resources without anything": ("resources:\n# e\n", VIP, "resources:\n  keepalived:\n    vip: 192.0.2.10\n# e\n"),
    "an empty flow mapping": ("resources: {}  # none\n", VIP, "resources: {keepalived: {vip: 192.0.2.10}}  # none\n"),
    "null": ("resources: ~\n", VIP, "resources: {keepalived: {vip: 192.0.2.10}}\n"),
    "an empty mapping as the file": ("{}\n", VIP, "{resources: {keepalived: {vip: 192.0.2.10}}}\n"),
    "a new resource goes to the end": (
        "resources:\n    pgsql:\n        unit: a\n\n# end",
        VIP,
        "resources:\n    pgsql:\n        unit: a\n    keepalived:\n        vip: 192.0.2.10\n\n# end",
    ),
    "a new key goes to the end of its resource": (
        "resources:\n  keepalived:\n    interface: eth0 # here\n    # more\n  pgsql:\n",
        VIP,
        "resources:\n  keepalived:\n    interface: eth0 # here\n    vip: 192.0.2.10\n    # more\n  pgsql:\n",
    ),
    "a resource without keys": (
        "resources:\n  keepalived:  # to do\n  pgsql:\n",
        VIP,
        "resources:\n  keepalived:  # to do\n    vip: 192.0.2.10\n  pgsql:\n",
    ),
    "a resource with an empty flow mapping": (
        "resources:\n  keepalived: { }\n",
        VIP,
        "resources:\n  keepalived: { vip: 192.0.2.10}\n",
    ),
    "a flow mapping with keys": (
        "resources: {keepalived: {interface: eth0, }, pgsql: }",
        VIP,
        "resources: {keepalived: {interface: eth0, vip: 192.0.2.10, }, pgsql: }",
    ),
    "a flow mapping with a resource without keys": (
        "resources: {keepalived: , pgsql: }",
        VIP,
        "resources: {keepalived: {vip: 192.0.2.10} , pgsql: }",
    ),
    "the last line has no end": (
        "resources:\n  keepalived:\n    interface: eth0",
        VIP,
        "resources:\n  keepalived:\n    interface: eth0\n    vip: 192.0.2.10\n",
    ),
    "a value is replaced, its comment stays": (
        "resources:\n  keepalived:\n    vip:   10.0.0.1/8   # old\n",
        VIP,
        "resources:\n  keepalived:\n    vip:   192.0.2.10   # old\n",
    ),
    "a value that is not there": (
        "resources:\n  keepalived:\n    vip:   # to do\n",
        VIP,
        "resources:\n  keepalived:\n    vip: 192.0.2.10   # to do\n",
    ),
    "quotes stay": (
        "resources:\n  'keepalived':\n    \"vip\": '10.0.0.1'\n    interface: \"eth1\"\n",
        {**VIP, key("keepalived.interface"): "eth0"},
        "resources:\n  'keepalived':\n    \"vip\": '192.0.2.10'\n    interface: \"eth0\"\n",
    ),
    "line ends stay": (
        "resources:\r\n  keepalived:\r\n    vip: 10.0.0.1\r\n",
        {**VIP, key("keepalived.interface"): "eth0"},
        "resources:\r\n  keepalived:\r\n    vip: 192.0.2.10\r\n    interface: eth0\r\n",
    ),
    "a list as the other lists are": (
        "resources:\n  pgsql:\n    depend_on:\n    - confd\n",
        NODES,
        "resources:\n  pgsql:\n    depend_on:\n    - confd\n  drbd:\n    nodes:\n    - 192.0.2.11\n    - 192.0.2.12\n",
    ),
    "a list of the same length": (
        "resources:\n  drbd:\n    nodes:\n      # u\n      - 10.0.0.1 # a\n\n      - '192.0.2.12' # b\n    port: 1\n",
        NODES,
        "resources:\n  drbd:\n    nodes:\n      # u\n      - 192.0.2.11 # a\n\n      - '192.0.2.12' # b\n    port: 1\n",
    ),
    "a list of another length": (
        "resources:\n  drbd:\n    nodes:\n    - 10.0.0.1 # a\n    # and\n    port: 7789\n",
        NODES,
        "resources:\n  drbd:\n    nodes:\n    - 192.0.2.11\n    - 192.0.2.12 # a\n    # and\n    port: 7789\n",
    ),
    "a flow list": (
        "resources:\n  drbd:\n    nodes: [ 10.0.0.1,10.0.0.2 ] # x\n",
        NODES,
        "resources:\n  drbd:\n    nodes: [ 192.0.2.11,192.0.2.12 ] # x\n",
    ),
    "a scalar becomes a list": (
        "resources:\n  drbd:\n    nodes: 10.0.0.1 # x\n",
        NODES,
        "resources:\n  drbd:\n    nodes: [192.0.2.11, 192.0.2.12] # x\n",
    ),
    "a block becomes a scalar": (
        "resources:\n  keepalived:\n    vip:  # x\n      a: 1\n    priority: 1\n",
        VIP,
        "resources:\n  keepalived:\n    vip: 192.0.2.10\n    priority: 1\n",
    ),
    "a block text becomes a scalar": (
        "resources:\n  keepalived:\n    vip: >\n      10.0.0.1\n\n    priority: 1\n",
        VIP,
        "resources:\n  keepalived:\n    vip: 192.0.2.10\n\n    priority: 1\n",
    ),
    "an address that needs quotes": (
        "resources:\n  keepalived:\n    priority: 1\n",
        {key("keepalived.vip"): "2001:db8::", key("keepalived.advert_interval"): 0.25},
        "resources:\n  keepalived:\n    priority: 1\n    vip: '2001:db8::'\n    advert_interval: 0.25\n",
    ),
    "an alias is replaced, its anchor stays": (
        "resources:\n  pgsql:\n    unit: &a x\n  keepalived:\n    vip: *a\n",
        VIP,
        "resources:\n  pgsql:\n    unit: &a x\n  keepalived:\n    vip: 192.0.2.10\n",
    ),
    "what a merge brings is written over": (
        "resources:\n  a: &a {vip: 10.0.0.1}\n  keepalived:\n    <<: *a\n",
        VIP,
        "resources:\n  a: &a {vip: 10.0.0.1}\n  keepalived:\n    <<: *a\n    vip: 192.0.2.10\n",
    ),
    "the same value in another form": (
        "resources:\n  keepalived:\n    vip: \"192.0.2.10\"\n    virtual_router_id:  51 \n",
        {**VIP, key("keepalived.virtual_router_id"): 51},
        "resources:\n  keepalived:\n    vip: \"192.0.2.10\"\n    virtual_router_id:  51 \n",
    ),
    "a byte order mark": ("\ufeffresources:\n", VIP, "\ufeffresources:\n  keepalived:\n    vip: 192.0.2.10\n"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "changes", "expected"), SET.values(), ids=SET.keys())
def test_set(text: str, changes: dict[KeyPath, object], expected: str) -> None:
    assert set_values(text, "f", changes) == expected
    assert set_values(expected, "f", changes) == expected


NO_VIP = {key("keepalived.vip"): None}
REMOVED = {
    "nothing there": ("# mine\n", "# mine\n"),
    "another resource": ("resources:\n  pgsql:\n", "resources:\n  pgsql:\n"),
    "a key": (
        "resources:\n  keepalived:\n    # old\n    vip: 10.0.0.1 # x\n    # new\n    priority: 1\n",
        "resources:\n  keepalived:\n    # old\n    # new\n    priority: 1\n",
    ),
    "the last key": (
        "resources:\r\n  keepalived:\r\n    priority: 1\r\n    vip: 10.0.0.1",
        "resources:\r\n  keepalived:\r\n    priority: 1\r\n",
    ),
    "the only key of a resource": (
        "resources:\n  keepalived:\n    vip: 10.0.0.1\n  pgsql:\n",
        "resources:\n  pgsql:\n",
    ),
    "the only key of a resource, with a comment": (
        "resources:\n  keepalived: # x\n    vip: 10.0.0.1\n  pgsql:\n",
        "resources:\n  keepalived: # x\n  pgsql:\n",
    ),
    "the only key of the only resource": (
        "resources:\n  keepalived:\n    vip: 10.0.0.1\n# end\n",
        "resources:\n# end\n",
    ),
    "the first of a flow mapping": (
        "resources: {keepalived: {vip: 10.0.0.1, priority: 1}}",
        "resources: {keepalived: {priority: 1}}",
    ),
    "the last of a flow mapping": (
        "resources: {keepalived: {priority: 1, vip: 10.0.0.1 }}",
        "resources: {keepalived: {priority: 1 }}",
    ),
    "the only one of a flow mapping": ("resources: {keepalived: {vip: 10.0.0.1}, a: }", "resources: {a: }"),
}


@pytest.mark.parametrize(("text", "expected"), REMOVED.values(), ids=REMOVED.keys())
def test_remove(text: str, expected: str) -> None:
    assert set_values(text, "f", NO_VIP) == expected
    assert set_values(expected, "f", NO_VIP) == expected


REFUSED = {
    "an alias on the way": (
        "resources:\n  a: &a {unit: x}\n  keepalived: *a\n",
        "f: resources.keepalived is the alias *a\n  write its keys out in its place, then try again",
    ),
    "an anchor that others use": (
        "resources:\n  keepalived: {vip: &a 10.0.0.1}\n  pgsql: {option: *a}\n",
        "cannot set resources.keepalived.vip in f without changing something else\n  write it by hand",
    ),
    "a mapping that others use": (
        "resources:\n  keepalived: &a {vip: 10.0.0.1}\n  pgsql: *a\n",
        "cannot set resources.keepalived.vip in f without changing something else\n  write it by hand",
    ),
    "a text in the place of a mapping": (
        "resources:\n  keepalived: on\n",
        "f: resources.keepalived is not a mapping\n  run `escadm config check`",
    ),
}


@pytest.mark.parametrize(("text", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_refuse_rather_than_damage(text: str, message: str) -> None:
    with pytest.raises(Failed) as caught:
        set_values(text, "f", VIP)

    assert str(caught.value) == message


def test_a_merged_key_cannot_be_removed() -> None:
    with pytest.raises(Failed, match="without changing something else"):
        set_values("resources:\n  a: &a {vip: 10.0.0.1}\n  keepalived:\n    <<: *a\n", "f", NO_VIP)


@pytest.mark.parametrize("text", ["resources:\n\tkeepalived:\n", "resources: {a: , a: }", "resources: ["])
def test_what_cannot_be_read_is_not_edited(text: str) -> None:
    with pytest.raises(InvalidConfig):
        set_values(text, "f", VIP)


# --- any text, any changes --------------------------------------------------------------------------------


@dataclass
class Draft:
    """A file as lines, each with the name of the key that it belongs to; "" = of no key."""

    lines: list[tuple[str, str]] = field(default_factory=list)

    def text(self, line_end: str, ends: bool) -> str:
        return line_end.join(line for line, _ in self.lines) + line_end * ends


VALUES = {
    "keepalived.vip": ["10.0.0.1", "'10.0.0.1/8'", '"2001:db8::1"'],
    "keepalived.interface": ["eth1", "'eth1'", "[eth1]", "{a: b, c: [d]}"],
    "keepalived.priority": ["7", "1.50", "on"],
    "drbd.nodes": ["[10.0.0.1, 10.0.0.2]", "[]", "[10.0.0.1]", "10.0.0.1",
                   "\n      - 10.0.0.1 # one\n      - '10.0.0.2'",
                   "\n    - 10.0.0.1"],
    "drbd.port": ["7789", "'7789'"],
    "other.option": ["é ü", "'it''s'", "|-\n      a: b\n      # no comment"],
}  # fmt: skip
CHANGES: dict[str, list[object]] = {
    "keepalived.vip": ["192.0.2.10", "2001:db8::10/64", None],
    "keepalived.interface": ["eth0", "on", "0x1f", None],
    "keepalived.virtual_router_id": [51, None],
    "keepalived.advert_interval": [0.25, 2],
    "keepalived.unicast_peers": [["192.0.2.12"]],
    "drbd.nodes": [["192.0.2.11", "192.0.2.12"], ["192.0.2.11", "2001:db8::1", "on"], None],
}
comments = st.sampled_from(["", "# why: {not} [this], 'now'", "        # far", "  # near", "      "])


@st.composite
def drafts(draw: st.DrawFn) -> Draft:
    draft = Draft([(line, "") for line in draw(st.lists(comments, max_size=2))])
    if not draw(st.booleans()):
        return draft
    draft.lines.append((draw(st.sampled_from(["resources:", '"resources": # all'])), ""))
    for resource in draw(st.permutations(["keepalived", "drbd", "other"]))[: draw(st.integers(0, 3))]:
        keys = [name for name in VALUES if name.startswith(resource) and draw(st.booleans())]
        name = draw(st.sampled_from([resource, f"'{resource}'"]))
        if not keys:
            draft.lines.append((f"  {name}:{draw(st.sampled_from(['', ' {}', ' ~', '   # later']))}", f"{resource}."))
            continue
        draft.lines.append((f"  {name}:", f"{resource}."))
        for full in keys:
            value = draw(st.sampled_from(VALUES[full]))
            written = f"    {full.partition('.')[2]}:{'' if value.startswith(chr(10)) else ' '}{value}"
            draft.lines.extend((line, full) for line in written.split("\n"))
            if "|" not in value and ">" not in value:
                draft.lines.extend((line, "") for line in draw(st.lists(comments, max_size=1)))
    return draft


changes_of = st.fixed_dictionaries({}, optional={name: st.sampled_from(each) for name, each in CHANGES.items()})


@given(drafts(), changes_of, st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_nothing_else_is_touched(draft: Draft, changes: dict[str, object], line_end: str, ends: bool) -> None:
    before = draft.text(line_end, ends)
    wanted = {key(name): value for name, value in changes.items()}

    after = set_values(before, "f", wanted)

    assert set_values(after, "f", wanted) == after
    left = iter(after.splitlines())
    for line, owner in draft.lines:
        resource = owner.endswith(".") and any(name.startswith(owner) for name in changes)
        if line and owner not in changes and not resource:
            assert line in left, f"{line!r} is gone or out of place"
    if "\r\n" in before:
        assert after.count("\n") == after.count("\r\n")
    if all(value is not None for value in changes.values()):
        resources = read(after, "f").value.get("resources")
        for path, value in wanted.items():
            assert isinstance(resources, dict)
            assert resources[path[1]][path[2]] == value
