"""Connections to a Kafka cluster through aiokafka 0.14: who may connect how, what errors mean, how things are ended.

Every client of one process is made here, so that address, TLS, SASL and time limits are the same everywhere.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

import aiokafka.producer.sender
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.conn import collect_hosts, create_conn
from aiokafka.errors import (
    AuthenticationFailedError,
    AuthenticationMethodNotSupported,
    GroupAuthorizationFailedError,
    IllegalSaslStateError,
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    NodeNotReadyError,
    RequestTimedOutError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
    UnknownTopicOrPartitionError,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.metadata import MetadataRequest

from penstock.connectors.kafka_security import security
from penstock.connectors.kafka_settings import KafkaSettings
from penstock.operators.error import Unanswered, Unreachable

CONNECT_SECONDS = 10.0
REQUEST_MS = 10_000
RETRY_BACKOFF_MS = 50
PARTITION_FETCH_BYTES = 4 << 20
FETCH_WAIT_MS = 250
REQUEST_BYTES_MAX = 8 << 20
"""What our producers send at most in one record; the log topic is created with the same limit."""
BATCH_BYTES = 256 << 10

# Kafka answers CONCURRENT_TRANSACTIONS while the markers of the transaction before are written; aiokafka then waits a
# fixed 20 ms, ten times as long as it takes.
aiokafka.producer.sender.BACKOFF_OVERRIDE = 0.002

_log = logging.getLogger(__name__)

_DENIED = (GroupAuthorizationFailedError, TopicAuthorizationFailedError, TransactionalIdAuthorizationFailed)
_BAD_CREDENTIALS = (AuthenticationFailedError, SaslAuthenticationFailed)
_BAD_MECHANISM = (AuthenticationMethodNotSupported, UnsupportedSaslMechanismError, IllegalSaslStateError)
_AWAY = (KafkaConnectionError, NodeNotReadyError, RequestTimedOutError, KafkaTimeoutError, TimeoutError)


class Stalled(TimeoutError):
    """A partition was read up to `position` and does not move on, although it goes to `end`."""

    def __init__(self, where: str, position: int, end: int) -> None:
        super().__init__(f"{where} stands still at {position} of {end}")


class KafkaClients:
    """Makes aiokafka's clients for one cluster. `name` is what the brokers' logs and quotas call this process."""

    def __init__(self, settings: KafkaSettings, name: str) -> None:
        self.address = settings.bootstrap
        self._name = name
        self._settings = settings
        self._security = security(settings)

    def consumer(self, *, committed: bool = True, partition_bytes: int = PARTITION_FETCH_BYTES) -> AIOKafkaConsumer:
        """A reader outside of any group that never resets a position by itself."""
        return AIOKafkaConsumer(
            **self._common(),
            isolation_level="read_committed" if committed else "read_uncommitted",
            enable_auto_commit=False,
            auto_offset_reset="none",
            fetch_max_wait_ms=FETCH_WAIT_MS,
            max_partition_fetch_bytes=partition_bytes,
        )

    def member(self, group: str, session_ms: int, assignor: type) -> AIOKafkaConsumer:
        """A member of a consumer group that is told partitions and reads nothing."""
        return AIOKafkaConsumer(
            **self._common(),
            group_id=group,
            partition_assignment_strategy=(assignor,),
            session_timeout_ms=session_ms,
            heartbeat_interval_ms=max(100, min(session_ms // 10, 3_000)),
            enable_auto_commit=False,
            auto_offset_reset="latest",
            max_partition_fetch_bytes=1024,
        )

    def transactional(self, transactional_id: str, batch_bytes: int) -> AIOKafkaProducer:
        """The producer of one task. Starting it fences every other producer of this id.

        A topic's limit is one on batches: `batch_bytes` may not exceed that of any topic written to.
        """
        return AIOKafkaProducer(
            **self._common(),
            transactional_id=transactional_id,
            transaction_timeout_ms=self._settings.transaction_timeout,
            acks="all",
            linger_ms=0,
            max_batch_size=min(BATCH_BYTES, batch_bytes),
            max_request_size=REQUEST_BYTES_MAX,
        )

    def producer(self) -> AIOKafkaProducer:
        """A plain producer: acknowledged writes, no transactions."""
        return AIOKafkaProducer(
            **self._common(), acks="all", linger_ms=2, max_batch_size=BATCH_BYTES, max_request_size=REQUEST_BYTES_MAX
        )

    def admin(self) -> AIOKafkaAdminClient:
        return AIOKafkaAdminClient(**self._common())

    def _common(self) -> dict[str, Any]:
        return {
            "bootstrap_servers": self.address,
            "client_id": self._name,
            "request_timeout_ms": REQUEST_MS,
            "retry_backoff_ms": RETRY_BACKOFF_MS,
            **self._security,
        }

    async def probe(self) -> None:
        """One connection, to learn *why* none can be had: aiokafka's own start says only that it failed.

        Raises Unreachable if no broker of the address lets us in.
        """
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
        """The same, as a sentence that says what to do: Unanswered where it is only that no broker answers."""
        what, remedy = self._explained(error, doing)
        kind = Unanswered if _nobody_answers(error) else Unreachable
        return kind(what, where=f"kafka {self.address}", remedy=remedy)

    def _explained(self, error: BaseException, doing: str) -> tuple[str, str]:
        match error:
            case ssl.SSLError():
                return (
                    f"TLS failed ({error.reason or error})",
                    "check kafka.tls, and that this is the brokers' TLS port",
                )
            case _ if isinstance(error, _BAD_CREDENTIALS):
                return "the brokers do not accept these credentials", "check kafka.sasl"
            case _ if isinstance(error, _BAD_MECHANISM):
                return f"the brokers do not offer {self._security['sasl_mechanism']}", "check kafka.sasl.mechanism"
            case _ if isinstance(error, _DENIED):
                return f"not allowed: {_permission(error)}", "grant it to this principal"
            case Stalled():
                return f"{error}: a transaction is open there, or hangs", "kafka-transactions.sh find-hanging shows it"
            case UnknownTopicOrPartitionError():
                return f"a topic is missing while {doing}", "`penstock topics plan` shows which"
            case _ if isinstance(error, _AWAY):
                return f"no broker answers while {doing}", f"is it up, and is {self._kind()} what this port speaks?"
            case OSError():
                reason = error.strerror or type(error).__name__
                return f"no broker answers ({reason})", f"is it up, and is {self._kind()} what this port speaks?"
            case _:
                return f"{doing} failed ({type(error).__name__}: {error})", "the brokers' logs may say more"

    def _kind(self) -> str:
        return str(self._security["security_protocol"])


def _nobody_answers(error: BaseException) -> bool:
    return isinstance(error, (*_AWAY, OSError)) and not isinstance(error, (ssl.SSLError, Stalled))


def _permission(error: BaseException) -> str:
    subject = ", ".join(str(each) for each in error.args) or "?"
    match error:
        case GroupAuthorizationFailedError():
            return f"reading group {subject}"
        case TransactionalIdAuthorizationFailed():
            return f"writing with transactional id {subject}"
        case _:
            return f"topic {subject}"


async def stop_within(seconds: float, *stops: Callable[[], Awaitable[None]]) -> None:
    """Run what ends clients, side by side, for at most so long; nothing is raised, what failed is logged.

    Not `wait_for`: aiokafka's stops catch CancelledError in places, and a cancellation eaten there leaves a producer that
    goes on fencing. Cancelling the caller leaves the stops running.
    """
    running = [asyncio.ensure_future(_quietly(stop)) for stop in stops]
    if running:
        _, late = await asyncio.wait(running, timeout=seconds)
        for each in late:
            each.cancel()


async def _quietly(stop: Callable[[], Awaitable[None]]) -> None:
    try:
        await stop()
    except Exception as error:  # noqa: BLE001 - the thing is given up; all that is left to do is to say so
        _log.info("a Kafka client did not end cleanly: %r", error)


async def abandon(producer: AIOKafkaProducer) -> None:
    """Stop a producer so that nothing more leaves it.

    `AIOKafkaProducer.stop` flushes first: it waits for brokers that are away, and then sends what was given up. The first
    cancellation makes the sender wait for requests in flight, which closing the connections ends; a later one ends
    whatever still waits for a broker.
    """
    producer._closed = True
    sender = producer._sender.sender_task
    while sender is not None and not sender.done():
        sender.cancel()
        await producer.client.close()
        await asyncio.wait([sender], timeout=0.2)
    await producer.client.close()
    _forget_failures(producer)


def _forget_failures(producer: AIOKafkaProducer) -> None:
    """A fence is noted in futures that perhaps nobody came to wait for, of which asyncio complains.

    They are the transaction's end, and for every batch that had not left yet its leaving.
    """
    manager, waiting = producer._txn_manager, producer._message_accumulator._batches
    futures = [batch._drain_waiter for batches in waiting.values() for batch in batches]
    futures += [] if manager is None else [manager._transaction_waiter]
    for future in futures:
        if future is not None and future.done() and not future.cancelled():
            future.exception()
