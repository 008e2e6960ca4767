"""A pipeline whose source is partitioned at random, in memory: all stages in each process, virtual time, faults as input."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from random import Random
from typing import Any, NamedTuple

from tests.stage import compiled
from tests.virtual_time import BEGINNING_MS, VirtualClock

from penstock.connectors.embedded_store import Write
from penstock.connectors.memory import CommitStep, MemoryBroker, MemoryCluster
from penstock.connectors.partition import partition_of
from penstock.connectors.port import Layout
from penstock.operators.record import Raw
from penstock.pipelines.rekeying import Stage, run_all, staged
from penstock.pipelines.worker import Summary, Worker, WorkerOptions

REKEYED = """
penstock: v1
name: watch
sources:
  auth:
    topic: auth
    key: event.host
    rekey: true
    time: {at: event.t, unit: ms}
    watermark: {delay: 1m, idle: never, lateness: 1h, ahead: 100d}
    ignore: event.outcome == "ping"
triggers:
  failed: {each: event.outcome == "failed", agent: none}
  twice:
    sequence:
      - {as: a, where: event.outcome == "failed"}
      - {as: b, where: event.outcome == "odd"}
    within: 10m
    agent: none
  silent: {absence: event.outcome == "ok", for: 2m, agent: none}
  often: {every: 5m, agent: none}
"""
"""None of its firings depends on the order in which records of several partitions come: within the delay they may."""
KEYED = REKEYED.replace("rekey: true", "rekey: false")


Story = list[tuple[Any, ...]]

NEVER_IDLE = {"until_idle": None}


class Login(NamedTuple):
    host: str
    outcome: str
    time: int
    """ms"""

    @property
    def value(self) -> bytes:
        return json.dumps({"host": self.host, "outcome": self.outcome, "t": self.time}).encode()


def logins(seed: int, number: int, hosts: int = 5) -> list[Login]:
    """Seven seconds lie between two of them, more or less."""
    random = Random(seed)
    outcomes = random.choices(["ok", "failed", "odd", "ping"], weights=[6, 3, 3, 2], k=number)
    return [
        Login(f"host-{random.randrange(hosts)}", outcome, BEGINNING_MS + 7000 * index + random.randrange(5000))
        for index, outcome in enumerate(outcomes)
    ]


async def keyed_story(events: Sequence[Login], partitions: int = 3) -> Story:
    """What the same events make happen in a topic that is partitioned as it should be."""
    keyed = await RekeyedStage(KEYED, partitions=partitions).open()
    await keyed.produce(events, seed=None)
    await keyed.play()
    return await keyed.story()


class RekeyedStage:
    """One cluster with the topic of one source, and any number of processes."""

    def __init__(self, text: str = REKEYED, *, partitions: int = 3, steps: Iterable[CommitStep] = ()) -> None:
        self.stages = staged(compiled(text))
        self.clock = VirtualClock()
        self.cluster = MemoryCluster(self.clock, steps)
        self._partitions, self._members = partitions, 0

    async def open(self) -> RekeyedStage:
        await self.cluster.create_topic("auth", self._partitions)
        return self

    async def produce(self, events: Sequence[Login], seed: int | None = 1, seconds_apart: float = 0.0) -> None:
        """Each to a partition of its own choice; `seed` None: to that of its host."""
        random = Random(seed)
        for event in events:
            key = event.host.encode()
            place = partition_of(key, self._partitions) if seed is None else random.randrange(self._partitions)
            await self.put(event, place)
            if seconds_apart:
                await self.clock.sleep(seconds_apart)
        await self.close_time(events[-1].time)

    async def close_time(self, time: int) -> None:
        for place, event in enumerate(closing(time, self._partitions)):
            await self.put(event, place)

    async def put(self, event: Login, partition: int) -> None:
        await self.cluster.append(Write("auth", partition, None, event.value, (("x", b"y"),), event.time))

    async def play(self, **options: Any) -> Summary:
        """One process from its beginning to its end: when nothing was left to do for some seconds."""
        self._members += 1
        main, *first = [await self._worker(stage, options) for stage in (self.stages.main, *self.stages.first)]
        return await run_all(main, first)

    async def _worker(self, stage: Stage, options: dict[str, Any]) -> Worker:
        broker = MemoryBroker(self.cluster, stage.layout, f"worker-{self._members}")
        await broker.start()
        is_main = stage is self.stages.main
        settings = WorkerOptions(
            **{"owner": f"process-{self._members}", "until_idle": 5.0, **options, **({} if is_main else NEVER_IDLE)}
        )
        return Worker(stage.plan, stage.layout, broker, {}, self.clock, settings, Random(5))

    async def records(self, topic: str) -> list[Any]:
        """What a committed reader finds on a topic, partition by partition."""
        front = MemoryBroker(self.cluster, self.layout, "reader")
        partitions = await front.partitions(topic) or 0
        return [raw for partition in range(partitions) async for raw in front.read(topic, partition, 0)]

    @property
    def layout(self) -> Layout:
        return self.stages.main.layout

    async def results(self) -> list[dict[str, Any]]:
        raws = await self.records(self.stages.main.plan.results.results)
        return [json.loads(raw.value) for raw in raws]

    async def story(self, *topics: str) -> Story:
        return story_of(await self.results(), [raw for each in topics or ["auth"] for raw in await self.records(each)])


def closing(time: int, partitions: int) -> Iterator[Login]:
    """One more event for every partition, an hour later: what was due until then is due, and nothing else. The host of each
    belongs into its partition."""
    for place in range(partitions):
        hosts = (f"closer-{number}" for number in count())
        host = next(host for host in hosts if partition_of(host.encode(), partitions) == place)
        yield Login(host, "ok", time + 3_600_000)


def story_of(results: Iterable[dict[str, Any]], source: Iterable[Raw]) -> Story:
    """What happened and which record made it happen, by its content: it lies elsewhere in another topic."""
    value_of = {f"{raw.topic}/{raw.partition}@{raw.offset}": (raw.value or b"").decode() for raw in source}
    found = []
    for each in results:
        cause, episode = each["why"]["fired_by"], each["episode"] or {}
        told = cause if cause.startswith("timer") else value_of[cause]
        found.append((*each["triggers"], each["key"], each["state"], told, str(episode.get("ends_at"))))
    return sorted(found)
