"""A backtest of a range of a real topic: committed records, by offset and by time, and nothing is left behind."""

from __future__ import annotations

import asyncio
from pathlib import Path

import orjson
import pytest
from aiokafka import AIOKafkaProducer
from tests.command_line import Done, penstock, written
from tests.kafka_world import KafkaWorld

pytestmark = pytest.mark.timeout(60)
PIPELINE = """
penstock: v1
name: ranged
kafka: {{bootstrap: "{bootstrap}"}}
sources: {{auth: {{topic: auth}}}}
triggers: {{root: {{each: event.user == "root", agent: none}}}}
"""
BASE = 1_790_000_000_000


async def written_events(kafka: KafkaWorld, topic: str) -> None:
    """Eight events, a second apart, in two partitions; then three of a transaction that is aborted."""
    producer = AIOKafkaProducer(bootstrap_servers=kafka.cluster.bootstrap, transactional_id=f"{topic}-test")
    await producer.start()
    try:
        async with producer.transaction():
            for number in range(8):
                await send(producer, topic, number)
        await producer.begin_transaction()
        for number in range(8, 11):
            await send(producer, topic, number)
        await producer.abort_transaction()
    finally:
        await producer.stop()


async def send(producer: AIOKafkaProducer, topic: str, number: int) -> None:
    value = orjson.dumps({"user": "root", "n": number})
    key, at = f"host-{number}".encode(), BASE + 1000 * number
    await producer.send(topic, value, key, partition=number % 2, timestamp_ms=at)


async def test_a_range_of_a_topic_is_played_with_keys_and_times_of_its_records(
    kafka: KafkaWorld, tmp_path: Path
) -> None:
    topic = await kafka.create(partitions=2)
    await written_events(kafka, topic)
    file = written(tmp_path, PIPELINE.format(bootstrap=kafka.cluster.bootstrap))

    async def backtested(range_: str, *arguments: str) -> list[str]:
        out = tmp_path / "out"
        named: tuple[str | Path, ...] = ("--input", f"auth=kafka:{topic}{range_}", "--out", out, *arguments)
        done: Done = await asyncio.to_thread(penstock, "backtest", file, *named)
        assert done.code == 0, done.err
        rows = [orjson.loads(line) for line in (out / "firings.jsonl").read_bytes().splitlines()]
        assert [row["at"] for row in rows] == sorted(row["at"] for row in rows)
        return [row["key"].removeprefix("host-") for row in rows]

    assert await backtested("") == list("01234567")
    assert await backtested("", "-w", "2") == list("01234567")
    assert await backtested("@1..3") == list("2345")
    first, last = (f"2026-09-21T14:13:{second:02}Z" for second in (22, 25))
    assert await backtested(f"@{first}..{last}") == list("234")
    assert await backtested("@2030-01-01..") == []


async def test_a_topic_that_is_not_there_is_named(kafka: KafkaWorld, tmp_path: Path) -> None:
    file = written(tmp_path, PIPELINE.format(bootstrap=kafka.cluster.bootstrap))
    done = await asyncio.to_thread(penstock, "backtest", file, "--input", "kafka:nobody-made-this")
    assert (done.code, "nobody-made-this" in done.err, "Traceback" in done.err) == (3, True, False)
