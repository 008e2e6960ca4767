"""A whole deployment in one simulated run: brokers, worker processes with the real engine, events, and what goes wrong.

    feed ──▶ input topic ──▶ worker a ┐                            ┌──▶ results ──▶ read at the end, committed records only
                             worker b ├─ KafkaBroker ─ port ─ simulated cluster
                             worker c ┘        ▲
                                               └── kills, stops, crashes of brokers, lost and late requests, by the seed

`World(Story(seed=…)).play()` is a function of the story. What is compared between runs is what was told: runs and answers.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from functools import cache
from random import Random
from typing import Any
from zlib import crc32

import msgspec
from aiokafka.structs import TopicPartition
from tests.simulation.clients import SimulatedClients
from tests.simulation.cluster import Cluster
from tests.simulation.loop import Process, SimulatedClock, SimulatedLoop
from tests.simulation.messages import Sent
from tests.simulation.network import Chances, Network
from tests.simulation.settings import BrokerSettings
from tests.stage import WATCH, Told, compiled, logins
from tests.virtual_time import BEGINNING_MS

from penstock.connectors.kafka import KafkaBroker
from penstock.connectors.kafka_port import Clients
from penstock.connectors.kafka_settings import KafkaSettings
from penstock.connectors.partition import partition_of
from penstock.connectors.scripted import ScriptedModel
from penstock.operators.error import Unreachable
from penstock.operators.event import ChatRequest
from penstock.pipelines.worker import Summary, Worker, WorkerOptions

INPUT = "auth"
CALM_SECONDS = 120.0
"""So long after the last fault everything has to be done."""
RESTART_SECONDS = 0.5
PIECE_SECONDS = 0.05
LINE = "x" * 100


@dataclass(frozen=True, slots=True)
class Faults:
    """How many of each happen within the first `seconds`, at times and to victims that the seed decides."""

    kills: int = 0
    stops: int = 0
    broker_crashes: int = 0
    chances: Chances | None = None
    seconds: float = 10.0


@dataclass(frozen=True, slots=True)
class Story:
    """`events` come one by one, within about `feeding` seconds."""

    seed: int
    workers: int = 3
    partitions: int = 4
    events: int = 60
    feeding: float = 3.0
    faults: Faults = field(default_factory=Faults)
    brokers: BrokerSettings = field(default_factory=BrokerSettings)
    pipeline: str = WATCH


class Machine:
    """One place where a worker runs; whenever its process has ended, another is started."""

    def __init__(self, world: World, name: str) -> None:
        self._world, self._name = world, name
        self.process: Process | None = None
        self.worker: Worker | None = None
        self.starts = 0
        self.summaries: list[Summary] = []

    def start(self) -> None:
        self.starts += 1
        world, name = self._world, f"{self._name}.{self.starts}"
        self.worker = None
        self.process = world.loop.process(name)
        world.loop.spawn(self.process, self._live(name))

    def kill(self) -> None:
        if self.process is not None and not self.process.killed:
            self._world.loop.kill_process(self.process)
            self._world.loop.call_later(RESTART_SECONDS, self.start)

    async def _live(self, name: str) -> None:
        """A process from its beginning to its end, as `penstock run` leads it."""
        world = self._world
        pipeline, clock = world.pipeline, world.clock
        clients: Clients = SimulatedClients(world.network, name, clock, settings().transaction_timeout / 1_000)
        broker = KafkaBroker(pipeline.layout, settings(), name, clock, clients, trim_seconds=1.0)
        while True:
            try:
                await broker.start()
                break
            except Unreachable:
                await clock.sleep(RESTART_SECONDS)
        models = {
            each: ScriptedModel(verdict, seconds_per_piece=PIECE_SECONDS, sleep=clock.sleep) for each in pipeline.models
        }
        random = Random(f"{world.story.seed} {name}")
        self.worker = Worker(pipeline.plan, pipeline.layout, broker, models, clock, WorkerOptions(owner=name), random)
        self.summaries.append(await self.worker.run())
        await broker.close()

    @property
    def quiet_tasks(self) -> set[int]:
        """Partitions on which nothing is left to do here."""
        keepers = self.worker.keepers if self.worker is not None else []
        return {keeper.task.partition for keeper in keepers if keeper.quiet_since is not None}


def verdict(request: ChatRequest) -> str:
    """A function of the prompt and nothing else, in few pieces."""
    digest = crc32("\n".join(message.content for message in request.messages).encode())
    return f'{{"verdict": "{"attack" if digest % 2 else "benign"}", "why": "{digest}"}}'


@cache
def settings() -> KafkaSettings:
    return KafkaSettings.model_validate({"session_timeout": "6s", "transaction_timeout": "10s"})


class World:
    """One run of one story. Not to be played twice."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.random = Random(story.seed)
        self.pipeline = compiled(story.pipeline)
        self.loop = SimulatedLoop(shuffle=Random(self.random.random()))
        self.clock = SimulatedClock(self.loop)
        self.cluster = Cluster(story.brokers, Random(self.random.random()))
        self.network = Network(self.loop, self.cluster, Random(self.random.random()))
        self.machines = [Machine(self, f"worker-{number}") for number in range(story.workers)]

    def play(self) -> Told:
        """What was told on the topics of the pipeline, once everything was done. Raises what went wrong on the way."""
        logging.disable(logging.CRITICAL)
        try:
            return self.loop.run(self._play())
        finally:
            self.loop.close()
            logging.disable(logging.NOTSET)

    async def _play(self) -> Told:
        self.cluster.create(INPUT, self.story.partitions)
        for machine in self.machines:
            machine.start()
        await asyncio.gather(self._feed(), self._disturb())
        await self._until_done()
        for machine in self.machines:
            if machine.worker is not None:
                machine.worker.stop()
        return await self._told()

    async def _feed(self) -> None:
        """Event time goes on by a second from one event to the next, however fast they come. Each is written exactly once."""
        for number, (host, outcome) in enumerate(logins(self.story.seed, self.story.events)):
            key = host.encode()
            value = msgspec.json.encode({"host": host, "outcome": outcome, "line": LINE})
            partition = TopicPartition(INPUT, partition_of(key, self.story.partitions))
            self.network.write(partition, [Sent(BEGINNING_MS + 1000 * number, key, value, ())])
            await asyncio.sleep(self.random.random() * 2 * self.story.feeding / self.story.events)

    def _clients(self) -> Clients:
        return SimulatedClients(self.network, "outside", self.clock)

    async def _disturb(self) -> None:
        """Everything that goes wrong, and at the end nothing any more."""
        faults, random = self.story.faults, self.random
        plans = [
            (self._kill, faults.kills),
            (self._stop_for_a_while, faults.stops),
            (self._crash_broker, faults.broker_crashes),
        ]
        times = sorted(
            (random.random() * faults.seconds, kind) for kind, (_, count) in enumerate(plans) for _ in range(count)
        )
        self.network.chances = faults.chances
        now = 0.0
        for when, kind in times:
            await asyncio.sleep(when - now)
            now = when
            plans[kind][0]()
        if faults.chances is not None:
            await asyncio.sleep(max(0.0, faults.seconds - now))
            self.network.chances = None

    def _kill(self) -> None:
        self.random.choice(self.machines).kill()

    def _stop_for_a_while(self) -> None:
        process = self.random.choice(self.machines).process
        if process is not None:
            self.loop.stop_process(process)
            self.loop.call_later(self.random.random() * 15.0, self.loop.continue_process, process)

    def _crash_broker(self) -> None:
        broker = self.random.choice(self.cluster.topics.brokers)
        if not self.cluster.lost:
            self.network.crash(broker)
            self.loop.call_later(self.random.random() * 10.0, self.network.restore, broker)

    async def _until_done(self) -> None:
        """Until every partition is somebody's, and nobody has anything left to do, for two looks in a row."""
        wanted, quiet_looks = set(range(self.story.partitions)), 0
        async with asyncio.timeout(CALM_SECONDS):
            while quiet_looks < 2:
                await asyncio.sleep(0.5)
                quiet = set().union(*(machine.quiet_tasks for machine in self.machines))
                quiet_looks = quiet_looks + 1 if quiet == wanted else 0

    async def _told(self) -> Told:
        """What a committed reader finds on the topics of results and of partials."""
        topics = self.pipeline.plan.results
        names = (topics.results, topics.partials)
        partitions = [TopicPartition(name, number) for name in names for number in range(self.story.partitions)]
        reader = self._clients().reader()
        await reader.start()
        ends = await reader.end_offsets(partitions)
        reader.assign(partitions)
        for each in partitions:
            reader.seek(each, 0)
        found: dict[str, list[Any]] = {topics.results: [], topics.partials: []}
        while any([await reader.position(each) < end for each, end in ends.items()]):
            for each, records in (await reader.getmany(timeout_ms=1_000)).items():
                found[each.topic] += [msgspec.json.decode(raw.value or b"") for raw in records]
        await reader.stop()
        return Told(found[topics.results], found[topics.partials])
