from __future__ import annotations

import pytest
from jinja2 import UndefinedError

from escadm.core.specs import Secret
from escadm.errors import Failed
from escadm.render import template


def test_a_name_that_nobody_gave_is_an_error() -> None:
    with pytest.raises(UndefinedError):
        template.fill("keepalived.conf.j2", {})


def test_a_secret_that_is_not_revealed_on_purpose_does_not_get_into_a_file() -> None:
    with pytest.raises(Failed, match="is not one plain word"):
        template._checked(Secret("abc"))


def test_whose_file_it_is() -> None:
    assert template.is_generated(template.HEAD + "\nmore\n")
    assert not template.is_generated("global_defs {\n}\n")
    assert not template.is_generated("")
