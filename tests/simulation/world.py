"""A whole deployment in one simulated run: brokers, worker processes with the real engine, events, and what goes wrong.

    feed ──▶ input topic ──▶ worker a ┐                            ┌──▶ results ──▶ read at the end, committed records only
                             worker b ├─ KafkaBroker ─ port ─ simulated cluster
                             worker c ┘        ▲
                                               └── kills, stops, crashes of brokers, lost and late requests, by the seed

`World(Story(seed=…)).play()` is a function of the story. It looks at everything that was written, and at what was asked of the
model; what was told, runs and answers, is left to be compared with what should have been.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple
from zlib import crc32

import msgspec
from aiokafka.structs import TopicPartition
from tests.simulation.bill import check_calls
from tests.simulation.calls import WatchedCall, Ways
from tests.simulation.chronicle import Chronicle
from tests.simulation.cluster import Cluster
from tests.simulation.invariants import (
    check_commits,
    check_deference,
    check_handovers,
    check_rest,
    check_restoring,
    check_results,
)
from tests.simulation.loop import Process, SimulatedClock, SimulatedLoop
from tests.simulation.machine import Machine, WorkerEnded
from tests.simulation.messages import Sent
from tests.simulation.network import Chances, Network, Way
from tests.simulation.settings import BrokerSettings, Delays
from tests.stage import WATCH, Told, compiled, logins
from tests.virtual_time import BEGINNING_MS

from penstock.connectors.partition import partition_of
from penstock.operators.event import ChatRequest
from penstock.operators.task import Task
from penstock.pipelines.compile import Pipeline
from penstock.pipelines.fetching import RECORDS_MAX

INPUT = "auth"
OTHER_INPUT = "flow"
CALM_SECONDS = 120.0
"""So long after the last fault everything has to be done."""
LOOK_SECONDS = 0.5
ROLL_OUT_SECONDS = 2.5
WORDS = 500
HOSTS = 4
WAYS: Sequence[Way] = ("out", "in")


@dataclass(frozen=True, slots=True)
class Faults:
    """How many of each happen within the first `seconds`, at times and to victims that the seed decides."""

    kills: int = 0
    restarts: int = 0
    stops: int = 0
    cuts: int = 0
    broker_crashes: int = 0
    roll_outs: int = 0
    chances: Chances | None = None
    seconds: float = 5.0


def verdict(request: ChatRequest) -> str:
    """A function of the prompt and nothing else."""
    return _verdict(request, 1)


def wordy_verdict(request: ChatRequest) -> str:
    """So is this. One in four is long."""
    return _verdict(request, WORDS)


def _verdict(request: ChatRequest, words: int) -> str:
    digest = crc32("\n".join(message.content for message in request.messages).encode())
    why = str(digest) * (words if digest % 4 == 0 else 1)
    return f'{{"verdict": "{"attack" if digest % 2 else "benign"}", "why": "{why}"}}'


class Event(NamedTuple):
    """A record that somebody writes to an input."""

    topic: str
    sent: Sent


@dataclass(frozen=True, slots=True)
class Story:
    """`events` come one by one, within about `feeding` seconds, each `spacing` ms of event time after the one before.

    `settling` seconds after all of it was read, time that passes has done what it does. `piece_seconds`: how slow the model
    is; `moods`: how often it fails; `answer`: what it says; `batch`: how many records a task takes at once.

    `flows` are events of a second input. They come in a few bursts, never at the time of an event of the first, and one burst
    comes at once: of an input of which nothing was ever heard nobody knows what time it has. `punctual`: events come when
    they happen, whatever `feeding` says; else nobody can say how silent an input is.

    `result_bytes_max`: what the topic of results takes at most, if it is less than usual. `hangs`: of every first process one
    commit is never decided, although brokers and group hear of it.

    `orderly`: everything is so swift that every task should be handed over, and no answer paid for twice.

    `changed`: the file that is rolled out first; the next roll-out takes that back, and so on.
    """

    seed: int
    workers: int = 3
    partitions: int = 3
    events: int = 40
    feeding: float = 4.0
    line_bytes: int = 50
    faults: Faults = field(default_factory=Faults)
    brokers: BrokerSettings = field(default_factory=BrokerSettings)
    pipeline: str = WATCH
    changed: str = ""
    answer: Callable[[ChatRequest], str] = verdict
    result_bytes_max: int = 0
    hangs: bool = False
    delays: Delays = field(default_factory=Delays)
    orderly: bool = False
    settling: float = 0.0
    spacing: int = 1_000
    piece_seconds: float = 0.05
    moods: float = 0.0
    batch: int = RECORDS_MAX
    flows: int = 0
    punctual: bool = False

    def records(self) -> list[Event]:
        """In the order of event time."""
        return sorted([*self._logins(), *self._flows()], key=lambda event: event.sent.timestamp)

    def _logins(self) -> Iterator[Event]:
        for number, (host, outcome) in enumerate(logins(self.seed, self.events)):
            sent = Sent(BEGINNING_MS + self.spacing * number, host.encode(), self._value(number, host, outcome), ())
            yield Event(INPUT, sent)

    def _flows(self) -> Iterator[Event]:
        random = Random(f"{self.seed} flows")
        late = self.events * 3 // 4
        bursts = [0, random.randrange(late), random.randrange(late, self.events)]
        for number in range(self.flows):
            burst, place = divmod(number, -(-self.flows // len(bursts)))
            time = BEGINNING_MS + self.spacing * (bursts[burst] + place) + self.spacing // 2
            host, size = f"host-{random.randrange(HOSTS)}", random.randrange(1_000)
            yield Event(OTHER_INPUT, Sent(time, host.encode(), msgspec.json.encode({"host": host, "bytes": size}), ()))

    def _value(self, number: int, host: str, outcome: str) -> bytes:
        """Lines are not to be compressed: the log should grow by them."""
        line = Random(number).randbytes(self.line_bytes).hex()
        return msgspec.json.encode({"host": host, "outcome": outcome, "line": line})


class World:
    """One run of one story. Not to be played twice."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.random = Random(story.seed)
        self.pipeline = compiled(story.pipeline)
        self.files = [self.pipeline, compiled(story.changed)] if story.changed else [self.pipeline]
        self.roll_outs = 0
        self.loop = SimulatedLoop(shuffle=Random(self.random.random()))
        self.clock = SimulatedClock(self.loop)
        self.cluster = Cluster(story.brokers, Random(self.random.random()))
        self.network = Network(self.loop, self.cluster, Random(self.random.random()), story.delays)
        self.machines = [Machine(self, f"worker-{number}") for number in range(story.workers)]
        self.model_ways = Ways(story.answer, story.piece_seconds, story.moods, Random(f"{story.seed} model"))
        self.calls: list[WatchedCall] = []
        self._ended: list[str] = []

    @property
    def deployed(self) -> Pipeline:
        """What a process runs that is started now."""
        return self.files[self.roll_outs % len(self.files)]

    def ended(self, how: str) -> None:
        """A worker came to an end that nobody had asked for."""
        self._ended.append(how)

    def play(self) -> Told:
        """What was told on the topics of the pipeline, once everything was done. Raises what went wrong on the way."""
        logging.disable(logging.CRITICAL)
        try:
            return self.loop.run(self._play())
        finally:
            self.loop.close()
            logging.disable(logging.NOTSET)

    async def _play(self) -> Told:
        for topic in self.pipeline.layout.inputs:
            self.cluster.create(topic, self.story.partitions)
        if self.story.result_bytes_max:
            limit = {"max.message.bytes": str(self.story.result_bytes_max)}
            self.cluster.create(self.pipeline.plan.results.results, self.story.partitions, limit)
        for machine in self.machines:
            machine.start()
        await asyncio.gather(self._feed(), self._disturb())
        if self.story.settling:
            await self._until_done()
            await asyncio.sleep(self.story.settling)
        self._look_at_state(await self._until_done())
        await self._until_left()
        return self._look_at_everything()

    async def _feed(self) -> None:
        """Each is written exactly once."""
        for topic, sent in self.story.records():
            if self.story.punctual:
                await asyncio.sleep((sent.timestamp - self.clock.now()) / 1_000)
            partition = TopicPartition(topic, partition_of(sent.key or b"", self.story.partitions))
            self.network.write(partition, [sent])
            if not self.story.punctual:
                await asyncio.sleep(self.random.random() * 2 * self.story.feeding / self.story.events)

    async def _disturb(self) -> None:
        """Everything that goes wrong, and at the end nothing any more."""
        faults = self.story.faults
        misfortunes = self._misfortunes(faults)
        self.network.chances = faults.chances
        now = 0.0
        for when, strike in misfortunes:
            await asyncio.sleep(when - now)
            now = when
            strike()
        if faults.chances is not None:
            await asyncio.sleep(max(0.0, faults.seconds - now))
            self.network.chances = None

    def _misfortunes(self, faults: Faults) -> list[tuple[float, Callable[[], None]]]:
        """In the order of their times. Roll-outs are spread, so that each has its time."""
        draw = self.random.random
        plans = [
            (self._kill, faults.kills),
            (self._stop_for_a_while, faults.stops),
            (self._crash_broker, faults.broker_crashes),
            (self._cut, faults.cuts),
            (self._restart, faults.restarts),
        ]
        times = [(draw() * faults.seconds, kind) for kind, (_, count) in enumerate(plans) for _ in range(count)]
        plans.append((self._roll_out, faults.roll_outs))
        each = faults.seconds / max(1, faults.roll_outs)
        times += [((number + draw() / 2) * each, len(plans) - 1) for number in range(faults.roll_outs)]
        return [(when, plans[kind][0]) for when, kind in sorted(times)]

    def _kill(self) -> None:
        self.random.choice(self.machines).kill()

    def _restart(self) -> None:
        self.random.choice(self.machines).end(for_good=False)

    def _roll_out(self) -> None:
        """Processes with the former file are told to end, one after the other."""
        self.roll_outs += 1
        for number, machine in enumerate(self.random.sample(self.machines, len(self.machines))):
            self.loop.call_later(number * ROLL_OUT_SECONDS, machine.replace, self.roll_outs)

    def _stop_for_a_while(self) -> None:
        process = self.random.choice(self.machines).process
        if process is not None:
            self.loop.stop_process(process)
            self.loop.call_later(self.random.random() * 15.0, self.loop.continue_process, process)

    def _cut(self) -> None:
        """A process does not hear one broker, or all of them, or is not heard; what is held up arrives in the end."""
        process, way = self.random.choice(self.machines).process, self.random.choice(WAYS)
        brokers = self.cluster.topics.brokers
        chosen = self.random.choice([[self.random.choice(brokers)], brokers])
        if process is not None:
            for broker in chosen:
                self.network.block(process, broker, way)
            self.loop.call_later(self.random.random() * 15.0, self._mend, process, chosen, way)

    def _mend(self, process: Process, brokers: Sequence[int], way: Way) -> None:
        for broker in brokers:
            self.network.unblock(process, broker, way)

    def _crash_broker(self) -> None:
        broker = self.random.choice(self.cluster.topics.brokers)
        if not self.cluster.lost:
            self.network.crash(broker)
            self.loop.call_later(self.random.random() * 10.0, self.network.restore, broker)

    async def _until_done(self) -> dict[int, Task]:
        """Until somebody has nothing left to do in every partition, for two looks in a row; what they know."""
        quiet_looks = 0
        async with asyncio.timeout(CALM_SECONDS):
            while True:
                await asyncio.sleep(LOOK_SECONDS)
                self._check_ended()
                done = self._done_tasks()
                quiet_looks = quiet_looks + 1 if len(done) == self.story.partitions else 0
                if quiet_looks == 2:
                    return done

    def _done_tasks(self) -> dict[int, Task]:
        ends = [self._ends(partition) for partition in range(self.story.partitions)]
        done: dict[int, Task] = {}
        for machine in self.machines:
            done |= machine.done_tasks(ends)
        return done

    def _ends(self, partition: int) -> dict[str, int]:
        """Of the inputs."""
        topics = self.pipeline.layout.inputs
        found = {topic: self.cluster.topics.find(TopicPartition(topic, partition)) for topic in topics}
        return {topic: 0 if each is None else each.log.end for topic, each in found.items()}

    def _check_ended(self) -> None:
        if self._ended:
            raise WorkerEnded(self._ended[0])

    async def _until_left(self) -> None:
        """All workers are told to end, and every process that can hear it does."""
        for machine in self.machines:
            machine.end(for_good=True)
        await asyncio.gather(*(machine.has_left() for machine in self.machines))
        await asyncio.sleep(LOOK_SECONDS)
        self._check_ended()

    def chronicle(self) -> Chronicle:
        return Chronicle(self.cluster, self.pipeline.layout, self.story.partitions)

    def _look_at_state(self, live: Mapping[int, Task]) -> None:
        plans = [file.plan for file in self.files]
        check_restoring(plans, self.pipeline.layout.log, self.chronicle(), self.cluster, live)

    def _look_at_everything(self) -> Told:
        chronicle, layout = self.chronicle(), self.pipeline.layout
        topics = self.pipeline.plan.results
        told = Told(*(_parsed(chronicle, topic) for topic in (topics.results, topics.partials)))
        check_rest(self.cluster, layout.own, self.story.partitions)
        check_commits(chronicle)
        check_deference(chronicle)
        check_results(told.results, told.revisions)
        check_calls(self.calls, chronicle)
        if self.story.orderly:
            check_handovers(self.calls, chronicle)
        return told


def _parsed(chronicle: Chronicle, topic: str) -> Sequence[dict[str, object]]:
    return [msgspec.json.decode(record.value or b"") for record in chronicle.read(topic)]
