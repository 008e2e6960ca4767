"""Writes events at a given pace, whatever happens to the brokers, and says which ones were acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from functools import partial

from aiokafka.errors import KafkaError
from aiokafka.structs import RecordMetadata

from penstock.connectors.clock import MachineClock
from penstock.connectors.kafka_aiokafka_producer import AiokafkaProducer
from penstock.connectors.kafka_stop import stop_within
from penstock.pipelines.torture_load import Event
from penstock.pipelines.torture_times import Interval

TICK_SECONDS = 0.05
REQUEST_MS = 30_000
RETRY_SECONDS = 0.3
STOP_SECONDS = 5.0
SLOW_SECONDS = 0.1

Acknowledged = Callable[[int, int, int], None]
"""Partition, offset, number of the event."""


class PacedProducer:
    """An idempotent producer; one that failed is replaced. What was not acknowledged is not sent again: it may be there.

    `slow`: what took longer than SLOW_SECONDS to be acknowledged. That is the brokers and the machine, and no work of ours.
    """

    def __init__(self, bootstrap: str, topic: str, acknowledged: Acknowledged) -> None:
        self._bootstrap, self._topic, self._acknowledged = bootstrap, topic, acknowledged
        self._clock = MachineClock()
        self._producer: AiokafkaProducer | None = None
        self._broken = False
        self._under_way: set[asyncio.Future[RecordMetadata]] = set()
        self.slow: list[Interval] = []

    async def produce(self, events: Iterable[Event], seconds: float, count: int) -> None:
        """`count` events, evenly over so many seconds; later where the brokers hold them up."""
        began, source = self._clock.monotonic(), iter(events)
        for number in range(count):
            early = began + seconds * number / count - self._clock.monotonic()
            if early > TICK_SECONDS:
                await asyncio.sleep(early)
            await self._send(next(source))

    async def flush(self) -> None:
        """Until everything was acknowledged or refused."""
        while self._under_way:
            await asyncio.wait(self._under_way)

    async def close(self) -> None:
        """What is still under way may or may not be written."""
        for sending in list(self._under_way):
            sending.cancel()
        if self._producer is not None:
            producer, self._producer = self._producer, None
            await stop_within(STOP_SECONDS, producer.abandon)

    async def _send(self, event: Event) -> None:
        if self._broken:
            await self.close()
        while True:
            try:
                producer = self._producer or await self._begin()
                sending = await producer.send(self._topic, event.value, event.key)  # type: ignore[no-untyped-call]  # aiokafka's
            except (KafkaError, OSError, TimeoutError):
                await self.close()
                await asyncio.sleep(RETRY_SECONDS)
            else:
                self._under_way.add(sending)
                sending.add_done_callback(partial(self._sent, event.number, self._clock.monotonic()))
                return

    async def _begin(self) -> AiokafkaProducer:
        producer = AiokafkaProducer(
            bootstrap_servers=self._bootstrap, client_id="penstock-torture", enable_idempotence=True, linger_ms=10,
            request_timeout_ms=REQUEST_MS, metadata_max_age_ms=10_000,
        )  # fmt: skip
        await producer.start()  # type: ignore[no-untyped-call]  # aiokafka says no types here
        self._producer, self._broken = producer, False
        return producer

    def _sent(self, number: int, began: float, sending: asyncio.Future[RecordMetadata]) -> None:
        self._under_way.discard(sending)
        under_way = Interval(began, self._clock.monotonic())
        if under_way.ended - under_way.begun > SLOW_SECONDS:
            self.slow.append(under_way)
        if sending.cancelled() or sending.exception() is not None:
            self._broken = True
        else:
            told = sending.result()
            self._acknowledged(told.partition, told.offset, number)
