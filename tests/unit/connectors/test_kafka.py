from __future__ import annotations

import pytest

from penstock.connectors.kafka import KafkaBroker
from penstock.connectors.kafka_client import KafkaClients
from penstock.connectors.kafka_settings import KafkaSettings
from penstock.connectors.port import Layout
from penstock.operators.error import Unreachable

NOWHERE = KafkaSettings(bootstrap="127.0.0.1:1")


class Closed(KafkaClients):
    """Of a cluster that lets nobody in."""

    async def probe(self) -> None:
        raise Unreachable("the cluster is closed today")


async def test_a_broker_reaches_the_cluster_through_the_clients_that_it_is_given() -> None:
    layout = Layout("dev", "watch", {"auth": "earliest"}, frozenset())
    broker = KafkaBroker(layout, NOWHERE, clients=Closed(NOWHERE, "test"))
    with pytest.raises(Unreachable, match="closed today"):
        await broker.start()
    await broker.close()
