"""One reading of the keys benchmark: `idle` (memory) or `busy` (time), with so many keys."""

from __future__ import annotations

import gc
import sys
from typing import Any

import psutil
from tests.bench.core import TOPIC, Fed, batches
from tests.bench.part import say_at_once
from tests.bench.throughput import BEGINNING_MS, events, one_each, sample
from tests.bench.working import pipeline_named

from penstock.pipelines.collector import spare_collector

EVENTS = 100_000
HOUR = 3_600_000


def idle(keys: int) -> dict[str, Any]:
    """Resident memory that so many keys added, an hour after the only event of each."""
    fed = Fed(pipeline_named("one", topic=TOPIC).plan)
    fed.feed(batches(one_each(1_000)))
    before = _resident()
    fed.feed(batches(one_each(keys)))
    fed.feed(batches([sample(0, "user-0", BEGINNING_MS + HOUR, 0.0, failed=False, device=0)]))
    grown = _resident() - before
    (line,) = {len(each.value) for each in one_each(1)}
    return {"bytes_per_key": grown / (keys - 1_000), "bytes_of_line": line, "keys": fed.task.keys}


def busy(keys: int) -> dict[str, Any]:
    """Events of random keys, each of which has had one and has its windows open."""
    fed = Fed(pipeline_named("windows", topic=TOPIC).plan)
    fed.feed(batches(one_each(keys)))
    grown, fetched = _resident(), list(batches(events(EVENTS, keys)))
    spare_collector()
    return {"per_core": EVENTS / fed.feed(fetched), "keys": fed.task.keys, "resident_mb": grown / 2**20}


def _resident() -> int:
    gc.collect()
    return int(psutil.Process().memory_info().rss)


PARTS = {"idle": idle, "busy": busy}


if __name__ == "__main__":
    part, keys = sys.argv[1:]
    spare_collector()
    say_at_once(PARTS[part](int(keys)))
