"""``escadm agent``: from the configuration on disk to the loop that never ends on its own.

SIGTERM: stop all in order, then end. SIGUSR1: end now and leave everything as it is, for the agent of another version
to take over; the same as SIGKILL, but with exit code 0.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import logging
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from escadm import __version__
from escadm.agent.adopt import adopt
from escadm.agent.begin import Begun, Completion, begin
from escadm.agent.node import Node
from escadm.agent.outputs.heartbeat import Pulse
from escadm.agent.outputs.memory import load
from escadm.agent.requests.control import Control
from escadm.agent.requests.verbs import Verbs
from escadm.config import read_plan
from escadm.core.plan import Plan
from escadm.core.states import Role
from escadm.errors import EscadmError
from escadm.log import get, set_up
from escadm.paths import Paths
from escadm.system import role_file
from escadm.system.alive import acquire, command_line, holder, write_beat
from escadm.system.host import Host
from escadm.system.net import host_facts
from escadm.system.notify import tell_systemd

THREADS = 64
STOP = "--stop"

log = get("escadm.agent")


def main(paths: Paths, debug: bool = False) -> int:
    """Run the agent until SIGTERM or SIGUSR1; returns the exit code.

    Raises InvalidConfig, and only before anything was started: a configuration that goes bad later is an error of the
    command that brings it.
    """
    with _alone(paths, debug=debug):
        host = Host()
        try:
            begun = begin(paths, host)
        except EscadmError as error:
            for line in str(error).splitlines():
                log.error("cannot begin: %s", line)  # noqa: TRY400 - mistakes of the file, not ours
            _disown_role(paths)
            raise
        log.info("escadm %s begins (pid %d)", __version__, os.getpid())
        for each in begun.lacks:
            log.warning("begins in fault: %s", each.sentence)
        asyncio.run(_run(paths, host, begun))
        log.info("escadm ends")
    return 0


def stop_leftovers(paths: Paths, debug: bool = False) -> int:
    """Stop in order what an agent that is dead has left, and end; returns the exit code.

    Raises Failed when an agent runs: it does that itself. An invalid configuration is no obstacle: what was written
    down of each service is enough to stop it.
    """
    with _alone(paths, debug=debug):
        try:
            plan = read_plan(paths.config, host_facts(paths)).plan
        except EscadmError as error:
            log.warning("stopping without a configuration: %s", error.message)
            plan = Plan({})
        log.info("stopping what an agent that is dead has left")
        asyncio.run(_stop(paths, plan))
        log.info("nothing of it is left")
    return 0


@contextlib.contextmanager
def _alone(paths: Paths, *, debug: bool) -> Iterator[None]:
    """The process as an agent needs it, and the only one of its kind here."""
    os.umask(0o022)  # what is for everybody can be read by everybody, wherever the agent was started
    set_up(paths.log, debug=debug)
    faulthandler.enable()  # what it hangs in, when the watchdog ends it
    _let_a_stop_end(paths)
    try:
        lock = acquire(paths.lock)
        write_beat(paths.beat)
    except OSError:
        _disown_role(paths)
        raise
    try:
        yield
    finally:
        os.close(lock)


def _disown_role(paths: Paths) -> None:
    """This agent does not begin. What an earlier one left runs on unwatched, and its role is not known; where there is
    nothing of that kind, this node takes no part."""
    try:
        if load(paths).units:
            role_file.withdraw(paths)
        else:
            role_file.write(Role.FAULT, paths)
    except EscadmError as error:
        log.warning("%s", error.message)


def _let_a_stop_end(paths: Paths) -> None:
    """Wait while another process stops what a dead agent has left: it comes to its end."""
    while (pid := holder(paths.lock)) and STOP in command_line(pid):
        tell_systemd("EXTEND_TIMEOUT_USEC=10000000")
        time.sleep(0.1)


def _take_over(paths: Paths, begun: Begun) -> Node:
    """The node, with what an earlier agent has left running on it, in the loop that runs."""
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(THREADS))
    memory = load(paths)
    node = Node(paths, begun.plan, memory)
    node.lacks = begun.lacks
    adopt(node, memory)
    return node


async def _stop(paths: Paths, plan: Plan) -> None:
    node = _take_over(paths, Begun(plan))
    pulse = asyncio.get_running_loop().create_task(Pulse(node).run())
    await node.stop_for_good()
    pulse.cancel()
    node.end()


async def _run(paths: Paths, host: Host, begun: Begun) -> None:
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, over.set)
    loop.add_signal_handler(signal.SIGHUP, log.info, "SIGHUP means nothing here: the command is escadm reload")
    node = _take_over(paths, begun)
    loop.add_signal_handler(signal.SIGUSR1, _leave, node)
    control = Control(paths, Verbs(node, host))
    await control.open()
    completion = Completion(node, host)
    node.inputs.open(completion.look)
    completing = loop.create_task(completion.run())
    pulse = loop.create_task(Pulse(node).run())
    tell_systemd("READY=1")
    await over.wait()
    log.info("asked to end: stopping all in order")
    tell_systemd("STOPPING=1")
    await node.stop_for_good()
    await control.finish()
    control.close()
    completing.cancel()
    pulse.cancel()
    node.end()


def _leave(node: Node) -> None:
    """No tidying up, no waiting for threads: what is under way is as after a SIGKILL, and the next agent copes."""
    log.info("ends now and leaves everything as it is: another agent takes over")
    try:
        node.remember()
    except (EscadmError, OSError) as error:
        log.warning("cannot write down the last state: %s", error)
    logging.shutdown()
    os._exit(0)
