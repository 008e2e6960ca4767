"""One place where a worker runs: its processes, one after the other, each as `penstock run` leads it.

start ─▶ process a.1 ──SIGKILL──▶ half a second ─▶ process a.2 …
                      └─ ends by itself: nobody has asked for that, so the story is over and says why
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import cache
from random import Random
from typing import TYPE_CHECKING

from tests.simulation.calls import WatchedModel
from tests.simulation.clients import SimulatedClients
from tests.simulation.loop import OUTSIDE, Process

from penstock.connectors.fault import FaultyBroker, Hangs
from penstock.connectors.kafka import KafkaBroker
from penstock.connectors.kafka_port import Clients
from penstock.connectors.kafka_settings import KafkaSettings
from penstock.connectors.port import Broker
from penstock.operators.error import Unreachable
from penstock.operators.task import Task
from penstock.pipelines.keeper import Keeper
from penstock.pipelines.worker import Worker, WorkerOptions

if TYPE_CHECKING:
    from tests.simulation.world import World

RESTART_SECONDS = 0.5
TRIM_SECONDS = 1.0
HANGS_WITHIN = 15
"""Commits of a process, of which one is never decided where a story says so."""
LEAVING_SECONDS = 30.0
"""Ten seconds for its tasks, and some for clients whose brokers do not answer."""


class WorkerEnded(Exception):
    """A worker came to an end that nobody had asked for, or not to the end that it was asked for."""


class Machine:
    """Whenever its process was killed or told to end another is started. `name` is followed by the number of the start."""

    def __init__(self, world: World, name: str) -> None:
        self._world, self._name = world, name
        self.process: Process | None = None
        self.worker: Worker | None = None
        self.starts = 0
        self._life: asyncio.Task[None] | None = None
        self._told_to_end = self._for_good = False
        self._pipeline, self._roll_out = world.pipeline, 0

    def start(self) -> None:
        if self._for_good:
            return
        self.starts += 1
        self._told_to_end = False
        world, name = self._world, f"{self._name}.{self.starts}"
        self._pipeline, self._roll_out = world.deployed, world.roll_outs
        self.worker = None
        self.process = world.loop.process(name)
        self._life = world.loop.spawn(self.process, self._live(name))

    def kill(self) -> None:
        if self.process is not None and not self.process.killed and self._life is not None and not self._life.done():
            self._world.loop.kill_process(self.process)
            self._world.loop.call_later(RESTART_SECONDS, self.start)

    def end(self, *, for_good: bool) -> None:
        """SIGTERM. `for_good`: nothing is started here any more."""
        self._told_to_end, self._for_good = True, for_good
        if self.worker is not None:
            self.worker.stop()

    def replace(self, roll_out: int) -> None:
        """SIGTERM, unless its process was started after that already."""
        if self._roll_out < roll_out and not self._for_good:
            self.end(for_good=False)

    async def _live(self, name: str) -> None:
        world = self._world
        broker = self._broker(name)
        if world.story.hangs and self.starts == 1:
            broker = FaultyBroker(broker, commits=[*[None] * world.random.randrange(HANGS_WITHIN), Hangs()])
        while True:
            try:
                await broker.start()
                break
            except Unreachable:
                await world.clock.sleep(RESTART_SECONDS)
        self.worker = self._worker_of(broker, name)
        if self._told_to_end:
            self.worker.stop()
        summary = await self.worker.run()
        await broker.close()
        self.worker = None
        if summary.exit_code != 0 or not self._told_to_end:
            world.ended(f"{name} ended with exit code {summary.exit_code}: {summary.problem}")
        world.loop.call_later(RESTART_SECONDS, self.start, context=OUTSIDE.context)

    def _broker(self, name: str) -> Broker:
        world = self._world
        clients: Clients = SimulatedClients(world.network, name, world.clock, settings().transaction_timeout / 1_000)
        return KafkaBroker(self._pipeline.layout, settings(), name, world.clock, clients, trim_seconds=TRIM_SECONDS)

    def _worker_of(self, broker: Broker, name: str) -> Worker:
        world = self._world
        pipeline, clock = self._pipeline, world.clock
        model = WatchedModel(world.model_ways, name, clock, world.calls)
        models = dict.fromkeys(pipeline.models, model)
        random = Random(f"{world.story.seed} {name}")
        options = WorkerOptions(owner=name, batch=world.story.batch)
        return Worker(pipeline.plan, pipeline.layout, broker, models, clock, options, random)

    async def has_left(self) -> None:
        """Until its process has ended, unless that cannot do anything. Raises WorkerEnded when it takes too long."""
        if self.process is not None and self.process.running and self._life is not None:
            _, late = await asyncio.wait([self._life], timeout=LEAVING_SECONDS)
            if late:
                raise WorkerEnded(f"{self.process.name} did not end within {LEAVING_SECONDS:g} s after it was told to")

    @property
    def keepers(self) -> Sequence[Keeper]:
        return self.worker.keepers if self.worker is not None else []

    def done_tasks(self, ends: Sequence[Mapping[str, int]]) -> dict[int, Task]:
        """Partitions that were read to these ends, and on which nothing is left to do: everything is committed."""
        sessions = [(keeper.task.partition, keeper.session) for keeper in self.keepers]
        return {
            partition: session.core
            for partition, session in sessions
            if session is not None
            and session.quiet_since is not None
            and all(session.progress[topic].position >= end for topic, end in ends[partition].items())
        }


@cache
def settings() -> KafkaSettings:
    return KafkaSettings.model_validate({"session_timeout": "6s", "transaction_timeout": "10s"})
