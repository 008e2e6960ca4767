"""What faults do to one task's log on a real Kafka: brokers that die, processes that die, readers that are careless."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest
from aiokafka.structs import TopicPartition
from tests.kafka_world import KafkaWorld, commit, declare

from penstock.connectors import kafka_writer
from penstock.connectors.kafka import KafkaBroker
from penstock.connectors.kafka_log import KafkaTaskLog
from penstock.connectors.kafka_port import Reader
from penstock.operators.error import Damaged, Indefinite, Unreachable
from penstock.operators.record import Raw
from penstock.pipelines.torture_kafka import LocalKafka
from penstock.state.delta import Delta

pytestmark = pytest.mark.timeout(400)

DYING = Path(__file__).with_name("dying_writer.py")


def saved(entries: list[object]) -> list[bytes | None]:
    """Values of the outputs that the restored deltas imply."""
    return [output.value for entry in entries if isinstance(entry, Delta) for output in entry.outputs]


async def open_patiently(kafka: KafkaWorld, broker: KafkaBroker) -> list[object]:
    """As the worker does: again and again while the cluster is away, or what it says does not move for a minute."""
    why: list[Exception] = []
    try:
        async with asyncio.timeout(300):
            while True:
                try:
                    _, entries, _ = await kafka.open(broker)
                except (Unreachable, Indefinite) as error:
                    why.append(error)
                    continue
                return list(entries)
    except TimeoutError:
        raise AssertionError(f"the task did not open after {len(why)} attempts; the last ones: {why[-3:]}") from None


def ours(kafka: KafkaWorld) -> LocalKafka:
    if kafka.cluster.local is None:
        pytest.skip("this Kafka is not ours to kill")
    return kafka.cluster.local


def start(local: LocalKafka) -> None:
    local.launch(0)
    local.await_ready()


async def test_a_broker_that_dies_leaves_a_commit_indefinite_and_the_log_says_what_happened(kafka: KafkaWorld) -> None:
    local = ours(kafka)
    await kafka.create()
    settings = kafka.settings.model_copy(update={"transaction_timeout": 1_500})
    broker = await kafka.broker(settings=settings)
    log, _, _ = await kafka.open(broker)
    await commit(log, "before", topic=kafka.results)
    # Until it is visible: Kafka 4.4 may forget markers that were not written yet when its only node dies (docs/guarantees.md).
    while await kafka.committed(kafka.results) != [b"before"]:
        continue
    local.kill(0)
    try:
        with pytest.raises(Indefinite, match="not known whether a commit went through"):
            await commit(log, "during", topic=kafka.results)
        with pytest.raises(Indefinite, match="given up"):
            await commit(log, "after", topic=kafka.results)
        await log.close()
    finally:
        start(local)
    entries = await open_patiently(kafka, broker)
    assert saved(entries) == [b"before"]
    assert await kafka.committed(kafka.results) == [b"before"]


async def test_a_broker_that_dies_and_returns_under_way_loses_nothing_and_repeats_nothing(
    kafka: KafkaWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = ours(kafka)
    await kafka.create()
    broker = await kafka.broker()
    log, _, _ = await kafka.open(broker)
    decided: list[bytes] = []
    enough = asyncio.Semaphore(0)
    struck = asyncio.Event()

    def strike(name: str) -> None:
        """Inside a commit: before it the markers of the one before may not be written (see above), and are forgotten."""
        if name == "delta_acknowledged" and len(decided) >= 20 and not struck.is_set():
            local.kill(0)
            struck.set()

    async def keep_committing() -> None:
        while True:
            value = f"{len(decided)}"
            await commit(log, value, topic=kafka.results)
            decided.append(value.encode())
            enough.release()

    async def so_many(count: int) -> None:
        for _ in range(count):
            await enough.acquire()

    monkeypatch.setattr(kafka_writer, "failpoint", strike)
    committing = asyncio.create_task(keep_committing())
    await so_many(20)
    await struck.wait()
    await asyncio.to_thread(start, local)
    more = asyncio.create_task(so_many(20))
    await asyncio.wait([committing, more], return_when=asyncio.FIRST_COMPLETED)
    committing.cancel()
    more.cancel()
    await asyncio.wait([committing, more])
    await log.close()
    entries = await open_patiently(kafka, broker)
    visible = await kafka.committed(kafka.results)
    assert visible == saved(entries)
    assert visible[: len(decided)] == decided
    assert len(visible) <= len(decided) + 1, "at most the commit under way was decided without our knowing"


async def test_a_process_that_dies_inside_a_transaction_leaves_nothing_behind(kafka: KafkaWorld) -> None:
    await kafka.create()
    broker = await kafka.broker()
    child = await asyncio.create_subprocess_exec(
        sys.executable, str(DYING), kafka.cluster.bootstrap, kafka.name, stdout=asyncio.subprocess.PIPE
    )
    assert child.stdout is not None
    assert await child.stdout.readline() == b"inside\n"
    child.kill()
    await child.wait()
    log = await kafka.fence(broker)
    entries, _ = await declare(log)
    assert saved(list(entries)) == [b"kept"]
    await commit(log, "next", topic=kafka.results)
    assert await kafka.committed(kafka.results) == [b"kept", b"next"]


class CarelessBroker(KafkaBroker):
    """Reads before it fences, and lets the former owner commit in between."""

    former: KafkaTaskLog
    results: str

    async def _careless(self, reader: Reader, partition: TopicPartition) -> list[Raw]:
        raws = await super()._careless(reader, partition)
        await commit(self.former, "in between", topic=self.results)
        return raws


async def test_reading_before_fencing_misses_a_commit_and_is_found_out(kafka: KafkaWorld) -> None:
    await kafka.create()
    broker = await kafka.broker()
    former, _, _ = await kafka.open(broker)
    await commit(former, "first", topic=kafka.results)
    careless = CarelessBroker(kafka.layout(), kafka.settings, unsafe_read_before_fence=True)
    careless.former, careless.results = former, kafka.results
    kafka.brokers.append(careless)
    await careless.start()
    _, entries, _ = await kafka.open(careless)
    assert saved(list(entries)) == [b"first"], "the control does what it is there for: a commit was missed"
    with pytest.raises(Damaged, match="a hole in the log: expected seq 3, found 2"):
        await kafka.open(broker)
