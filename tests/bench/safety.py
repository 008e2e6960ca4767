"""What exactly-once costs: the worker of the throughput benchmark, beside itself without transactions.

Both read, decide and write the same; the other one writes its log and its results without a transaction, waits for the brokers
to acknowledge them, and reads what is not committed. CPU time of the reading process, in turns.
"""

from __future__ import annotations

import os

from tests.bench.figure import CannotRun, Figure, middle
from tests.bench.part import run_part
from tests.bench.throughput import EVENTS, EVENTS_QUICK, ROUNDS, produce
from tests.kafka_cluster import any_kafka

from penstock.pipelines.torture_kafka import NoKafka

RATIO_MIN = 0.8


def run(quick: bool) -> Figure:
    """Raises CannotRun where there is no Kafka."""
    count, topic = EVENTS_QUICK if quick else EVENTS, f"bench-{os.getpid()}-safety"
    try:
        with any_kafka() as kafka:
            produce(kafka.bootstrap, topic, count)
            rounds = [
                {part: run_part("throughput_part", part, kafka.bootstrap, topic, count) for part in ("unsafe", "ours")}
                for _ in range(ROUNDS)
            ]
    except NoKafka as error:
        raise CannotRun(str(error)) from error
    ours, unsafe = (middle([each[part]["per_core"] for each in rounds]) for part in ("ours", "unsafe"))
    ratio = middle([each["ours"]["per_core"] / each["unsafe"]["per_core"] for each in rounds])
    return Figure(
        bench="safety",
        ours=ours,
        other=unsafe,
        ratio=ratio,
        unit="events/s per core",
        target=f">= {RATIO_MIN:g} of the same worker without transactions",
        ok=ratio >= RATIO_MIN,
        detail={"rounds": rounds},
    )
