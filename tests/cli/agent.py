"""A stand-in for the agent: ``agent.py ROOT ORDER``; see program.agent."""

import json
import sys
import threading
import time
from pathlib import Path

from escadm.paths import Paths
from escadm.system import alive, control
from escadm.system.files import write_atomically


def main() -> None:
    paths, order = Paths(Path(sys.argv[1])), json.loads(sys.argv[2])
    alive.acquire(paths.lock)
    document = order["document"]
    if document is not None:
        document["agent"] = alive.identity()["agent"]
        write_atomically(paths.status, json.dumps(document), 0o644)
    if order["beat"]:
        alive.write_beat(paths.beat)
        threading.Thread(target=beat, args=(paths,), daemon=True).start()
    if order["answers"] is not None:
        threading.Thread(target=serve, args=(paths, order["answers"]), daemon=True).start()
        while not paths.control.exists():
            time.sleep(0.01)
    print("ready", flush=True)
    sys.stdin.read()


def beat(paths: Paths) -> None:
    while True:
        time.sleep(0.2)
        alive.write_beat(paths.beat)


def serve(paths: Paths, answers: list[object]) -> None:
    server = control.listen(paths.control)
    while True:
        connection, _ = server.accept()
        with connection:
            request = connection.makefile("rb").readline()
            (paths.run / "request").write_bytes(request)
            for answer in answers:
                if answer == "wait":
                    time.sleep(60)
                connection.sendall(json.dumps(answer).encode() + b"\n")


main()
