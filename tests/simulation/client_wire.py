"""What every simulated client has: connections, and what it believes of the cluster (leaders, coordinators)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Literal

from aiokafka.errors import KafkaConnectionError, KafkaError, NodeNotReadyError, UnknownTopicOrPartitionError
from aiokafka.structs import TopicPartition
from tests.simulation import messages as m
from tests.simulation.network import Network

from penstock.connectors.kafka_port import REQUEST_SECONDS

BACKOFF_SECONDS = 0.05


class Wire:
    """One client's. `name` is what it calls itself. Beliefs are renewed when something shows that they are wrong."""

    def __init__(self, network: Network, name: str) -> None:
        self.network, self.name = network, name
        self.random = network.random
        self._link = network.link()
        self._brokers: list[int] = []
        self._leaders: dict[str, list[int]] = {}
        self._wanted: dict[str, None] = {}
        self._stale = False
        self._renewing: asyncio.Task[bool] | None = None

    async def start(self) -> None:
        """Raises KafkaConnectionError when no broker answers; does nothing when that is done."""
        for broker in self.network.cluster.topics.brokers:
            if self._brokers:
                return
            await self._ask_for_metadata(broker, None)
        if not self._brokers:
            raise KafkaConnectionError("Unable to bootstrap from the simulated brokers")

    def close(self) -> None:
        """What is asked now, and later, fails at once."""
        self._link.close()

    async def ask(self, broker: int, request: m.Message, lane: str = "") -> Any:
        """Its answer. Raises NodeNotReadyError if it never left, KafkaConnectionError, RequestTimedOutError."""
        try:
            if broker < 0:
                raise NodeNotReadyError("nobody leads it")
            return await self._link.ask(broker, request, lane)
        except KafkaError:
            self._stale = True
            raise

    def send(self, broker: int, request: m.Message, lane: str = "") -> asyncio.Future[Any]:
        """As `ask`, for whoever does not await it."""
        return self._link.ask(broker, request, lane)

    async def ask_any(self, request: m.Message) -> Any:
        """Of a broker that chance chooses."""
        return await self.ask(self.random.choice(self._brokers), request)

    # What is believed.

    def leader(self, partition: TopicPartition) -> int | None:
        """−1: there is none just now. None: nothing is known of it."""
        leaders = self._leaders.get(partition.topic)
        return leaders[partition.partition] if leaders is not None and partition.partition < len(leaders) else None

    def partitions(self, topic: str) -> int | None:
        leaders = self._leaders.get(topic)
        return None if leaders is None else len(leaders)

    def want(self, topics: Iterable[str]) -> None:
        """Something has to be known of these, too."""
        for topic in topics:
            self._wanted[topic] = None
            self._stale = self._stale or topic not in self._leaders

    def doubt(self) -> None:
        self._stale = True

    async def renew(self) -> bool:
        """Ask for the leaders anew, unless somebody does already."""
        if self._renewing is None or self._renewing.done():
            self._renewing = asyncio.get_running_loop().create_task(self._renew(), name=f"metadata of {self.name}")
        return await asyncio.shield(self._renewing)

    async def renew_if_in_doubt(self) -> None:
        if self._stale:
            await self.renew()

    async def _renew(self) -> bool:
        self._stale = False
        brokers = list(self._brokers)
        self.random.shuffle(brokers)
        for broker in brokers:
            if await self._ask_for_metadata(broker, sorted({*self._wanted, *self._leaders})):
                return True
        return False

    async def _ask_for_metadata(self, broker: int, topics: list[str] | None) -> bool:
        try:
            answer = await self._link.ask(broker, m.Metadata(topics), "metadata")
        except KafkaError:
            return False
        self._brokers = list(answer.brokers)
        self._leaders = {topic: list(leaders) for topic, leaders in answer.topics.items()}
        return True

    async def wait_for_topic(self, topic: str) -> int:
        """Its number of partitions. Raises UnknownTopicOrPartitionError when the brokers do not tell for REQUEST_SECONDS."""
        now = asyncio.get_running_loop().time
        self.want([topic])
        deadline = now() + REQUEST_SECONDS
        while topic not in self._leaders:
            await self.renew()
            if topic not in self._leaders:
                if now() > deadline:
                    raise UnknownTopicOrPartitionError(topic)
                await asyncio.sleep(BACKOFF_SECONDS)
        return len(self._leaders[topic])

    async def find_coordinator(self, kind: Literal["group", "transaction"], key: str) -> int:
        """One question to one broker. Raises KafkaError, CoordinatorNotAvailableError among them."""
        answer = await self.ask_any(m.FindCoordinator(kind, key))
        if answer.error is not None:
            raise answer.error
        node: int = answer.node
        return node


class Work:
    """A coroutine that is run without a task, which costs several times as much. It begins at once.

    It may await futures, sleep and other coroutines; nothing in it may ask for the current task, as time-outs do. `ended` is
    called with what it raised, or None; not when it was dropped.
    """

    __slots__ = ("_coroutine", "_ended", "_is_dropped")

    def __init__(self, coroutine: Coroutine[Any, Any, None], ended: Callable[[Work, Exception | None], None]) -> None:
        self._coroutine, self._ended, self._is_dropped = coroutine, ended, False

    def go_on(self, done: asyncio.Future[Any] | None = None) -> None:
        if self._is_dropped:
            if done is not None and not done.cancelled():
                done.exception()  # else asyncio complains that nobody has looked at it
            return
        try:
            awaited = self._coroutine.send(None)
        except StopIteration:
            self._ended(self, None)
        except Exception as error:  # noqa: BLE001 - it is handed on
            self._ended(self, error)
        else:
            awaited._asyncio_future_blocking = False
            awaited.add_done_callback(self.go_on)

    def drop(self) -> None:
        self._is_dropped = True
        self._coroutine.close()
