"""Runs commands in turns and prints how long each run took: ``timer.py RUNS JSON``."""

from __future__ import annotations

import json
import subprocess
import sys
import time

runs, commands = int(sys.argv[1]), json.loads(sys.argv[2])
figures: list[list[float]] = [[] for _ in commands]
for number in range(runs + 1):
    for command, values in zip(commands, figures, strict=True):
        begin = time.perf_counter()
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
        if number:  # the first turn warms the caches
            values.append(time.perf_counter() - begin)
print(json.dumps(figures))
