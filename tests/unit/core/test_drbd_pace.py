"""What several looks tell: the speed of a sync, the last write, and when the generation is worth a question."""

from dataclasses import replace

import pytest

from escadm.core.drbd.pace import SHORTEST, Pace, last_write, needs_generation, pace
from escadm.core.drbd.state import Replica

MIB = 1 << 20
FINE = Replica("Primary", "Connected", "Secondary", "UpToDate", "UpToDate", "Established", written=4096)
CUT = Replica("Primary", "Connecting", "Unknown", "UpToDate", "DUnknown", written=4096)


def test_a_speed_needs_two_looks() -> None:
    first = pace(None, 100 * MIB, 10.0)
    assert first == Pace(10.0, 100 * MIB)
    assert pace(first, 80 * MIB, 12.0) == Pace(12.0, 80 * MIB, 10.0 * MIB)


def test_looks_in_quick_succession_are_one() -> None:
    first = pace(None, 100 * MIB, 10.0)
    assert pace(first, 90 * MIB, 10.0 + SHORTEST / 2) == first
    assert pace(first, 90 * MIB, 11.0).bytes_per_second == 10.0 * MIB


def test_the_speed_is_smoothed_and_follows() -> None:
    now = pace(pace(None, 1000 * MIB, 0.0), 990 * MIB, 1.0)
    slower = pace(now, 989 * MIB, 2.0)
    assert slower.bytes_per_second is not None
    assert 8 * MIB < slower.bytes_per_second < 9 * MIB
    for second in range(3, 40):
        slower = pace(slower, 989 * MIB - second * MIB, float(second))
    assert slower.bytes_per_second == pytest.approx(MIB, rel=0.01)


def test_a_sync_that_stands_still_has_no_speed_and_no_end() -> None:
    found = pace(None, 100 * MIB, 0.0)
    for second in range(1, 200):
        found = pace(found, 100 * MIB, float(second))
    assert found.bytes_per_second == 0.0
    assert Replica(out_of_sync=100 * MIB, bytes_per_second=0.0).seconds_to_go is None
    slower = Pace(0.0, 100 * MIB, 10.0 * MIB)
    for second in range(1, 200):
        slower = pace(slower, 100 * MIB, float(second))
    assert Replica(out_of_sync=100 * MIB, bytes_per_second=slower.bytes_per_second).seconds_to_go is None


def test_more_to_do_than_before_begins_anew() -> None:
    assert pace(Pace(1.0, 10 * MIB, 5.0), 11 * MIB, 2.0) == Pace(2.0, 11 * MIB)


def test_the_time_to_go() -> None:
    assert Replica(out_of_sync=100 * MIB, bytes_per_second=10.0 * MIB).seconds_to_go == 10.0
    assert Replica(out_of_sync=100 * MIB).seconds_to_go is None


def test_a_write_is_seen_when_the_figure_has_grown() -> None:
    assert last_write(None, FINE, None, "now") is None
    assert last_write(FINE, FINE, None, "now") is None
    assert last_write(FINE, replace(CUT, written=8192), "then", "now") == "now"
    assert last_write(FINE, CUT, "then", "now") == "then"
    assert last_write(FINE, replace(CUT, written=0), "then", "now") == "then"  # attached anew


def test_the_generation_is_asked_for_when_it_can_be_another_one() -> None:
    assert needs_generation(None, FINE)
    assert needs_generation(FINE, CUT)
    assert needs_generation(CUT, replace(CUT, written=8192))
    assert not needs_generation(CUT, CUT)
    assert not needs_generation(FINE, replace(FINE, written=8192))
