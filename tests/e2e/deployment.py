"""The ssh example under a name of its own, and what it says when nothing disturbs it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from random import Random

from tests.e2e.ledger import Ledger, Told
from tests.e2e.ssh_stream import Written
from tests.virtual_time import VirtualClock, run_virtually

from penstock.connectors.memory import MemoryBroker, MemoryCluster
from penstock.connectors.port import Broker
from penstock.connectors.scripted import ScriptedModel
from penstock.operators.event import ChatRequest
from penstock.operators.record import Raw
from penstock.pipelines.compile import Pipeline, compile_pipeline
from penstock.pipelines.fake_answer import simulated_answer
from penstock.pipelines.load import load_pipeline
from penstock.pipelines.worker import Worker, WorkerOptions

EXAMPLE = Path(__file__).resolve().parents[2] / "pipelines" / "examples" / "ssh_watch.yaml"
PARTITIONS = 3


@dataclass(frozen=True)
class Deployment:
    """`name` is its namespace and begins the names of its output topics. Run ids follow from `source`, its input topic."""

    name: str
    source: str
    sets: tuple[str, ...] = ()

    @property
    def results(self) -> str:
        return f"{self.name}.results"

    @property
    def partials(self) -> str:
        return f"{self.name}.partials"

    @property
    def dead(self) -> str:
        return f"{self.name}.dead"

    @property
    def settings(self) -> tuple[str, ...]:
        """Values for `--set`."""
        return (
            f"namespace={self.name}",
            f"sources.auth.topic={self.source}",
            f"outputs.results={self.results}",
            f"outputs.partials.topic={self.partials}",
            f"outputs.partials.preview={self.name}.previews",
            f"outputs.dead={self.dead}",
            *self.sets,
        )

    @cached_property
    def pipeline(self) -> Pipeline:
        return compile_pipeline(load_pipeline([EXAMPLE], sets=self.settings, environ={}))


def undisturbed(source: str, stream: Sequence[Written]) -> dict[Told, str]:
    """What has to be told of this stream, wherever and however it is worked on: one process, in memory."""
    return told_in_memory(source, stream, workers=1, batch=2000).told()


def told_in_memory(source: str, stream: Sequence[Written], *, workers: int, batch: int) -> Ledger:
    """The whole ledger of so many workers over one cluster in memory, in virtual time."""
    return run_virtually(_played(Deployment("memory", source), stream, workers, batch))


async def _played(deployment: Deployment, stream: Sequence[Written], workers: int, batch: int) -> Ledger:
    clock = VirtualClock()
    cluster, layout = MemoryCluster(clock), deployment.pipeline.layout
    front = MemoryBroker(cluster, layout, "front")
    await front.create_topic(deployment.source, PARTITIONS)
    for record in stream:
        await front.produce(deployment.source, *record)
    brokers = [MemoryBroker(cluster, layout, f"worker-{number}") for number in range(workers)]
    for broker in brokers:
        await broker.start()
    summaries = await asyncio.gather(*(_worker(deployment.pipeline, broker, clock, batch).run() for broker in brokers))
    assert [summary.exit_code for summary in summaries] == [0] * workers, summaries
    return await ledger_of(front, deployment)


def _worker(pipeline: Pipeline, broker: Broker, clock: VirtualClock, batch: int) -> Worker:
    models = {name: ScriptedModel(_answer, seconds_per_piece=0.02, sleep=clock.sleep) for name in pipeline.models}
    options = WorkerOptions(owner="worker", until_idle=2.0, batch=batch)
    return Worker(pipeline.plan, pipeline.layout, broker, models, clock, options, Random(7))


def _answer(request: ChatRequest) -> str:
    """What the simulated server says to this request."""
    return simulated_answer(request.messages, request.schema)


async def ledger_of(broker: Broker, deployment: Deployment) -> Ledger:
    """Read through the port, as committed."""
    return Ledger(
        await _read(broker, deployment.results),
        await _read(broker, deployment.partials),
        await _read(broker, deployment.dead),
    )


async def _read(broker: Broker, topic: str) -> list[Raw]:
    found: list[Raw] = []
    for partition in range(PARTITIONS):
        found += [raw async for raw in broker.read(topic, partition, 0)]
    return found
