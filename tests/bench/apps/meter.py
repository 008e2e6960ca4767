"""What every application of a peer counts and says. It runs in the peer's environment: nothing but the standard library."""

from __future__ import annotations

import json
import os
import sys
import time

BOOTSTRAP, TOPIC, OUTPUT = (os.environ[f"BENCH_{name}"] for name in ("BOOTSTRAP", "TOPIC", "OUTPUT"))
WORK = os.environ["BENCH_WORK"]
"""`count` or `sum`."""
FOLDER = os.environ["BENCH_FOLDER"]
COUNT = int(os.environ["BENCH_COUNT"])
"""So many events of the topic are read."""
AT = 50
"""A key is told when its count comes to this: `pipelines/count.yaml`."""
WINDOW_SECONDS = 300
"""`pipelines/sum.yaml`."""


class Meter:
    """CPU time of this process, threads and all, from the first event."""

    def __init__(self) -> None:
        self._cpu = self._wall = 0.0
        self.seen = self.told = 0

    def see(self) -> bool:
        """Call it with each event; is it the last one?"""
        if not self.seen:
            self._cpu, self._wall = time.process_time(), time.perf_counter()
        self.seen += 1
        return self.seen == COUNT

    def tells(self, total: int) -> bool:
        """Is this count told?"""
        told = total == AT
        self.told += told
        return told

    def say(self) -> None:
        cpu, wall = time.process_time() - self._cpu, time.perf_counter() - self._wall
        figures = {"per_core": self.seen / cpu, "per_second": self.seen / wall, "told": self.told}
        print(json.dumps(figures), file=sys.__stdout__, flush=True)  # Faust takes `sys.stdout` for its log
