from __future__ import annotations

import sys

import pytest

from escadm.actions import drbd_init as action
from escadm.cli import app
from escadm.cli.session import Session
from escadm.paths import Paths


def test_an_interrupted_installation_says_how_it_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object, **__: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(action, "drbd_init", interrupt)
    monkeypatch.setattr(Paths, "is_host", True)
    monkeypatch.setattr(Session, "require_root", lambda self, what: None)
    monkeypatch.setattr(sys, "argv", ["escadm", "drbd", "init"])
    with pytest.raises(SystemExit) as ended:
        app.main()
    assert ended.value.code == app.INTERRUPTED
    told = "escadm: interrupted\n  type the same again: it goes on from there, or says what to do\n"
    assert capsys.readouterr().err == told


@pytest.mark.parametrize(("words", "seconds"), [([], None), (["--wait=", "600"], 600.0), (["--wait", "0"], 0.0)])
def test_how_long_the_other_node_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], seconds: float | None
) -> None:
    given: list[object] = []

    def note(*_: object, wait: float | None, **__: object) -> str:
        given.append(wait)
        return "done"

    monkeypatch.setattr(action, "drbd_init", note)
    monkeypatch.setattr(Paths, "is_host", True)
    monkeypatch.setattr(Session, "require_root", lambda self, what: None)
    monkeypatch.setattr(sys, "argv", ["escadm", "drbd", "init", "--primary", *words])
    with pytest.raises(SystemExit) as ended:
        app.main()
    assert (ended.value.code, given, capsys.readouterr().out) == (0, [seconds], "done\n")
