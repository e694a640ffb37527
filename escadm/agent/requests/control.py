"""The control socket: one JSON line in, JSON lines out, the last one with ``done``."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Mapping

from escadm.agent.requests.verbs import Say, Verbs
from escadm.errors import EscadmError, Usage
from escadm.log import get
from escadm.paths import Paths
from escadm.system.control import PATIENCE, listen

log = get(__name__)


class Control:
    """Serves requests at ``paths.control`` (root only), each in a task of its own.

    A client that goes away stops nothing: what it asked for goes on.
    """

    def __init__(self, paths: Paths, verbs: Verbs) -> None:
        self._path = paths.control
        self._verbs = verbs
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Listen; a socket that an earlier agent left behind is replaced."""
        self._server = await asyncio.start_unix_server(self._connected, sock=listen(self._path))

    def close(self) -> None:
        """Take no more requests."""
        if self._server is not None:
            self._server.close()
            self._path.unlink(missing_ok=True)

    async def finish(self) -> None:
        """Let the requests under way have their last line."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=1.0)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        def say(line: Mapping[str, object]) -> None:
            if not writer.is_closing():
                writer.write(json.dumps(line).encode() + b"\n")

        try:
            say(await self._outcome(reader, say))
            await writer.drain()
        except ConnectionError:
            pass  # the client has gone; what it asked for is done
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _outcome(self, reader: asyncio.StreamReader, say: Say) -> dict[str, object]:
        try:
            request = await _read(reader)
            say({"say": ""})
            log.info("asked to %s", " ".join(_words(request)))
            message = await self._verbs.do(request, say)
            log.info("%s: %s", request.get("do"), message)
        except EscadmError as error:
            log.info("not done: %s", error.message)
            return {"done": True, "code": error.exit_code, "message": error.message, "hint": error.hint}
        except Exception as error:
            log.exception("a defect of ours")
            return {"done": True, "code": 70, "message": f"a defect of escadm: {error!r}", "hint": "the log has more"}
        return {"done": True, "code": 0, "message": message, "hint": ""}


async def _read(reader: asyncio.StreamReader) -> Mapping[str, object]:
    try:
        request = json.loads(await asyncio.wait_for(reader.readline(), PATIENCE))
    except TimeoutError:
        raise Usage(f"no request came within {PATIENCE:g} s") from None
    except (ValueError, RecursionError):
        request = None
    if not isinstance(request, dict):
        raise Usage("cannot make sense of the request: it is not one JSON object in one line")
    return request


def _words(request: Mapping[str, object]) -> list[str]:
    names = request.get("resources")
    return [str(request.get("do")), *(map(str, names) if isinstance(names, list) else ())]
