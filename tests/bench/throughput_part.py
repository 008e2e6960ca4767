"""One reading of the events of `throughput` in a process of its own: `floor`, `unsafe`, or the worker with a pipeline."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition
from tests.bench.part import say
from tests.bench.unsafe import UnsafeClients
from tests.bench.working import cpu_until_read, pipeline_named

from penstock.connectors.clock import MachineClock
from penstock.connectors.kafka import KafkaBroker
from penstock.connectors.kafka_client import KafkaClients
from penstock.connectors.kafka_settings import KafkaSettings
from penstock.pipelines.worker import Worker, WorkerOptions

BATCH = 2_000
Part = Callable[[str, str, int], Coroutine[Any, Any, dict[str, Any]]]
"""(bootstrap, topic, number of events) to figures."""


async def floor(bootstrap: str, topic: str, count: int) -> dict[str, Any]:
    """Reading and parsing every record, with the fetch settings of our own consumers."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, isolation_level="read_committed", enable_auto_commit=False,
        max_partition_fetch_bytes=4 << 20, fetch_max_wait_ms=250,
    )  # fmt: skip
    await consumer.start()
    partition = TopicPartition(topic, 0)
    consumer.assign([partition])
    consumer.seek(partition, 0)
    cpu, wall, seen = time.process_time(), time.perf_counter(), 0
    while seen < count:
        for records in (await consumer.getmany(timeout_ms=500, max_records=BATCH)).values():
            for record in records:
                orjson.loads(record.value or b"null")
            seen += len(records)
    figures = _figures(count, time.process_time() - cpu, time.perf_counter() - wall)
    await consumer.stop()
    return figures


async def ours(bootstrap: str, topic: str, count: int) -> dict[str, Any]:
    """The whole worker, from its first fetch until everything is read and committed."""
    return await _worked(KafkaClients, "one", bootstrap, topic, count)


async def unsafe(bootstrap: str, topic: str, count: int) -> dict[str, Any]:
    """As `ours`, without transactions."""
    return await _worked(UnsafeClients, "one", bootstrap, topic, count)


def with_pipeline(name: str) -> Part:
    """As `ours`, with another pipeline."""
    return partial(_worked, KafkaClients, name)


async def _worked(clients: type[KafkaClients], name: str, bootstrap: str, topic: str, count: int) -> dict[str, Any]:
    pipeline = pipeline_named(name, topic=topic, namespace=f"bench-{os.getpid()}")
    settings, group = KafkaSettings(bootstrap=bootstrap), f"bench-{os.getpid()}"
    broker = KafkaBroker(pipeline.layout, settings, group, clients=clients(settings, group))
    await broker.start()
    options = WorkerOptions(owner="bench", batch=BATCH)
    worker = Worker(pipeline.plan, pipeline.layout, broker, {}, MachineClock(), options)
    working = asyncio.create_task(worker.run())
    cpu, wall = await cpu_until_read(worker, topic, count)
    worker.stop()
    summary = await working
    await broker.close()
    counts = {" ".join(name): number for name, number in summary.counts.items()}
    return {**_figures(count, cpu, wall), "counts": counts, "exit_code": summary.exit_code}


def _figures(count: int, cpu: float, wall: float) -> dict[str, Any]:
    return {"per_core": count / cpu, "per_second": count / wall, "microseconds": 1e6 * cpu / count}


PARTS: dict[str, Part] = {
    "floor": floor,
    "ours": ours,
    "unsafe": unsafe,
    **{name: with_pipeline(name) for name in ("kinds", "count", "sum")},
}


if __name__ == "__main__":
    part, bootstrap, topic, count = sys.argv[1:]
    say(PARTS[part](bootstrap, topic, int(count)))
