"""One reading of the in-process benchmark: `sliding` or `tumbling`, by `ours` or by the `bare` loop."""

from __future__ import annotations

import sys
import time
from typing import Any

from tests.bench import bare
from tests.bench.core import TOPIC, Fed, batches
from tests.bench.part import say_at_once
from tests.bench.throughput import events
from tests.bench.working import pipeline_named

from penstock.pipelines.collector import spare_collector

BARE = {"sliding": bare.sliding, "tumbling": bare.tumbling}


def by_loop(shape: str, count: int) -> dict[str, Any]:
    values = [sample.value for sample in events(count)]
    spare_collector()
    began = time.process_time()
    fired = BARE[shape](values)
    return {"per_core": count / (time.process_time() - began), "fired": fired}


def ours(shape: str, count: int) -> dict[str, Any]:
    fed, fetched = Fed(pipeline_named(shape, topic=TOPIC).plan), list(batches(events(count)))
    spare_collector()
    seconds = fed.feed(fetched)
    return {"per_core": count / seconds, "fired": fed.fired}


if __name__ == "__main__":
    shape, who, count = sys.argv[1:]
    say_at_once(by_loop(shape, int(count)) if who == "bare" else ours(shape, int(count)))
