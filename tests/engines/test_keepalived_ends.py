"""What the agent tells of a real keepalived that has ended."""

from escadm.agent.drivers.keepalived import Keepalived
from escadm.core.lifecycle import Event
from escadm.core.plan import Unit
from escadm.core.specs import Kind
from escadm.paths import Paths
from tests.unit.agent.test_keepalived import SPEC, Heard
from tests.unit.agent.world import run, tools, wait_for


def test_one_that_ends_is_quoted(paths: Paths) -> None:
    """The real one, which finds no keepalived.conf."""

    async def work() -> None:
        heard = Heard(paths)
        posted: list[tuple[Event, str]] = []
        unit = Unit("keepalived", Kind.KEEPALIVED, spec=SPEC)
        driver = Keepalived(unit, lambda *word: posted.append(word), tools(paths, feed=heard.feed))
        driver.start()
        await wait_for(lambda: bool(posted))
        missing = f"Config files missing '{paths.keepalived_conf}'."
        assert posted == [(Event.EXITED, f"exited with code 6: {missing}")]
        assert driver.doubt == missing
        heard.close()

    run(work())
