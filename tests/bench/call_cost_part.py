"""The worker's process of the call cost benchmark: `cost` or `memory`."""

from __future__ import annotations

import asyncio
import gc
import re
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import orjson
import psutil
from tests.bench.part import say
from tests.bench.working import cpu_until_read, opened, pipeline_of, until_read

from penstock.connectors.clock import MachineClock
from penstock.connectors.embedded_broker import EmbeddedBroker
from penstock.connectors.memory import MemoryBroker, MemoryCluster
from penstock.connectors.sqlite import SqliteBroker
from penstock.pipelines.compile import Pipeline
from penstock.pipelines.endpoint import EndpointLimits
from penstock.pipelines.endpoints import opened_models
from penstock.pipelines.worker import Worker, WorkerOptions

PIPELINE = """
penstock: v1
name: calls
sources:
  events: {{topic: events, key: event.key}}
triggers:
  each: {{each: event.ask == true, agent: judge}}
models:
  small: {{base_url: "{base_url}", model: any, location: local, concurrency: {concurrency}}}
agents:
  judge:
    ask: What happened to {{{{ key }}}}?
    answer: {{verdict: {{enum: [good, bad]}}, why: {{type: string}}}}
    limits: {{time: 15m}}
"""
KEYS, CONCURRENCY = 200, 64
OPEN_POLL = 0.2
RUNNING = re.compile(r"^vllm:num_requests_running\{.*\} (\S+)$", re.MULTILINE)


class Ground:
    """A worker over an embedded broker, and the producer of its events."""

    def __init__(self, worker: Worker, broker: EmbeddedBroker) -> None:
        self.worker, self._broker = worker, broker
        self.produced = 0

    async def produce(self, keys: int, count: int, *, ask: bool) -> None:
        """So many events, spread over so many keys; `ask`: each of them asks the model."""
        for number in range(count):
            key = f"key-{number % keys}"
            value = {"id": self.produced, "key": key, "ask": ask, "message": "x" * 120}
            await self._broker.produce("events", key.encode(), orjson.dumps(value))
            self.produced += 1


@asynccontextmanager
async def ground(pipeline: Pipeline, broker: EmbeddedBroker) -> AsyncIterator[Ground]:
    await broker.create_topic("events", 1)
    await broker.start()
    async with opened_models(pipeline.models) as models:
        await models["small"].probe()  # loads the HTTP client, which is neither a call's nor a run's
        limits = {name: EndpointLimits(settings.concurrency) for name, settings in pipeline.models.items()}
        options = WorkerOptions(owner="bench", limits=limits, release_seconds=1.0)
        yield Ground(Worker(pipeline.plan, pipeline.layout, broker, models, MachineClock(), options), broker)
    await broker.close()


async def cost(base_url: str, calls: int) -> dict[str, Any]:
    """CPU of this process per call, from the first fetch until every final is committed."""
    pipeline = pipeline_of(PIPELINE.format(base_url=base_url, concurrency=CONCURRENCY))
    broker = MemoryBroker(MemoryCluster(MachineClock()), pipeline.layout, "bench")
    async with ground(pipeline, broker) as it:
        await it.produce(KEYS, calls, ask=True)
        working = asyncio.create_task(it.worker.run())
        cpu, wall = await cpu_until_read(it.worker, "events", calls)
        it.worker.stop()
        ledger = (await working).ledgers["small"]
    return {
        "cpu_ms": 1000 * cpu / calls,
        "calls_per_second": calls / wall,
        "answered": ledger.answered,
        "output_tokens_per_call": ledger.output_tokens / calls,
        "input_tokens_per_call": ledger.input_tokens / calls,
    }


async def memory(base_url: str, runs: int) -> dict[str, Any]:
    """Resident memory with one run in flight per key, beyond what the same keys hold without one.

    Every key gets three events. The second one shows what an event adds to a key; the third one asks. The topics are in a
    file: in memory they would count as ours.
    """
    pipeline = pipeline_of(PIPELINE.format(base_url=base_url, concurrency=runs))
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        broker = SqliteBroker(Path(folder) / "bench.db", pipeline.layout, "bench", MachineClock())
        it = await stack.enter_async_context(ground(pipeline, broker))
        working = asyncio.create_task(it.worker.run())
        resident: list[int] = []
        for _ in range(2):
            await it.produce(runs, runs, ask=False)
            await until_read(it.worker, await opened(it.worker), "events", it.produced)
            resident.append(_resident())
        await it.produce(runs, runs, ask=True)
        await _all_in_flight(it.worker, base_url, runs)
        resident.append(_resident())
        it.worker.stop()
        await working
    without, with_one_event_more, in_flight = resident
    grown = in_flight - with_one_event_more - (with_one_event_more - without)
    return {"kb_per_run": grown / runs / 1024, "runs": runs, "resident_mb": [each / 2**20 for each in resident]}


async def _all_in_flight(worker: Worker, base_url: str, runs: int) -> None:
    """Every run is committed as open, and the server has begun to work on it."""
    session = await opened(worker)
    while session.core.open_runs < runs or session.core.dirty or await _running(base_url) < runs:  # noqa: ASYNC110 - another process cannot set an event
        await asyncio.sleep(OPEN_POLL)


async def _running(base_url: str) -> float:
    """Requests that the server works on, by its metrics."""
    with await asyncio.to_thread(urlopen, base_url.removesuffix("/v1") + "/metrics") as answer:
        found = RUNNING.search(answer.read().decode())
    return float(found[1]) if found else 0.0


def _resident() -> int:
    gc.collect()
    return int(psutil.Process().memory_info().rss)


PARTS: dict[str, Callable[[str, int], Coroutine[Any, Any, dict[str, Any]]]] = {"cost": cost, "memory": memory}


if __name__ == "__main__":
    part, base_url, count = sys.argv[1:]
    say(PARTS[part](base_url, int(count)))
