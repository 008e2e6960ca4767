"""One worker of the restore benchmark, in a process of its own: the first one fills the log, the others open from it."""

from __future__ import annotations

import asyncio
import logging
import resource
import sys
import time
from typing import Any

from tests.bench.part import say
from tests.bench.throughput import KEYS
from tests.bench.working import opened, pipeline_of, until_read

from penstock.connectors.clock import MachineClock
from penstock.connectors.kafka import KafkaBroker
from penstock.connectors.kafka_settings import KafkaSettings
from penstock.operators.task import Task
from penstock.pipelines.torture_times import restored_ms
from penstock.pipelines.worker import Worker, WorkerOptions

BATCH = 2_000
PIPELINE = """
penstock: v1
name: restore
namespace: {topic}
sources:
  events: {{topic: {topic}, key: event.key, time: {{at: event.ts, unit: ms}}}}
context:
  window: {{last: {window}s, events: 100_000, tokens: 10_000_000}}
triggers:
  many: {{when: 'count(event.status == "failed", 60s) >= 20', cooldown: 5m, agent: none}}
"""


class Said(logging.Handler):
    """What the worker logs."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


async def play(bootstrap: str, topic: str, window: int, count: int) -> dict[str, Any]:
    """A worker from its start until it has read everything and has left; `seconds` and `cpu` until the task was open."""
    said, log = Said(), logging.getLogger("penstock.task")
    log.addHandler(said)
    log.setLevel(logging.INFO)
    pipeline = pipeline_of(PIPELINE.format(topic=topic, window=window))
    broker = KafkaBroker(pipeline.layout, KafkaSettings(bootstrap=bootstrap), topic)
    await broker.start()
    options = WorkerOptions(owner="bench", batch=BATCH)
    worker = Worker(pipeline.plan, pipeline.layout, broker, {}, MachineClock(), options)
    cpu = time.process_time()
    working = asyncio.create_task(worker.run())
    session = await opened(worker)
    cpu = time.process_time() - cpu
    await until_read(worker, session, topic, count)
    live = live_events(session.core)
    worker.stop()
    summary = await working
    await broker.close()
    (milliseconds,) = restored_ms(f"{line}\n" for line in said.lines)
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "seconds": milliseconds / 1_000, "cpu": cpu, "live": live, "megabytes": megabytes, "exit_code": summary.exit_code,
    }  # fmt: skip


def live_events(task: Task) -> int:
    """In the windows of all keys."""
    keys = [task.key(f"user-{number}") for number in range(KEYS)]
    return sum(key.context.view(key.now).events for key in keys if key is not None)


if __name__ == "__main__":
    bootstrap, topic, window, count = sys.argv[1:]
    say(play(bootstrap, topic, int(window), int(count)))
