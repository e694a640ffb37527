"""The user data that the manual prints, word for word, and everything that is wrong with it."""

from pathlib import Path

import pytest

from escadm.config.user_data import examine_user_data
from escadm.errors import InvalidUserData

PRINTED = sorted((Path(__file__).parent / "user-data").glob("printed-[12]"))


@pytest.mark.parametrize("file", PRINTED, ids=lambda file: file.name)
def test_what_is_printed_is_refused_with_all_its_reasons(file: Path) -> None:
    with pytest.raises(InvalidUserData) as caught:
        examine_user_data(file.read_text(encoding="utf-8"), file.name, chkconfig=False)
    assert f"{caught.value}\n" == file.with_name(f"{file.name}.errors.txt").read_text(encoding="utf-8")
