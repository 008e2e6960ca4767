"""One, two and four processes on one topic of four partitions, exactly-once on: events per second of wall clock, all together.

The events are written in one transaction. Readers see none of them until it is committed, so the processes share the partitions
first, and all begin at once. Broker and processes have the same cores: what the broker takes, the processes miss.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import orjson
from confluent_kafka import Producer
from tests.bench.figure import CannotRun, Figure, middle
from tests.bench.part import ROOT
from tests.bench.throughput import create, events, write
from tests.kafka_cluster import any_kafka

from penstock.connectors.partition import partition_of
from penstock.pipelines.torture_kafka import NoKafka

EVENTS, EVENTS_QUICK, ROUNDS, ROUNDS_QUICK = 400_000, 40_000, 3, 1
PARTITIONS = 4
CREWS = (1, 2, 4)
TWICE_MIN = 1.7
"""So much faster are two processes than one."""
TRANSACTION_MS_MAX = 600_000
END_SECONDS_MAX = 60.0


def run(quick: bool) -> Figure:
    """Raises CannotRun where there is no Kafka."""
    count, times = (EVENTS_QUICK, ROUNDS_QUICK) if quick else (EVENTS, ROUNDS)
    try:
        with any_kafka() as kafka:
            rounds = [
                {
                    str(crew): _played(kafka.bootstrap, f"bench-{os.getpid()}-{number}-{crew}", crew, count)
                    for crew in CREWS
                }
                for number in range(times)
            ]
    except NoKafka as error:
        raise CannotRun(str(error)) from error
    return figure(rounds)


def figure(rounds: list[dict[str, dict[str, Any]]]) -> Figure:
    speedups = {
        str(crew): middle([each[str(crew)]["per_second"] / each["1"]["per_second"] for each in rounds])
        for crew in CREWS
    }
    one, two = (middle([each[crew]["per_second"] for each in rounds]) for crew in ("1", "2"))
    return Figure(
        "scale",
        two,
        one,
        "events/s of two processes, beside one",
        f">= {TWICE_MIN:g} times on two cores of their own",
        ok=speedups["2"] >= TWICE_MIN,
        detail={
            "cores": os.cpu_count(),
            "speedups": speedups,
            "efficiency": {crew: speedup / int(crew) for crew, speedup in speedups.items()},
            "rounds": rounds,
        },
        ratio=speedups["2"],
    )


def _played(bootstrap: str, topic: str, crew: int, count: int) -> dict[str, Any]:
    create(bootstrap, topic, PARTITIONS)
    producer = _written(bootstrap, topic, count)
    with _crew(bootstrap, topic, crew, _ends(count)) as members:
        _await_share(members, PARTITIONS // crew)
        began = time.perf_counter()
        producer.commit_transaction(60)
        told = [orjson.loads(_line(member)) for member in members]
        seconds = time.perf_counter() - began
    return {
        "per_second": count / seconds,
        "cpu": [each["cpu"] for each in told],
        "read": sum(each["read"] for each in told),
    }


def _written(bootstrap: str, topic: str, count: int) -> Producer:
    """A producer whose transaction has all events in it and is open."""
    settings: dict[str, Any] = {"transaction.timeout.ms": TRANSACTION_MS_MAX, "queue.buffering.max.messages": count}
    producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": topic, "linger.ms": 20, **settings})
    producer.init_transactions(60)
    producer.begin_transaction()
    write(producer, topic, events(count), PARTITIONS, keyed=True)
    return producer


def _ends(count: int) -> list[int]:
    """The numbers of records of all partitions."""
    records = Counter(partition_of(sample.key.encode(), PARTITIONS) for sample in events(count))
    return [records[partition] for partition in range(PARTITIONS)]


Member = subprocess.Popen[bytes]


@contextmanager
def _crew(bootstrap: str, topic: str, size: int, ends: list[int]) -> Iterator[list[Member]]:
    command = [sys.executable, "-m", "tests.bench.scale_part", bootstrap, topic]
    share = [str(PARTITIONS // size), *map(str, ends)]
    members = [
        subprocess.Popen(
            [*command, f"worker-{number}", *share], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for number in range(size)
    ]
    try:
        yield members
    finally:
        for member in members:
            _pipe(member.stdin).close()  # they end when it does
        for member in members:
            try:
                member.wait(END_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                member.kill()
                member.wait()


def _await_share(members: list[Member], share: int) -> None:
    """Until each has said that it works on so many partitions."""
    for member in members:
        told = orjson.loads(_line(member))
        if told != {"open": share}:
            raise CannotRun(f"a process has {told} of {share} partitions")


def _line(member: Member) -> bytes:
    line = _pipe(member.stdout).readline()
    if not line:
        raise CannotRun("a process of the scale benchmark ended early; its words are above")
    return line


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None
    return pipe
