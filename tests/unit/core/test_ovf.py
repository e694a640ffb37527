from xml.sax.saxutils import quoteattr

import pytest
from hypothesis import given
from hypothesis import strategies as st

from escadm.core.ovf import DEEPEST, LARGEST, NAMESPACE, Environment, parse
from escadm.errors import InvalidEnvironment

FILE = "ovf-env.xml"
HEAD = f'<Environment xmlns="{NAMESPACE}" xmlns:oe="{NAMESPACE}">'
XML_TEXT = st.text(
    st.characters(blacklist_categories=["Cs", "Cc"], blacklist_characters="\ufffe\uffff") | st.sampled_from("\t\n\r"),
    max_size=30,
)


def document(body: str) -> bytes:
    return f"{HEAD}\n<PropertySection>\n{body}\n</PropertySection></Environment>".encode()


def one(key: str, value: str) -> str:
    return f"<Property oe:key={escaped(key)} oe:value={escaped(value)}/>"


def escaped(text: str) -> str:
    return quoteattr(text, {"\n": "&#10;", "\t": "&#9;", "\r": "&#13;"})


def found(data: bytes) -> dict[str, str]:
    result = parse(data, FILE)
    assert not result.problems
    return {name: each.value.reveal() for name, each in result.properties.items()}


def problem(data: bytes) -> str:
    with pytest.raises(InvalidEnvironment) as caught:
        parse(data, FILE)
    return str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        '<Environment xmlns="NS" xmlns:oe="NS"><PropertySection>{}</PropertySection></Environment>',
        '<oe:Environment xmlns:oe="NS"><oe:PropertySection><oe:P{}</oe:PropertySection></oe:Environment>',
        '<Environment xmlns="NS" xmlns:x="NS"><PropertySection>{}</PropertySection></Environment>',
        '<Environment xmlns="NS"><PropertySection>{}</PropertySection></Environment>',
        "<Environment><PropertySection>{}</PropertySection></Environment>",
        '<?xml version="1.0" encoding="UTF-8"?>\n<!-- vSphere -->\n<Environment xmlns="NS"><PropertySection>{}'
        "</PropertySection></Environment>\n",
    ],
    ids=["as-vsphere-does", "one-prefix", "another-prefix", "no-prefix", "no-namespace", "declaration"],
)
@pytest.mark.parametrize("form", ['<Property oe:key="a" oe:value="b"/>', '<Property value="b" key=" a "></Property>'])
def test_forms(text: str, form: str) -> None:
    if "xmlns:x" in text:
        form = form.replace("oe:", "x:")
    elif "xmlns:oe" not in text:
        form = form.replace("oe:", "")
    if "<oe:P{}" in text:
        form = form.replace("</P", "</oe:P").removeprefix("<P")
    assert found(text.format(form).replace("NS", NAMESPACE).encode()) == {"a": "b"}


def test_only_this_machine_s_properties_count() -> None:
    """A vApp's environment tells of its other machines too; and other vendors have elements of these names."""
    data = f"""{HEAD}
      <Entity oe:id="other"><PropertySection><Property oe:key="a" oe:value="other's"/></PropertySection></Entity>
      <x:PropertySection xmlns:x="http://example.com"><Property oe:key="b" oe:value="vendor's"/></x:PropertySection>
      <PropertySection><x:Property xmlns:x="http://example.com" x:key="c"/>{one("d", "e")}</PropertySection>
    </Environment>"""
    assert found(data.encode()) == {"d": "e"}


@pytest.mark.parametrize("value", ['"', "'", "$x `y` \\", "a\nb", "ä€𝄞", "<&>", " x ", "", "%s {0}"])
def test_values_come_as_they_are(value: str) -> None:
    assert found(document(one("key", value))) == {"key": value}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be", "iso-8859-1", "windows-1252"])
def test_encodings(encoding: str) -> None:
    plain = encoding.removesuffix("-sig").removesuffix("-be")
    text = f'<?xml version="1.0" encoding="{plain}"?>' + document(one("key", "ä")).decode()
    mark = b"\xfe\xff" if encoding == "utf-16-be" else b""
    assert found(mark + text.encode(encoding)) == {"key": "ä"}


def test_who_hands_it_over_may_know_the_encoding_better() -> None:
    data = b'<?xml version="1.0" encoding="ISO-8859-1"?>' + document(one("key", "ä"))
    assert parse(data, FILE, "utf-8").properties["key"].value.reveal() == "ä"


def declared(encoding: str) -> bytes:
    return f'<?xml version="1.0" encoding="{encoding}"?><a/>'.encode()


ILL = "is not well-formed XML"
UNKNOWN = ":1:31: is in an encoding that is not known: save it as UTF-8"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", ": is empty"),
        (b" \n", ": is empty"),
        (b"x", f":1:1: {ILL}: syntax error"),
        (b"<Environment>\n <a>\n</Environment>", f":3:3: {ILL}: mismatched tag"),
        (document("")[:-16], f":4:1: {ILL}: unclosed token: is it complete?"),
        (document("")[:-14], f":4:19: {ILL}: no element found: is it complete?"),
        (document('<Property oe:key="a" oe:key="b"/>'), f":3:22: {ILL}: duplicate attribute"),
        (document('<Property yy:key="a"/>'), f":3:1: {ILL}: unbound prefix"),
        (document("-").replace(b"-", b"\xff"), f":3:1: {ILL}: not well-formed (invalid token)"),
        (document("&#0;"), f":3:1: {ILL}: reference to invalid character number"),
        (document("&secret;"), f":3:1: {ILL}: undefined entity"),
        (declared("klingon"), UNKNOWN),
        (declared("utf-7"), UNKNOWN),
        (declared("base64"), UNKNOWN),
        (b"\n<html/>", ":2:1: is no OVF environment: its outermost element is html"),
        (b'<Environment xmlns="urn:x"/>', ":1:1: is no OVF environment: its outermost element is Environment of urn:x"),
        (b" " * (LARGEST + 1), f": has more than {LARGEST} bytes: this is no OVF environment"),
    ],
)
def test_what_is_no_ovf_environment_is_told_with_its_place(data: bytes, message: str) -> None:
    assert problem(data) == FILE + message


BOMB = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 12))


@pytest.mark.parametrize(
    "doctype",
    [
        f'<!DOCTYPE Environment [<!ENTITY e0 "x">{BOMB}]>',
        '<!DOCTYPE Environment [<!ENTITY file SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE Environment SYSTEM "http://192.0.2.1/evil.dtd">',
        '<!DOCTYPE Environment [<!ENTITY % remote SYSTEM "http://192.0.2.1/evil.dtd"> %remote;]>',
        "<!DOCTYPE Environment>",
    ],
    ids=["bomb", "file", "dtd", "parameter", "empty"],
)
def test_a_doctype_is_refused_before_it_is_read(doctype: str) -> None:
    data = (doctype + "\n").encode() + document("&e11;")
    # the place is the end of what names it: expat tells then, before the first declaration
    assert problem(data).endswith(": has a DOCTYPE, which no OVF environment has: it is not taken: remove it")
    assert problem(data).startswith(f"{FILE}:1:")


def test_depth_is_limited() -> None:
    inside = DEEPEST - 2
    assert found(document("<x>" * inside + "</x>" * inside)) == {}
    message = f"{FILE}:3:{3 * inside + 1}: is nested more than {DEEPEST} deep: this is no OVF environment"
    assert problem(document("<x>" * 100_000)) == message


def test_what_is_wrong_with_properties_is_collected() -> None:
    data = document(f"<Property oe:value='hunter2'/>\n{one('a', 'hunter1')}\n {one('a', 'x')}\n{one(' ', 'y')}")
    result = parse(data, FILE)
    assert [str(each) for each in result.problems] == [
        f"{FILE}:3:1: a property without a key: give it one, or remove it",
        f"{FILE}:5:2: a: is there twice, the first time in line 4: keep one of them",
        f"{FILE}:6:1: a property without a key: give it one, or remove it",
    ]
    assert list(result.properties) == ["a"]
    assert "hunter" not in repr(result)


def test_a_name_cannot_paint_the_terminal() -> None:
    result = parse(document(f"{one('a', '1')}{one('a', '2')}".replace('"a"', '"a&#10;b"')), FILE)
    assert str(result.problems[0]).startswith(f"{FILE}:3:")
    assert r"'a\nb': is there twice" in str(result.problems[0])


@given(st.dictionaries(XML_TEXT.map(str.strip).filter(bool), XML_TEXT))
def test_any_properties_arrive(properties: dict[str, str]) -> None:
    assert found(document("\n".join(one(key, value) for key, value in properties.items()))) == properties


@given(st.integers(0, 400), st.integers(0, 400), st.binary(max_size=6))
def test_any_damage_is_an_environment_or_one_clear_refusal(first: int, length: int, junk: bytes) -> None:
    whole = document(one("admin_password", "hunter2") + one("gateway", "192.0.2.1"))
    damaged = whole[:first] + junk + whole[first + length :]
    try:
        result = parse(damaged, FILE)
    except InvalidEnvironment as error:
        assert len(error.problems) == 1
        assert "hunter2" not in str(error)
    else:
        assert isinstance(result, Environment)
        assert "hunter2" not in repr(result)
