"""One process of the scale benchmark: says when it has its share of the partitions, and when it has read and committed them."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from typing import Any

from tests.bench.part import say, say_at_once
from tests.bench.working import pipeline_named

from penstock.connectors.clock import MachineClock
from penstock.connectors.kafka import KafkaBroker
from penstock.connectors.kafka_settings import KafkaSettings
from penstock.pipelines.run import Session
from penstock.pipelines.worker import Worker, WorkerOptions

BATCH = 2_000
POLL = 0.005


async def work(bootstrap: str, topic: str, owner: str, share: int, ends: Sequence[int]) -> dict[str, Any]:
    """`ends` are the numbers of records of all partitions; `share` of them are read here. Ends when its standard input does."""
    pipeline = pipeline_named("one", topic=topic, namespace=topic)
    broker = KafkaBroker(pipeline.layout, KafkaSettings(bootstrap=bootstrap), owner)
    await broker.start()
    worker = Worker(pipeline.plan, pipeline.layout, broker, {}, MachineClock(), WorkerOptions(owner=owner, batch=BATCH))
    working = asyncio.create_task(worker.run())
    while len(_open(worker)) != share:  # noqa: ASYNC110 - a worker has no event for that
        await asyncio.sleep(POLL)
    say_at_once({"open": share})
    cpu = time.process_time()
    while len(_open(worker)) != share or not all(_has_read(session, topic, ends) for session in _open(worker)):  # noqa: ASYNC110
        await asyncio.sleep(POLL)
    read = sum(session.core.counters["events", "events"] for session in _open(worker))
    say_at_once({"cpu": time.process_time() - cpu, "read": read})
    await asyncio.to_thread(sys.stdin.read)
    worker.stop()
    summary = await working
    await broker.close()
    return {"exit_code": summary.exit_code}


def _open(worker: Worker) -> list[Session]:
    sessions = [keeper.session for keeper in worker.keepers]
    return [session for session in sessions if session is not None and session.working_since is not None]


def _has_read(session: Session, topic: str, ends: Sequence[int]) -> bool:
    """And has committed it."""
    progress = session.progress.get(topic)
    return (
        progress is not None and progress.position >= ends[session.core.partition] and session.quiet_since is not None
    )


if __name__ == "__main__":
    bootstrap, topic, owner, share, *ends = sys.argv[1:]
    say(work(bootstrap, topic, owner, int(share), [*map(int, ends)]))
