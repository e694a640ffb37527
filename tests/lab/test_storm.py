"""The first random faults of one storm: see storm.py for hundreds of them, and for other seeds."""

from __future__ import annotations

from tests.lab.conftest import NewLab
from tests.lab.storm import CONFIG, Storm

FAULTS = 25
SEED = 7


def test_random_faults_heal_without_a_hand(new_lab: NewLab) -> None:
    storm = Storm(new_lab(config=CONFIG), SEED)
    storm.run(FAULTS, print)
    assert storm.checker.looks > FAULTS
    assert storm.checker.seen == {"services", "address", "health"}
