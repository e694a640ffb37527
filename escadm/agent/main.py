"""``escadm agent``: from the configuration on disk to the loop that never ends on its own."""

from __future__ import annotations

import asyncio
import os
import signal
from concurrent.futures import ThreadPoolExecutor

from escadm import __version__
from escadm.actions.reload import Prepared, commit, prepare
from escadm.agent.adopt import adopt
from escadm.agent.attempt import Attempts
from escadm.agent.control import Control
from escadm.agent.memory import load
from escadm.agent.node import Node
from escadm.agent.publish import publish_role
from escadm.agent.verbs import Verbs
from escadm.core.types import Role
from escadm.errors import EscadmError
from escadm.log import get, set_up
from escadm.paths import Paths
from escadm.system.alive import acquire, write_beat
from escadm.system.host import Host
from escadm.system.net import drain, host_facts, open_address_events
from escadm.system.notify import tell_systemd

BEAT_INTERVAL = 1.0
THREADS = 64

log = get("escadm.agent")


def main(paths: Paths, debug: bool = False) -> int:
    """Run the agent until SIGTERM; returns the exit code.

    Raises InvalidConfig, and only before anything was started: a configuration that goes bad later is an error of the
    command that brings it.
    """
    os.umask(0o022)  # what is for everybody can be read by everybody, wherever the agent was started
    set_up(paths.log, debug=debug)
    lock = acquire(paths.lock)
    write_beat(paths.beat)
    host = Host()
    try:
        prepared = prepare(paths, host_facts(paths), host)
    except EscadmError as error:
        for line in str(error).splitlines():
            log.error("cannot begin: %s", line)  # noqa: TRY400 - mistakes of the file, not ours
        if load(paths).role is None and paths.role.exists():  # a word of the last boot: nothing of it runs
            publish_role(Role.FAULT, paths)
        raise
    for warning in prepared.warnings:
        log.warning("%s", warning)
    commit(prepared, host)
    log.info("escadm %s begins (pid %d)", __version__, os.getpid())
    asyncio.run(_run(paths, host, prepared))
    log.info("escadm ends")
    os.close(lock)
    return 0


async def _run(paths: Paths, host: Host, prepared: Prepared) -> None:
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, over.set)
    loop.add_signal_handler(signal.SIGHUP, log.info, "SIGHUP means nothing here: the command is escadm reload")
    loop.set_default_executor(ThreadPoolExecutor(THREADS))
    memory = load(paths)
    node = Node(paths, prepared.plan, memory)
    adopt(node, memory)
    control = Control(paths, Verbs(node, host))
    await control.open()
    addresses = open_address_events()

    def look_again() -> None:
        drain(addresses)
        node.wake()

    loop.add_reader(addresses, look_again)
    beat = loop.create_task(_beat(paths))
    node.wake()
    tell_systemd("READY=1")
    await over.wait()
    log.info("asked to end: stopping all in order")
    tell_systemd("STOPPING=1")
    await node.stop_for_good()
    await control.finish()
    control.close()
    beat.cancel()
    loop.remove_reader(addresses)
    addresses.close()
    node.end()


async def _beat(paths: Paths) -> None:
    """The sign of life, from the very loop that does the work."""
    attempts = Attempts(lambda: None)
    while True:
        attempts.make("give a sign of life", lambda: write_beat(paths.beat))
        await asyncio.sleep(BEAT_INTERVAL)
