from __future__ import annotations

from typing import NoReturn

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaTimeoutError, OffsetOutOfRangeError

from penstock.connectors.kafka_client import KafkaClients
from penstock.connectors.kafka_inputs import Inputs
from penstock.connectors.kafka_settings import KafkaSettings
from penstock.connectors.port import Layout, Limits
from penstock.operators.error import Unreachable


class Overtaken:
    """A reader whose records were deleted before it read them."""

    async def getmany(self, *partitions: TopicPartition, timeout_ms: int, max_records: int) -> NoReturn:
        raise OffsetOutOfRangeError({partitions[0]: 5})


class Away:
    """A reader whose cluster went away."""

    async def beginning_offsets(self, partitions: list[TopicPartition]) -> NoReturn:
        raise KafkaTimeoutError


async def test_a_cluster_that_goes_away_before_it_says_what_was_deleted_is_unreachable() -> None:
    clients = KafkaClients(KafkaSettings(bootstrap="127.0.0.1:1"), "test")
    layout = Layout("dev", "watch", {"auth": "earliest"}, frozenset())
    inputs = Inputs(clients, Overtaken(), Away(), layout, 0)  # type: ignore[arg-type]  # all that is used of them is there
    with pytest.raises(Unreachable, match="no broker answers while reading the inputs"):
        await inputs.fetch(Limits())
