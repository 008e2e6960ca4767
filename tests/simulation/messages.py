"""What clients ask of brokers and what these answer, as plain values: Kafka's requests without their wire format.

An answer carries errors as classes of `aiokafka.errors`, None for none. Nothing here is changed once it was sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

Error = type[KafkaError] | None
Headers = Sequence[tuple[str, bytes]]

NO_PRODUCER = -1
EARLIEST, LATEST = -2, -1
"""Special times of `ListOffsets`."""


class Message(msgspec.Struct):
    """A request, or an answer."""


class Record(msgspec.Struct, frozen=True, gc=False):
    """A record as it lies in a partition; the readers' `Raw`."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers


class Sent(Message):
    """A record on its way to a partition. `timestamp` is in ms since the epoch."""

    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers


class Failed(Message):
    """The answer to any request that could not be looked at: a coordinator that is not here, or is not there yet."""

    error: Error


class Done(Message):
    """The answer to a request that has no result."""

    error: Error = None


class Metadata(Message):
    """Of which topics to tell the partitions' leaders; None: of all."""

    topics: Sequence[str] | None


class MetadataAnswer(Message):
    """Leaders by topic and partition, −1 where there is none; topics that do not exist are left out."""

    topics: Mapping[str, Sequence[int]]
    brokers: Sequence[int]


class FindCoordinator(Message):
    """`kind`: of the group or of the transactional id that is called `key`."""

    kind: Literal["group", "transaction"]
    key: str


class Coordinator(Message):
    error: Error
    node: int = -1


class InitProducerId(Message):
    """Without a transactional id: of a producer that is merely idempotent."""

    transactional_id: str | None
    timeout: float


class ProducerId(Message):
    error: Error
    producer: int = NO_PRODUCER
    epoch: int = -1


class AddPartitions(Message):
    transactional_id: str
    producer: int
    epoch: int
    partitions: Sequence[TopicPartition]


class AddPartitionsAnswer(Message):
    errors: Mapping[TopicPartition, Error]


class EndTransaction(Message):
    transactional_id: str
    producer: int
    epoch: int
    commit: bool


class SentBatch(Message):
    """Records of one producer for one partition, `size` bytes if they were encoded. Without a producer id nothing is checked."""

    records: Sequence[Sent]
    size: int
    sequence: int = -1


class Produce(Message):
    transactional_id: str | None
    producer: int
    epoch: int
    batches: Mapping[TopicPartition, SentBatch]


class Appended(Message):
    error: Error
    offset: int = -1


class ProduceAnswer(Message):
    partitions: Mapping[TopicPartition, Appended]


class Fetch(Message):
    """`offsets`: where to begin. Waits up to `wait` seconds for a first byte; `most`: bytes of one partition, about."""

    offsets: Mapping[TopicPartition, int]
    committed: bool
    wait: float
    most: int


class FetchedPartition(Message):
    """`batches` of the log, as they lie there: those that end before the offset asked for have to be left out."""

    error: Error
    high: int = -1
    stable: int = -1
    batches: Sequence[Any] = ()


class FetchAnswer(Message):
    partitions: Mapping[TopicPartition, FetchedPartition]


class ListOffsets(Message):
    """`times`: ms since the epoch, or EARLIEST or LATEST."""

    times: Mapping[TopicPartition, int]
    committed: bool


class FoundOffset(Message):
    error: Error
    offset: int = -1
    timestamp: int = -1


class ListOffsetsAnswer(Message):
    partitions: Mapping[TopicPartition, FoundOffset]


class Subscription(msgspec.Struct, frozen=True):
    """What a member tells of itself for the assignment: the topic, and what it held in which generation."""

    topic: str
    held: tuple[int, ...] = ()
    generation: int = -1


class JoinGroup(Message):
    """`member` is empty for one that has no name yet; times are in seconds."""

    group: str
    member: str
    client: str
    session: float
    rebalance: float
    subscription: Subscription


class Joined(Message):
    """`members` is what the leader assigns by; for everybody else it is empty."""

    error: Error
    member: str = ""
    generation: int = -1
    leader: str = ""
    members: Mapping[str, Subscription] = {}


class SyncGroup(Message):
    """`assignments`: from the leader."""

    group: str
    member: str
    generation: int
    assignments: Mapping[str, tuple[int, ...]]


class Synced(Message):
    error: Error
    partitions: tuple[int, ...] = ()


class Heartbeat(Message):
    group: str
    member: str
    generation: int


class LeaveGroup(Message):
    group: str
    member: str


class CommitOffsets(Message):
    group: str
    member: str
    generation: int
    offsets: Mapping[TopicPartition, int]


class FetchOffsets(Message):
    group: str


class FetchOffsetsAnswer(Message):
    error: Error
    offsets: Mapping[TopicPartition, int] = {}


class TopicWanted(Message):
    topic: str
    partitions: int
    replicas: int
    settings: Mapping[str, str]


class CreateTopics(Message):
    topics: Sequence[TopicWanted]


class CreatedTopics(Message):
    errors: Mapping[str, Error]


class DeleteTopic(Message):
    topic: str


class AddTopicPartitions(Message):
    """Grow a topic to so many partitions."""

    topic: str
    partitions: int


class DescribeTopics(Message):
    topics: Sequence[str]


class Settings(Message):
    error: Error
    settings: Mapping[str, str] = {}


class DescribedTopics(Message):
    topics: Mapping[str, Settings]


class DeleteRecords(Message):
    """Everything before `before`; −1: everything."""

    partition: TopicPartition
    before: int


class DeletedRecords(Message):
    """`start`: where the log begins now."""

    error: Error
    start: int = -1
