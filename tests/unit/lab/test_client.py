import pytest

from escadm.lab.client import Target


@pytest.mark.parametrize(
    ("text", "host", "port", "request_line"),
    [
        ("http://172.16.2.0:8001/", "172.16.2.0", 8001, "GET / HTTP/1.0"),
        ("http://172.16.2.0", "172.16.2.0", 80, "GET / HTTP/1.0"),
        ("http://[2001:db8::1]:81/a/b?c", "2001:db8::1", 81, "GET /a/b?c HTTP/1.0"),
        ("172.16.2.0:81", "172.16.2.0", 81, ""),
        ("[2001:db8::1]:81", "2001:db8::1", 81, ""),
    ],
)
def test_targets(text: str, host: str, port: int, request_line: str) -> None:
    target = Target.parse(text)
    assert (target.host, target.port) == (host, port)
    assert target.request.decode().split("\r\n")[0] == request_line


@pytest.mark.parametrize("text", ["172.16.2.0", "ftp://172.16.2.0:1/", "http://a b:1"])
def test_what_is_no_target(text: str) -> None:
    with pytest.raises(SystemExit, match="cannot ask"):
        Target.parse(text)
