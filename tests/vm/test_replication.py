"""The replicated pair on two machines: first installation, takeover, switchover, and what it does with the data."""

from __future__ import annotations

import time

from tests.vm.conftest import Measured
from tests.vm.pair import Pair
from tests.vm.replicated import Writer, make_pair, text_of, wait_healthy

ROUNDS = 3


def test_the_three_lines_make_a_replicated_pair(pair: Pair, measured: Measured) -> None:
    make_pair(pair)
    primary, standby = wait_healthy(pair)
    shown = primary.escadm("status", "-v", check=False).stdout
    assert "drbd (pgid 0) is master" in shown
    assert "pgsql (pgid" in shown
    assert "drbd (pgid 0) is backup" in standby.escadm("status", "-v", check=False).stdout
    begin = time.monotonic()
    primary.power_cut()
    pair.wait_for(lambda: text_of(standby).startswith("ESC Master Degraded"), 60, "the takeover")
    measured("power cut to all services up", time.monotonic() - begin)
    primary.power_on()
    primary.sh("systemctl start esc_service")
    assert wait_healthy(pair) == (standby, primary)
    done = standby.escadm("switchover")
    assert "the primary is now" in done.stdout
    assert wait_healthy(pair) == (primary, standby)


def test_no_acknowledged_row_is_lost(pair: Pair, measured: Measured) -> None:
    make_pair(pair)
    primary, standby = wait_healthy(pair)
    writer = Writer(pair)
    pair.wait_for(lambda: writer.sql("create table rows (number int)") is not None, 30, "the table")
    writer.start()
    try:
        for turn in range(ROUNDS):
            before = len(writer.acknowledged)
            pair.wait_for(lambda n=before: len(writer.acknowledged) > n + 5, 30, "some rows")
            cut = time.monotonic()
            primary.power_cut()
            seconds = pair.wait_for(lambda at=cut: writer.first_after(at), 90, "a commit on the new primary")
            measured(f"round {turn + 1}: power cut to the first commit", seconds)
            primary.power_on()
            primary.sh("systemctl start esc_service")
            assert wait_healthy(pair) == (standby, primary)
            primary, standby = standby, primary
        primary.escadm("switchover")
        begin = time.monotonic()
        measured(
            "end of a switchover under load to the next commit",
            pair.wait_for(lambda: writer.first_after(begin), 30, "a commit after the switchover"),
        )
        assert wait_healthy(pair) == (standby, primary)
    finally:
        writer.ending.set()
        writer.join()
    writer.check()
    assert len(writer.acknowledged) > 5 * ROUNDS
