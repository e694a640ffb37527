"""A few of the random faults of a storm, with the seed printed: see storm.py for hundreds of them."""

from __future__ import annotations

import secrets

from tests.lab.conftest import NewLab
from tests.lab.storm import CONFIG, Storm

FAULTS = 25


def test_random_faults_heal_without_a_hand(new_lab: NewLab) -> None:
    seed = secrets.randbelow(1 << 32)
    print(f"seed {seed}")
    storm = Storm(new_lab(config=CONFIG), seed)
    storm.run(FAULTS, print)
    assert storm.checker.looks > FAULTS
