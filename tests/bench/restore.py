"""How long a task takes to be open again, from Kafka, and whether that depends on what is alive or on what ever was.

One partition, 1,000 keys, events of about 190 bytes, a context window per key that holds all of them; then a tenth of it, once
with nothing before it, and once with ten times as many events that have left the window.
"""

from __future__ import annotations

import os
from typing import Any

from tests.bench.figure import CannotRun, Figure, middle
from tests.bench.part import run_part
from tests.bench.throughput import STEP_MS, produce
from tests.kafka_cluster import any_kafka

from penstock.pipelines.torture_kafka import NoKafka

LIVE, LIVE_QUICK, ROUNDS = 1_000_000, 100_000, 3
HISTORY = 10
SECONDS_MAX, GROWTH_MAX = 5.0, 3.0


def run(quick: bool) -> Figure:
    """Raises CannotRun where there is no Kafka."""
    live = LIVE_QUICK if quick else LIVE
    part = live // HISTORY
    try:
        with any_kafka() as kafka:
            whole = _restored(kafka.bootstrap, "whole", live, live)
            young = _restored(kafka.bootstrap, "young", part, part)
            old = _restored(kafka.bootstrap, "old", part, live)
    except NoKafka as error:
        raise CannotRun(str(error)) from error
    seconds = middle([each["seconds"] for each in whole])
    growth = middle([each["cpu"] for each in old]) / middle([each["cpu"] for each in young])
    return Figure(
        "restore",
        seconds,
        None,
        "s",
        f"<= {SECONDS_MAX:g} s for {LIVE:,} live events, and <= {GROWTH_MAX:g} times the CPU time after ten times the history",
        ok=seconds <= SECONDS_MAX and growth <= GROWTH_MAX,
        detail={"growth": growth, "whole": whole, "young": young, "old": old},
    )


def _restored(bootstrap: str, name: str, live: int, count: int) -> list[dict[str, Any]]:
    """Openings of a task that has read `count` events, of which `live` are in its windows."""
    topic, window = f"bench-{os.getpid()}-{name}", live * STEP_MS // 1_000
    produce(bootstrap, topic, count)
    return [run_part("restore_part", bootstrap, topic, window, count) for _ in range(1 + ROUNDS)][1:]
