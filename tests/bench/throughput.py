"""Events per second and core from Kafka, exactly-once on, beside reading and parsing the same records and nothing else.

One partition, 1,000 keys, JSON events of about 190 bytes, one count over a minute per key; ten bursts make it fire. CPU time
is that of the reading process alone, so what else runs on the machine disturbs it little.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from random import Random
from typing import Any, NamedTuple

import msgspec
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined] # documented there, missing in its stubs
from tests.bench.figure import CannotRun, Figure, middle
from tests.bench.part import run_part
from tests.kafka_cluster import any_kafka

from penstock.connectors.partition import partition_of
from penstock.pipelines.torture_kafka import NoKafka

EVENTS, EVENTS_QUICK, ROUNDS = 200_000, 40_000, 5
KEYS = 1_000
STEP_MS = 5
BEGINNING_MS = 1_790_000_000_000
BURSTS, BURST_EVENTS = 10, 30
PER_CORE_MIN, RATIO_MIN = 250_000, 0.45


def run(quick: bool) -> Figure:
    """Raises CannotRun where there is no Kafka."""
    pairs = Pairs.played("floor", quick=quick)
    return pairs.figure(
        "throughput",
        target=f">= {PER_CORE_MIN} and >= {RATIO_MIN} of aiokafka + orjson reading alone",
        ok=pairs.ours >= PER_CORE_MIN and pairs.ratio >= RATIO_MIN,
    )


class Pairs:
    """Readings of the same events by two parts of `throughput_part` in turns; `ours` is the whole worker."""

    def __init__(self, ours: str, other: str, rounds: list[dict[str, dict[str, Any]]], size: float) -> None:
        self.rounds, self._size = rounds, size
        self.ours, self.other = (middle([each[part]["per_core"] for each in rounds]) for part in (ours, other))
        self.ratio = middle([each[ours]["per_core"] / each[other]["per_core"] for each in rounds])

    @classmethod
    def played(cls, other: str, *, quick: bool, ours: str = "ours") -> Pairs:
        """Raises CannotRun where there is no Kafka."""
        count, topic = EVENTS_QUICK if quick else EVENTS, f"bench-{os.getpid()}-{other}"
        try:
            with any_kafka() as kafka:
                size = produce(kafka.bootstrap, topic, count)
                rounds = [
                    {part: run_part("throughput_part", part, kafka.bootstrap, topic, count) for part in (other, ours)}
                    for _ in range(ROUNDS)
                ]
        except NoKafka as error:
            raise CannotRun(str(error)) from error
        return cls(ours, other, rounds, size)

    def figure(self, bench: str, *, target: str, ok: bool) -> Figure:
        detail = {"bytes_per_event": self._size, "rounds": self.rounds}
        return Figure(bench, self.ours, self.other, "events/s per core", target, ok=ok, detail=detail, ratio=self.ratio)


class Sample(NamedTuple):
    """One event; `time` in ms."""

    key: str
    time: int
    value: bytes


def produce(bootstrap: str, topic: str, count: int, *, keyed: bool = False) -> float:
    """Write the events to a new topic of one partition, with record keys or without; returns their mean size in bytes."""
    create(bootstrap, topic, 1)
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 20, "queue.buffering.max.messages": count})
    return write(producer, topic, events(count), 1, keyed=keyed) / count


def create(bootstrap: str, topic: str, partitions: int) -> None:
    # Their timestamps are old: the topic must not be cleaned by age.
    new = NewTopic(topic, partitions, 1, config={"retention.ms": "-1"})
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([new])[topic].result(30)


def write(producer: Producer, topic: str, samples: Iterable[Sample], partitions: int, *, keyed: bool) -> int:
    """Returns their size in bytes. Raises CannotRun."""
    written = 0
    for key, time, value in samples:
        name = key.encode()
        partition = partition_of(name, partitions) if partitions > 1 else 0
        producer.produce(topic, value, name if keyed else None, partition, timestamp=time)
        producer.poll(0)
        written += len(value)
    if producer.flush(60):
        raise CannotRun("Kafka did not take all events")
    return written


def events(count: int, keys: int = KEYS) -> Iterator[Sample]:
    """The same for the same arguments."""
    random, until_burst = Random(1), count // BURSTS
    for number in range(count):
        time = BEGINNING_MS + number * STEP_MS
        bursting = number % until_burst < BURST_EVENTS
        key = number // until_burst if bursting else random.randrange(keys)
        failed = bursting or random.random() < 0.02
        device = random.randrange(50)
        yield sample(number, f"user-{key}", time, random.random() * 100, failed=failed, device=device)


def sample(number: int, key: str, time: int, amount: float, *, failed: bool, device: int) -> Sample:
    event = {
        "id": number,
        "key": key,
        "ts": time,
        "amount": round(amount, 2),
        "status": "failed" if failed else "ok",
        "device": f"dev-{device}",
        "message": "x" * 82,
    }
    return Sample(key, time, msgspec.json.encode(event))  # orjson's bytes keep 4 KB each


def one_each(keys: int, *, failed: bool = False) -> Iterator[Sample]:
    """An event of each key, all at one time, just before `events` begin."""
    for number in range(keys):
        yield sample(number, f"user-{number}", BEGINNING_MS - 1, 50.0, failed=failed, device=number % 50)
