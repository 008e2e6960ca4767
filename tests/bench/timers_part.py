"""One reading of the timers benchmark: the timers `alone`, or the core with a pipeline, `waits` or `silence`."""

from __future__ import annotations

import sys
import time
from collections import Counter
from random import Random
from typing import Any

from tests.bench.core import TOPIC, Fed, batches
from tests.bench.part import say_at_once
from tests.bench.throughput import BEGINNING_MS, one_each, sample
from tests.bench.working import pipeline_named

from penstock.operators.key_table import KeyTable
from penstock.operators.key_timers import KeyTimers
from penstock.pipelines.collector import spare_collector

DAY = 86_400_000
ALONE = "alone"


def of_timers(keys: int) -> dict[str, Any]:
    table, at = KeyTable(pipeline_named("waits", topic=TOPIC).plan, None, Counter()), list(range(keys))
    states = {name: table.get_or_new(name) for name in (f"user-{number}" for number in range(keys))}
    Random(1).shuffle(at)
    timers = KeyTimers(states)
    spare_collector()
    began = time.process_time()
    for key, instant in zip(table, at, strict=True):
        timers.set(key, instant)
    set_at = time.process_time()
    while timers.take(keys) is not None:
        pass
    return _figures(keys, set_at - began, time.process_time() - set_at)


def of_core(name: str, keys: int) -> dict[str, Any]:
    without, fed = (Fed(pipeline_named(name, topic=TOPIC).plan) for _ in range(2))
    spare_collector()
    base = without.feed(batches(one_each(keys, failed=False)))  # both make their events as they go
    del without
    seconds = fed.feed(batches(one_each(keys, failed=True))) - base
    later = list(batches([sample(0, "user-0", BEGINNING_MS + DAY, 0.0, failed=False, device=0)]))
    up = fed.feed(later)
    return {**_figures(keys, seconds, up), "fired": fed.fired}


def _figures(timers: int, seconds_set: float, seconds_up: float) -> dict[str, Any]:
    return {"set_us": 1e6 * seconds_set / timers, "up_us": 1e6 * seconds_up / timers}


if __name__ == "__main__":
    name, keys = sys.argv[1:]
    say_at_once(of_timers(int(keys)) if name == ALONE else of_core(name, int(keys)))
