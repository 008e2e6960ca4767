"""Connections to a Kafka cluster through aiokafka 0.14: `Clients` of kafka_port.py.

Every client of one process is made here, so that address, TLS, SASL and time limits are the same everywhere. What is
private to aiokafka is touched in the files named kafka_aiokafka_*.py and in kafka_records.py, and nowhere else.
"""

from __future__ import annotations

import asyncio
import importlib
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.conn import collect_hosts, create_conn
from aiokafka.errors import KafkaError
from aiokafka.protocol.metadata import MetadataRequest

from penstock.connectors.kafka_aiokafka_admin import AiokafkaAdmin
from penstock.connectors.kafka_aiokafka_member import AiokafkaMember, sticky_assignor
from penstock.connectors.kafka_aiokafka_producer import AiokafkaProducer
from penstock.connectors.kafka_error import unreachable
from penstock.connectors.kafka_port import (
    BATCH_BYTES,
    PARTITION_FETCH_BYTES,
    REQUEST_BYTES_MAX,
    REQUEST_SECONDS,
    Admin,
    GroupMember,
    PlainProducer,
    Reader,
    TransactionalProducer,
)
from penstock.connectors.kafka_records import AiokafkaReader
from penstock.connectors.kafka_security import security
from penstock.connectors.kafka_settings import KafkaSettings
from penstock.connectors.port import WallClock
from penstock.operators.error import Unreachable

REQUEST_MS = int(REQUEST_SECONDS * 1_000)
RETRY_BACKOFF_MS = 50
FETCH_WAIT_MS = 250


class KafkaClients:
    """Makes aiokafka's clients for one cluster. `name` is what the brokers' logs and quotas call this process."""

    def __init__(self, settings: KafkaSettings, name: str) -> None:
        """Connects to nothing. Raises Unreachable for certificates that cannot be read."""
        self.address = settings.bootstrap
        self._name = name
        self._settings = settings
        self._security = security(settings)

    @property
    def warnings(self) -> list[str]:
        try:
            importlib.import_module("aiokafka.record._crecords")
        except ImportError:
            return ["aiokafka has no C extension here and reads 17 times slower; install a wheel for this platform"]
        return []

    def reader(self, *, committed: bool = True, partition_bytes: int = PARTITION_FETCH_BYTES) -> Reader:
        return AiokafkaReader(  # type: ignore[no-untyped-call]  # aiokafka says no types here
            **self._common(),
            isolation_level="read_committed" if committed else "read_uncommitted",
            enable_auto_commit=False,
            auto_offset_reset="none",
            fetch_max_wait_ms=FETCH_WAIT_MS,
            max_partition_fetch_bytes=partition_bytes,
        )

    def member(self, group: str, topic: str, session_ms: int, clock: WallClock) -> GroupMember:
        consumer = AIOKafkaConsumer(
            **self._common(),
            group_id=group,
            partition_assignment_strategy=(sticky_assignor(),),
            session_timeout_ms=session_ms,
            heartbeat_interval_ms=max(100, min(session_ms // 10, 3_000)),
            enable_auto_commit=False,
            auto_offset_reset="latest",
            max_partition_fetch_bytes=1024,
        )
        return AiokafkaMember(consumer, group, topic, clock)

    def transactional(self, transactional_id: str, batch_bytes: int) -> TransactionalProducer:
        return AiokafkaProducer(
            **self._common(),
            transactional_id=transactional_id,
            transaction_timeout_ms=self._settings.transaction_timeout,
            acks="all",
            linger_ms=0,
            max_batch_size=min(BATCH_BYTES, batch_bytes),
            max_request_size=REQUEST_BYTES_MAX,
        )

    def producer(self) -> PlainProducer:
        return AIOKafkaProducer(
            **self._common(), acks="all", linger_ms=2, max_batch_size=BATCH_BYTES, max_request_size=REQUEST_BYTES_MAX
        )

    def admin(self) -> Admin:
        return AiokafkaAdmin(AIOKafkaAdminClient(**self._common()))

    def _common(self) -> dict[str, Any]:
        return {
            "bootstrap_servers": self.address,
            "client_id": self._name,
            "request_timeout_ms": REQUEST_MS,
            "retry_backoff_ms": RETRY_BACKOFF_MS,
            **self._security,
        }

    async def probe(self) -> None:
        """aiokafka's own start says only that it failed."""
        failed: Exception | None = None
        for host, port, _ in collect_hosts(self.address):
            try:
                await self._ask(host, port)
            except (OSError, KafkaError, TimeoutError, asyncio.IncompleteReadError) as error:
                failed = error
            else:
                return
        raise self.unreachable(failed or ValueError("the address is empty"))

    async def _ask(self, host: str, port: int) -> None:
        connection = await create_conn(
            host, port, client_id=self._name, request_timeout_ms=REQUEST_MS, **self._security
        )
        try:
            await connection.send(MetadataRequest([]))  # a listener that wants credentials closes the connection here
        finally:
            connection.close()

    def unreachable(self, error: BaseException, doing: str = "connecting") -> Unreachable:
        protocol, mechanism = self._security["security_protocol"], self._security.get("sasl_mechanism", "")
        return unreachable(error, doing, self.address, protocol=protocol, mechanism=mechanism)
