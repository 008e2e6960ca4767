"""A simulated cluster behind the port of the Kafka protocol code: `Clients` of kafka_port.py, without sockets and threads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from aiokafka.errors import KafkaError, UnknownTopicOrPartitionError
from aiokafka.structs import TopicPartition
from tests.simulation import messages as m
from tests.simulation.client_member import SimulatedMember
from tests.simulation.client_producer import SimulatedPlainProducer
from tests.simulation.client_reader import SimulatedReader
from tests.simulation.client_transactional import SimulatedTransactionalProducer
from tests.simulation.client_wire import Wire
from tests.simulation.network import Network

from penstock.connectors.kafka_error import unreachable
from penstock.connectors.kafka_port import BATCH_BYTES, PARTITION_FETCH_BYTES, NewTopic
from penstock.connectors.port import WallClock
from penstock.operators.error import Unreachable


class SimulatedAdmin:
    """`Admin` of kafka_port.py."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def start(self) -> None:
        await self._wire.start()

    async def stop(self) -> None:
        self._wire.close()

    async def brokers(self) -> int:
        answer: m.MetadataAnswer = await self._wire.ask_any(m.Metadata(()))
        return len(answer.brokers)

    async def leaders(self, topics: Iterable[str]) -> dict[str, dict[int, int]]:
        answer: m.MetadataAnswer = await self._wire.ask_any(m.Metadata(sorted(topics)))
        return {topic: dict(enumerate(leaders)) for topic, leaders in answer.topics.items()}

    async def settings(self, topics: Sequence[str]) -> dict[str, dict[str, str]]:
        if not topics:
            return {}
        answer: m.DescribedTopics = await self._wire.ask_any(m.DescribeTopics(topics))
        for topic, each in answer.topics.items():
            if each.error is not None:
                raise each.error(topic)
        return {topic: dict(each.settings) for topic, each in answer.topics.items()}

    async def create(self, topics: Sequence[NewTopic]) -> dict[str, Exception]:
        wanted = [m.TopicWanted(each.name, each.partitions, each.replicas, dict(each.settings)) for each in topics]
        answer: m.CreatedTopics = await self._wire.ask_any(m.CreateTopics(wanted))
        return {topic: error() for topic, error in answer.errors.items() if error is not None}

    async def delete_records(self, partition: TopicPartition, before: int) -> None:
        leader = (await self.leaders([partition.topic])).get(partition.topic, {}).get(partition.partition)
        if leader is None:
            raise UnknownTopicOrPartitionError(partition)
        answer: m.DeletedRecords = await self._wire.ask(leader, m.DeleteRecords(partition, before))
        if answer.error is not None:
            raise answer.error(partition.topic)


class SimulatedClients:
    """`Clients` of kafka_port.py, of the process in which it is made. `name` is what it calls itself."""

    address = "simulated"
    warnings: Sequence[str] = ()

    def __init__(self, network: Network, name: str, clock: WallClock, transaction_timeout: float = 15.0) -> None:
        self._network, self._name, self._clock = network, name, clock
        self._transaction_timeout = transaction_timeout

    def _wire(self, kind: str) -> Wire:
        return Wire(self._network, f"{self._name}/{kind}")

    def reader(self, *, committed: bool = True, partition_bytes: int = PARTITION_FETCH_BYTES) -> SimulatedReader:
        return SimulatedReader(self._wire("reader"), self._clock, committed=committed, partition_bytes=partition_bytes)

    def member(self, group: str, topic: str, session_ms: int, clock: WallClock) -> SimulatedMember:
        return SimulatedMember(self._wire("member"), group, topic, session_ms, clock)

    def transactional(self, transactional_id: str, batch_bytes: int) -> SimulatedTransactionalProducer:
        wire, most = self._wire(f"producer {transactional_id}"), min(BATCH_BYTES, batch_bytes)
        return SimulatedTransactionalProducer(wire, self._clock, most, transactional_id, self._transaction_timeout)

    def producer(self) -> SimulatedPlainProducer:
        return SimulatedPlainProducer(self._wire("producer"), self._clock, BATCH_BYTES)

    def admin(self) -> SimulatedAdmin:
        return SimulatedAdmin(self._wire("admin"))

    async def probe(self) -> None:
        wire = self._wire("probe")
        try:
            await wire.start()
        except KafkaError as error:
            raise self.unreachable(error) from error
        finally:
            wire.close()

    def unreachable(self, error: BaseException, doing: str = "connecting") -> Unreachable:
        return unreachable(error, doing, self.address)
