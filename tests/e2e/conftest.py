"""Places for topics, shared by the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.transport import KafkaTransport, SqliteTransport
from tests.kafka_cluster import Kafka

from penstock.pipelines.torture_processes import simulated_model


@pytest.fixture
def sqlite(tmp_path: Path) -> SqliteTransport:
    return SqliteTransport(tmp_path / "topics.db")


@pytest.fixture(scope="session")
def kafka_transport(kafka_cluster: Kafka) -> KafkaTransport:
    return KafkaTransport(kafka_cluster.bootstrap)


@pytest.fixture(scope="session")
def quick_model() -> Iterator[str]:
    """Base URL of a simulated model that answers at once."""
    with simulated_model() as url:
        yield url
