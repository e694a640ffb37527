"""The beginning of an agent: its configuration, on a machine that may not have all yet that the file names.

An address that comes late (slow DHCP) is no mistake in the file: the node begins in fault, says what it lacks, and
goes on when that is there.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

from escadm.actions.reload import commit, prepare
from escadm.agent.node import Node
from escadm.config import read_plan
from escadm.core.plan import Plan
from escadm.core.reason import Reason
from escadm.errors import EscadmError, InvalidConfig
from escadm.log import get
from escadm.paths import Paths
from escadm.system.host import Host
from escadm.system.net import host_facts

LOOK_AGAIN = 5.0
MISFIT = "machine-misfit"
REFUSED = "not-prepared"

log = get(__name__)


@dataclass(frozen=True, slots=True)
class Begun:
    """What an agent begins with. ``lacks``: why the engines cannot run on this machine as it is now."""

    plan: Plan
    lacks: tuple[Reason, ...] = ()


def begin(paths: Paths, host: Host) -> Begun:
    """The plan, its files written; or what can be said of it where the machine does not fit, and nothing is written.

    Raises InvalidConfig for a mistake in the file.
    """
    facts = host_facts(paths)
    try:
        prepared = prepare(paths, facts, host, again=False)
    except InvalidConfig as error:
        if not error.is_of_machine:
            raise
        plan = read_plan(paths.config, replace(facts, strict=False)).plan
        return Begun(_placeless(plan), _lacks(error))
    for warning in prepared.warnings:
        log.warning("%s", warning)
    commit(prepared, host)
    return Begun(prepared.plan)


def _placeless(plan: Plan) -> Plan:
    """The plan without what depends on which of the two nodes this is: that was a guess."""
    spec = plan.keepalived
    if spec is None:
        return plan
    return replace(plan, keepalived=replace(spec, unicast_source=None, unicast_peers=(), peer_paths=()))


def _lacks(error: InvalidConfig) -> tuple[Reason, ...]:
    found = []
    for problem in error.problems:
        path = problem.path.removeprefix("resources.")
        found.append(Reason(MISFIT if problem.of_machine else REFUSED, path, f"{path}: {problem.message}"))
    return tuple(found)


class Completion:
    """Lets a node that lacks something go on as soon as the machine has it."""

    def __init__(self, node: Node, host: Host) -> None:
        self._node = node
        self._host = host
        self._changed = asyncio.Event()

    def look(self) -> None:
        """The machine has changed."""
        self._changed.set()

    async def run(self) -> None:
        """Until the node lacks nothing."""
        node = self._node
        while node.lacks:
            try:
                async with asyncio.timeout(LOOK_AGAIN):
                    await self._changed.wait()
            except TimeoutError:
                pass
            self._changed.clear()
            if node.lacks:
                await self._try()

    async def _try(self) -> None:
        node, paths, host = self._node, self._node.paths, self._host
        try:
            prepared = await asyncio.to_thread(lambda: prepare(paths, host_facts(paths), host))
            if not node.lacks:  # somebody has reloaded meanwhile
                return
            written = await asyncio.to_thread(commit, prepared, host)
        except InvalidConfig as error:
            self._tell(_lacks(error))
        except EscadmError as error:
            self._tell((Reason(REFUSED, "", error.message),))
        else:
            log.info("the machine has what %s names: this node goes on", paths.config.name)
            for warning in prepared.warnings:
                log.warning("%s", warning)
            node.take_plan(prepared.plan)
            await self._reload(written)

    async def _reload(self, written: list[str]) -> None:
        try:
            await self._node.reload(written)
        except EscadmError as error:
            log.warning("%s", error.message)

    def _tell(self, lacks: tuple[Reason, ...]) -> None:
        if lacks != self._node.lacks:
            for each in lacks:
                log.warning("in fault: %s", each.sentence)
            self._node.lacks = lacks
            self._node.turns.wake()
