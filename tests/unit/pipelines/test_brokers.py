"""The word in `--broker`, and what it opens."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.connectors.clock import MachineClock
from penstock.connectors.kafka import KafkaBroker
from penstock.connectors.kafka_settings import KafkaSettings
from penstock.connectors.memory import MemoryBroker, MemoryCluster
from penstock.connectors.port import Broker, Layout
from penstock.connectors.sqlite import SqliteBroker
from penstock.operators.error import Misused, Unreachable
from penstock.pipelines.brokers import Wanted, make_missing_sources, member_name, open_broker

LAYOUT = Layout("dev", "watch", {"auth": "earliest", "web": "earliest"}, frozenset({"out"}))
WANTED = Wanted(LAYOUT, KafkaSettings(), "me")


def memory() -> MemoryBroker:
    return MemoryBroker(MemoryCluster(MachineClock()), LAYOUT, "me")


def test_each_word_opens_its_broker(tmp_path: Path) -> None:
    assert isinstance(open_broker("kafka", WANTED), KafkaBroker)
    assert isinstance(open_broker(f"sqlite:{tmp_path / 'x.db'}", WANTED), SqliteBroker)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("rabbit", "write one of: kafka, sqlite"),
        ("", "there is no broker ''"),
        ("sqlite", "sqlite:PATH"),
        ("sqlite:", "sqlite:PATH"),
        ("kafka:localhost:9092", "kafka.bootstrap"),
    ],
)
def test_any_other_word_is_refused_with_what_to_write(url: str, said: str) -> None:
    with pytest.raises(Misused, match=said):
        open_broker(url, WANTED)


def test_a_process_is_named_by_its_machine_and_its_number() -> None:
    host, _, number = member_name().rpartition("/")
    assert host
    assert number.isdigit()


async def test_sources_that_nobody_made_get_one_partition() -> None:
    broker = memory()
    assert await make_missing_sources(broker, LAYOUT.inputs) == ["auth", "web"]
    await broker.start()
    await broker.produce("auth", b"k", b"v")
    assert [raw.value async for raw in broker.read("auth", 0, 0)] == [b"v"]
    await broker.close()


async def test_a_source_that_is_there_keeps_its_partitions() -> None:
    broker = memory()
    for topic in LAYOUT.inputs:
        await broker.create_topic(topic, 3)
    assert await make_missing_sources(broker, LAYOUT.inputs) == []
    with pytest.raises(Unreachable):
        await broker.create_topic("auth", 2)
    await broker.create_topic("auth", 3)
    await broker.close()


async def test_nothing_is_made_in_a_kafka() -> None:
    """It would have to be reached for that, and nobody listens there."""
    broker: Broker = KafkaBroker(LAYOUT, KafkaSettings(bootstrap="127.0.0.1:9"), "me")
    assert await make_missing_sources(broker, LAYOUT.inputs) == []
    await broker.close()
