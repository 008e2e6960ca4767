"""From an event's production to its final in the hands of a committed reader, beside one bare transaction of one record.

Both are measured in turns, one at a time with a pause between, by the same kind of reader on the same broker. The model is
scripted and answers at once: what is left is the broker's and ours.
"""

from __future__ import annotations

import os

from tests.bench.figure import CannotRun, Figure, quantile
from tests.bench.part import run_part
from tests.kafka_cluster import any_kafka

from penstock.pipelines.torture_kafka import NoKafka

SAMPLES, SAMPLES_QUICK = 300, 40


def run(quick: bool) -> Figure:
    """Raises CannotRun where there is no Kafka."""
    try:
        with any_kafka() as kafka:
            name = f"bench-{os.getpid()}"
            samples = run_part("latency_part", kafka.bootstrap, name, SAMPLES_QUICK if quick else SAMPLES)
    except NoKafka as error:
        raise CannotRun(str(error)) from error
    ours, raw = _quantiles(samples["ours"]), _quantiles(samples["raw"])
    p50_max, p99_max = 2 * raw["p50"] + 5, 3 * raw["p99"] + 10
    return Figure(
        bench="latency",
        ours=ours["p50"],
        other=raw["p50"],
        unit="ms, median",
        target="p50 <= 2 x a bare transaction + 5 ms, p99 <= 3 x + 10 ms",
        ok=ours["p50"] <= p50_max and ours["p99"] <= p99_max,
        detail={
            "samples": len(samples["ours"]), "ours": ours, "bare_transaction": raw,
            "p50_max": p50_max, "p99_max": p99_max,
        },
    )  # fmt: skip


def _quantiles(values: list[float]) -> dict[str, float]:
    shares = {"min": 0.0, "p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
    return {name: quantile(values, share) for name, share in shares.items()}
