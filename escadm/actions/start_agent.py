"""Where no agent runs: ``start`` and ``restart`` have systemd begin it by its unit, and ``stop`` has nothing to do."""

from __future__ import annotations

from collections.abc import Collection

from escadm.actions.reload import prepare
from escadm.config import read_plan
from escadm.config.overlay import canonical
from escadm.errors import AgentNotRunning, EscadmError, Failed, Usage
from escadm.paths import Paths
from escadm.system import systemd
from escadm.system.control import UNIT, has_unit, start_hint
from escadm.system.host import Host
from escadm.system.net import host_facts

START_LIMIT = 130.0  # TimeoutStartSec= and a little


def start_agent(paths: Paths) -> bool:
    """Have systemd start the agent, where it has the unit; none runs.

    Whether that has started everything with it: where a dead agent had left services, the new one takes them over.
    Raises InvalidConfig, or Failed with the reason in one line.
    """
    if not has_unit(paths):
        return False
    fresh = not paths.state.exists()
    logged = paths.log.stat().st_size if paths.log.exists() else 0
    try:
        systemd.start(UNIT, START_LIMIT)
    except EscadmError as error:
        prepare(paths, host_facts(paths), Host(), again=False)
        reason = _first_error(paths, logged) or error.message
        raise Failed(f"cannot start {UNIT}: {reason}", f"see: journalctl -u {UNIT}") from None
    return fresh


def stopped_already(paths: Paths, resources: Collection[str]) -> bool:
    """Whether there is nothing to stop: no agent is about to begin, and a dead one has left nothing.

    Raises AgentNotRunning where a dead one has, and Usage for a name that the configuration does not have.
    """
    if has_unit(paths) and not systemd.state(UNIT).is_down:
        return False
    if paths.state.exists():
        raise AgentNotRunning("the agent is not running, but what it ran may still be there", start_hint(paths))
    if resources:
        plan = read_plan(paths.config, host_facts(paths)).plan
        for name in resources:
            if canonical(name) not in plan.units:
                raise Usage(f"there is no resource {name}", "see: escadm plan")
    return True


def _first_error(paths: Paths, offset: int) -> str:
    """The first thing that the agent has called an error since its log had this size; empty if there is none."""
    try:
        with paths.log.open("rb") as log:
            log.seek(offset)
            lines = log.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    return next(
        (line.partition(" ERROR ")[2].removeprefix("cannot begin: ") for line in lines if " ERROR " in line), ""
    )
