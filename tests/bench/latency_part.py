"""The process of the latency benchmark: a worker, a producer, two readers, and a transactional producer to compare with."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from random import Random
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from tests.bench.part import say
from tests.bench.working import opened, pipeline_of

from penstock.connectors.clock import MachineClock
from penstock.connectors.kafka import KafkaBroker
from penstock.connectors.kafka_settings import KafkaSettings
from penstock.connectors.scripted import ScriptedModel
from penstock.pipelines.worker import Worker, WorkerOptions

PIPELINE = """
penstock: v1
name: latency
namespace: {name}
sources:
  events: {{topic: {name}.events, key: event.key}}
triggers:
  each: {{each: event.ask == true, agent: judge}}
models:
  small: {{base_url: "http://127.0.0.1:9/v1", model: scripted}}
agents:
  judge:
    ask: What happened to {{{{ key }}}}?
    answer: {{verdict: {{enum: [good, bad]}}, why: {{type: string}}}}
outputs: {{results: {name}.results}}
"""
ANSWER = '{"verdict": "good", "why": "nothing speaks against it"}'
WARM_UP = 20
PAUSE = (0.030, 0.060)
"""Seconds between two samples: each begins with a broker and a worker at rest."""
SEEN_SECONDS_MAX = 30.0


class Reader:
    """A committed reader of one partition that tells when the record of a key arrived."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=bootstrap, isolation_level="read_committed", enable_auto_commit=False,
            auto_offset_reset="earliest",
        )  # fmt: skip
        self._partition = TopicPartition(topic, 0)
        self._awaited: dict[bytes, asyncio.Future[float]] = {}

    async def __aenter__(self) -> Reader:
        await self._consumer.start()
        self._consumer.assign([self._partition])
        await self._consumer.seek_to_beginning(self._partition)
        self._reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)
        await self._consumer.stop()

    async def _read(self) -> None:
        async for record in self._consumer:
            awaited = self._awaited.pop(record.key or b"", None)
            if awaited is not None:
                awaited.set_result(time.perf_counter())

    async def milliseconds(self, key: bytes, act: Callable[[], Awaitable[object]]) -> float:
        """From the beginning of `act` until the record that it leads to was read."""
        self._awaited[key] = awaited = asyncio.get_running_loop().create_future()
        began = time.perf_counter()
        await act()
        async with asyncio.timeout(SEEN_SECONDS_MAX):
            return 1000 * float(await awaited - began)


async def measure(bootstrap: str, name: str, samples: int) -> dict[str, Any]:
    """Milliseconds of every sample, ours and the bare transaction's."""
    events, raw, results = (f"{name}.{topic}" for topic in ("events", "raw", "results"))
    async with AsyncExitStack() as stack:
        await _create(bootstrap, events, raw)
        await _working(stack, bootstrap, name)
        producer, transactional = await _producers(stack, bootstrap, name)
        finals = await stack.enter_async_context(Reader(bootstrap, results))
        commits = await stack.enter_async_context(Reader(bootstrap, raw))
        random = Random(1)
        measured: dict[str, Any] = {"ours": [], "raw": []}
        for number in range(WARM_UP + samples):
            key = b"key-%d" % number
            value = orjson.dumps({"key": key.decode(), "ask": True, "message": "x" * 100})
            measured["ours"].append(await finals.milliseconds(key, _send(producer, events, key, value)))
            await asyncio.sleep(random.uniform(*PAUSE))
            measured["raw"].append(await commits.milliseconds(key, _transact(transactional, raw, key, value)))
            await asyncio.sleep(random.uniform(*PAUSE))
    return {which: values[WARM_UP:] for which, values in measured.items()}


async def _create(bootstrap: str, *topics: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(topic, 1, 1) for topic in topics])
    await admin.close()


async def _working(stack: AsyncExitStack, bootstrap: str, name: str) -> None:
    """A worker that takes in records, until the stack is left."""
    pipeline = pipeline_of(PIPELINE.format(name=name))
    broker = KafkaBroker(pipeline.layout, KafkaSettings(bootstrap=bootstrap), name)
    await broker.start()
    stack.push_async_callback(broker.close)
    model = ScriptedModel(lambda _: ANSWER)
    options = WorkerOptions(owner=name)
    worker = Worker(pipeline.plan, pipeline.layout, broker, {"small": model}, MachineClock(), options)
    working = asyncio.create_task(worker.run())

    async def stop() -> None:
        worker.stop()
        await working

    stack.push_async_callback(stop)
    await opened(worker)


async def _producers(stack: AsyncExitStack, bootstrap: str, name: str) -> tuple[AIOKafkaProducer, AIOKafkaProducer]:
    """A plain one for events, and a transactional one with the settings of the worker's own."""
    plain = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", linger_ms=0)
    transactional = AIOKafkaProducer(
        bootstrap_servers=bootstrap, acks="all", linger_ms=0, transactional_id=f"{name}-raw"
    )
    for producer in (plain, transactional):
        await producer.start()
        stack.push_async_callback(producer.stop)
    return plain, transactional


def _send(producer: AIOKafkaProducer, topic: str, key: bytes, value: bytes) -> Callable[[], Awaitable[object]]:
    async def send() -> None:
        await producer.send(topic, value, key, 0)

    return send


def _transact(producer: AIOKafkaProducer, topic: str, key: bytes, value: bytes) -> Callable[[], Awaitable[object]]:
    async def transact() -> None:
        await producer.begin_transaction()
        await producer.send_and_wait(topic, value, key, 0)
        await producer.commit_transaction()

    return transact


if __name__ == "__main__":
    bootstrap, name, samples = sys.argv[1:]
    say(measure(bootstrap, name, int(samples)))
