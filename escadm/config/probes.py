"""``ready`` and ``check``: how one knows that a service is up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urlsplit

from escadm.config import values
from escadm.config.findings import did_you_mean
from escadm.config.values import Wrong, describe
from escadm.core.probes import Alive, Check, Exec, Http, Notify, Probe, Tcp

T = TypeVar("T")

_FORMS = ("tcp", "http", "exec")
_HINT = "write one of {tcp: PORT}, {http: URL}, {exec: COMMAND}"


def ready(value: object) -> Probe:
    """``notify``, ``alive``, or one of the forms ``tcp``, ``http``, ``exec``, with an optional ``timeout``."""
    if value == "notify":
        return Notify()
    if value == "alive":
        return Alive()
    if not isinstance(value, dict):
        raise Wrong(f"{describe(value)} is no way to tell that it is ready", f"{_HINT}, notify or alive")
    return _form(value, ("timeout",))


def check(value: object) -> Check:
    """One of the forms ``tcp``, ``http``, ``exec``, with optional ``timeout``, ``interval`` and ``failures``."""
    if not isinstance(value, dict):
        raise Wrong(f"{describe(value)} is no check", _HINT)
    result = Check(_form(value, ("timeout", "interval", "failures")))
    interval = _part(value, "interval", values.seconds, result.interval)
    failures = _part(value, "failures", values.whole(1, 1000), result.failures)
    return Check(result.probe, interval, failures)


@dataclass(frozen=True, slots=True)
class _Target:
    host: str
    port: int


def _form(value: Mapping[str, object], more: tuple[str, ...]) -> Tcp | Http | Exec:
    for key in value:
        if key not in _FORMS + more:
            raise Wrong(f"unknown key {describe(key)}", did_you_mean(key, _FORMS + more) or _HINT)
    form = [key for key in _FORMS if key in value]
    if len(form) != 1:
        raise Wrong("no way to check is named" if not form else f"{' and '.join(form)} at the same time", _HINT)
    what = value[form[0]]
    match form[0]:
        case "tcp":
            target = _within("tcp", _tcp, what)
            return Tcp(target.port, target.host, _part(value, "timeout", values.seconds, Tcp(1).timeout))
        case "http":
            return Http(_within("http", _url, what), _part(value, "timeout", values.seconds, Http("").timeout))
    argv = _within("exec", values.command, what)
    return Exec(argv, _part(value, "timeout", values.seconds, Exec(()).timeout))


def _part(value: Mapping[str, object], key: str, parse: Callable[[object], T], default: T) -> T:
    return _within(key, parse, value[key]) if key in value else default


def _within(key: str, parse: Callable[[object], T], value: object) -> T:
    """``parse(value)``, its message led by the key, for the place is that of the whole mapping."""
    try:
        return parse(value)
    except Wrong as wrong:
        raise Wrong(f"{key}: {wrong.message}", wrong.hint) from None


def _tcp(value: object) -> _Target:
    if isinstance(value, str) and not value.isdigit():
        try:
            parts = urlsplit(f"//{values.word(value)}")
            if parts.hostname and parts.port and not parts.path:
                return _Target(parts.hostname, parts.port)
        except ValueError:
            pass
        raise Wrong(f"{describe(value)} is not PORT or HOST:PORT", "IPv6 addresses stand in brackets: [::1]:8080")
    return _Target(Tcp(1).host, values.port(int(value) if isinstance(value, str) else value))


def _url(value: object) -> str:
    result = values.word(value)
    try:
        parts = urlsplit(result)
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise Wrong(f"{describe(result)} is not a URL", "for example http://127.0.0.1:8080/health")
    return result
